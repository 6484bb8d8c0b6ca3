"""The request table: complete, decodable, and with the right permission for each request."""

from pathlib import Path

import pytest
from hypothesis import given
from sftp_samples import INIT, STRINGS, UINT32, any_request, encode

from sftpd.sftp.attributes import Attributes
from sftpd.sftp.engine import Engine, Malformed, Requested
from sftpd.sftp.extensions import ADVERTISED, STANDS_FOR, offered
from sftpd.sftp.requests import (
    EXTENSIONS,
    REQUESTS,
    SPECS,
    CheckFileName,
    CopyData,
    Limits,
    Open,
    OpenFlag,
    Permission,
    Request,
    Symlink,
    Write,
)
from sftpd.sftp.wire import frame

DOCS = (Path(__file__).parents[3] / "docs/sftp.md").read_text()


def events(packet: bytes) -> list[object]:
    return list(Engine().receive(INIT + packet))[1:]


def test_every_code_of_version_3_is_in_the_table() -> None:
    assert set(REQUESTS) == set(range(3, 21))


def test_advertised_extensions_and_the_table_are_the_same() -> None:
    requests = [request for name, _ in ADVERTISED for request in STANDS_FOR.get(name, (name,))]
    assert sorted(requests) == sorted(EXTENSIONS)


@pytest.mark.parametrize(
    ("denied", "missing"),
    [
        ((), set()),
        (("copy-data", "stat"), {b"copy-data"}),
        (("lsetstat",), {b"lsetstat@openssh.com"}),
        (("check-file-handle",), {b"check-file"}),
        (("check-file-name",), {b"check-file"}),
    ],
)
def test_what_is_denied_is_not_offered(denied: tuple[str, ...], missing: set[bytes]) -> None:
    assert set(ADVERTISED) - set(offered(denied)) == {pair for pair in ADVERTISED if pair[0] in missing}


def test_every_request_class_has_one_row_with_its_own_name() -> None:
    assert set(SPECS) == set(Request.__subclasses__())
    assert len({spec.name for spec in SPECS.values()}) == len(REQUESTS) + len(EXTENSIONS)


@given(UINT32, any_request)
def test_every_request_survives_the_wire(request_id: int, request: Request) -> None:
    assert events(encode(request_id, request)) == [Requested(request_id, request)]


@given(UINT32, any_request, STRINGS)
def test_trailing_bytes_are_tolerated(request_id: int, request: Request, trailing: bytes) -> None:
    body = encode(request_id, request)[4:] + trailing
    assert events(frame(body[0], body[1:])) == [Requested(request_id, request)]


@given(UINT32, any_request)
def test_a_request_cut_short_is_malformed(request_id: int, request: Request) -> None:
    body = encode(request_id, request)[4:-1]
    assert events(frame(body[0], body[1:])) == [Malformed(request_id)]


@pytest.mark.parametrize(
    ("flags", "needed"),
    [
        (OpenFlag.READ, {Permission.READ}),
        (OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE, {Permission.WRITE}),
        (OpenFlag.READ | OpenFlag.WRITE, {Permission.READ, Permission.WRITE}),
        (OpenFlag.READ | OpenFlag.TRUNCATE, {Permission.READ, Permission.WRITE}),
        (OpenFlag.APPEND, {Permission.WRITE}),
        (0, {Permission.READ}),
    ],
)
def test_what_open_needs_follows_from_its_flags(flags: int, needed: set[Permission]) -> None:
    assert SPECS[Open].permissions(Open(b"/f", flags, Attributes())) == needed


def test_a_copy_needs_to_read_here_and_to_write_there() -> None:
    spec = SPECS[CopyData]
    assert spec.permissions(CopyData(b"r", 0, 0, b"w", 0)) == set()
    assert spec.besides == {"read_handle": {Permission.READ}, "write_handle": {Permission.WRITE}}


def test_an_open_as_openssh_sends_it() -> None:
    packet = bytes.fromhex(
        "00000021 03 00000007"  # OPEN, id 7
        "0000000c 2f75706c6f61642fc3a92e74"  # /upload/é.t
        "0000001a"  # WRITE, CREAT and TRUNC
        "00000004 000081a4"  # permissions alone
    )
    request = Open("/upload/é.t".encode(), 0x1A, Attributes(permissions=0o100644))
    assert events(packet) == [Requested(7, request)]


def test_symlink_has_openssh_s_order_of_arguments() -> None:
    packet = bytes.fromhex("00000011 14 00000001 00000002 2e2e 00000002 2f61")
    assert events(packet) == [Requested(1, Symlink(target=b"..", path=b"/a"))]


def test_a_write_with_rclone_s_trailing_bytes() -> None:
    packet = bytes.fromhex(
        "00000021 06 00000002 00000001 41 0000000000000010 00000002 6869 000000000000000000"
    )
    assert events(packet) == [Requested(2, Write(b"A", 16, memoryview(b"hi")))]


def test_an_extended_request_is_found_by_its_name() -> None:
    packet = bytes.fromhex("0000001b c8 00000003 00000012") + b"limits@openssh.com"
    assert events(packet) == [Requested(3, Limits())]


def test_a_copy_as_openssh_sends_it() -> None:
    packet = bytes.fromhex("00000034 c8 00000004 00000009") + b"copy-data"
    packet += bytes.fromhex("00000001 41 0000000000000000 0000000000000005 00000001 42 0000000000000007")
    assert events(packet) == [Requested(4, CopyData(b"A", 0, 5, b"B", 7))]


def test_a_check_as_winscp_sends_it() -> None:
    packet = bytes.fromhex("0000003c c8 00000005 0000000f") + b"check-file-name"
    packet += bytes.fromhex("00000002 2f61 00000006") + b"sha256" + bytes(8 + 8 + 4)
    assert events(packet) == [Requested(5, CheckFileName(b"/a", b"sha256", 0, 0, 0))]


def test_the_documentation_tells_of_every_extension() -> None:
    rows = [line.split("|") for line in DOCS.splitlines() if line.startswith("| `")]
    told = {
        row[1].strip(" `").encode(): set(row[2].replace("`", "").replace(" ", "").split(",")) for row in rows
    }
    assert told == {
        name: {EXTENSIONS[request].name for request in STANDS_FOR.get(name, (name,))}
        for name, _ in ADVERTISED
    }
