"""The handler's own rules: handles, denied requests, extensions, and what goes wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from account_sessions import BY_DEFAULT, Session, whole

from sftpd.errors import ProcessError
from sftpd.process.channel import ChannelClosedError
from sftpd.sftp import requests
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.engine import Init, Malformed, Unsupported
from sftpd.sftp.requests import SPECS, OpenFlag, Request
from sftpd.sftp.status import Status
from sftpd.sftp.wire import Reader
from sftpd.ssh.file_data import FileData

CREATE = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path) as session:
        yield session


def status(reply: bytes | FileData) -> tuple[Status, bytes] | None:
    reader = Reader(memoryview(whole(reply))[4:])
    if reader.uint8() != 101:
        return None
    reader.uint32()
    return Status(reader.uint32()), reader.string()


def handle_of(reply: bytes) -> bytes:
    assert reply[4] == 102
    return reply[13:]


def test_every_request_has_an_operation(session: Session) -> None:
    assert set(session.handler._OPERATIONS) == set(SPECS)


def test_init_is_answered_with_version_3_and_the_extensions(session: Session) -> None:
    reply = session.handler.answer(Init(6))
    assert reply[4:9] == b"\x02\0\0\0\x03"
    assert b"limits@openssh.com" in reply


def test_denied_requests_are_refused_and_not_advertised(tmp_path: Path) -> None:
    with Session(tmp_path, denied_requests=("hardlink", "stat")) as session:
        assert b"hardlink@openssh.com" not in session.handler.answer(Init(3))
        reply = session.handler.handle(1, requests.Stat(b"/"))
        assert status(reply) == (Status.PERMISSION_DENIED, b"stat is not allowed for this account")


def test_who_may_not_write_may_not_cut_a_file(tmp_path: Path) -> None:
    kept = tmp_path / "published/upload/a"
    with Session(tmp_path, granted=("list", "read", "setstat")) as session:
        kept.write_bytes(b"content")
        handle = handle_of(
            session.handler.handle(1, requests.Open(b"/upload/a", OpenFlag.READ, Attributes()))
        )
        for size in (Attributes(size=1), Attributes(size=9, times=(5, 7))):
            for request in (
                requests.Setstat(b"/upload/a", size),
                requests.Lsetstat(b"/upload/a", size),
                requests.Fsetstat(handle, size),
            ):
                told = status(session.handler.handle(2, request))
                assert told == (Status.PERMISSION_DENIED, b"write is not allowed here")
        assert status(
            session.handler.handle(3, requests.Setstat(b"/upload/a", Attributes(times=(5, 7))))
        ) == (
            Status.OK,
            b"",
        )
    assert kept.read_bytes() == b"content"


def test_to_read_no_bytes_is_not_the_end(session: Session, tmp_path: Path) -> None:
    (tmp_path / "published/download/a").write_bytes(b"content")
    opened = session.handler.handle(1, requests.Open(b"/download/a", OpenFlag.READ, Attributes()))
    handle = handle_of(opened)
    for offset in (0, 7, 100):
        assert (
            whole(session.handler.handle(2, requests.Read(handle, offset, 0)))[4:] == b"\x67\0\0\0\2\0\0\0\0"
        )
    assert status(session.handler.handle(2, requests.Read(handle, 7, 1))) == (Status.EOF, b"end of file")


def test_malformed_and_unsupported_requests_are_answered(session: Session) -> None:
    assert status(session.handler.answer(Malformed(1))) == (Status.BAD_MESSAGE, b"bad message")
    assert status(session.handler.answer(Unsupported(1))) == (
        Status.OP_UNSUPPORTED,
        b"operation not supported",
    )


@pytest.mark.parametrize(
    "request_",
    [
        requests.Close(b"nope"),
        requests.Read(b"nope", 0, 1),
        requests.Write(b"nope", 0, memoryview(b"x")),
        requests.Readdir(b"nope"),
        requests.Fstat(b""),
        requests.Fsync(b"nope"),
    ],
)
def test_unknown_handles_are_refused(session: Session, request_: Request) -> None:
    assert status(session.handler.handle(1, request_)) == (Status.FAILURE, b"no such handle")


def test_handles_are_limited_and_can_be_given_back(tmp_path: Path) -> None:
    with Session(tmp_path, max_handles=2) as session:
        opendir = requests.Opendir(b"/upload")
        first = handle_of(session.handler.handle(1, opendir))
        handle_of(session.handler.handle(1, requests.Opendir(b"/")))
        assert status(session.handler.handle(1, opendir)) == (Status.FAILURE, b"too many open handles")
        session.handler.handle(1, requests.Close(first))
        handle_of(session.handler.handle(1, opendir))


def test_handles_cannot_be_guessed_from_each_other(session: Session) -> None:
    opened = {handle_of(session.handler.handle(1, requests.Opendir(b"/"))) for _ in range(8)}
    assert len(opened) == 8
    assert all(len(handle) == 8 for handle in opened)


def test_a_handle_of_a_directory_is_not_one_of_a_file(session: Session) -> None:
    session.client.mkdir("/upload/d")
    directory = handle_of(session.handler.handle(1, requests.Opendir(b"/upload/d")))
    assert status(session.handler.handle(1, requests.Read(directory, 0, 1))) == (
        Status.FAILURE,
        b"handle is a directory's",
    )
    file = handle_of(session.handler.handle(1, requests.Open(b"/upload/a", CREATE, Attributes())))
    assert status(session.handler.handle(1, requests.Readdir(file))) == (
        Status.FAILURE,
        b"handle is not a directory's",
    )


def test_a_file_open_for_reading_is_not_written_and_the_reverse(session: Session) -> None:
    session.put("/upload/a", b"abc")
    reading = handle_of(session.handler.handle(1, requests.Open(b"/upload/a", OpenFlag.READ, Attributes())))
    written = session.handler.handle(1, requests.Write(reading, 0, memoryview(b"x")))
    assert status(written) == (Status.FAILURE, b"file is not open for writing")
    writing = handle_of(session.handler.handle(1, requests.Open(b"/upload/b", CREATE, Attributes())))
    read = session.handler.handle(1, requests.Read(writing, 0, 10))
    assert status(read) == (Status.NO_SUCH_FILE, b"file is not open for that")


def test_a_read_is_capped(session: Session, tmp_path: Path) -> None:
    (tmp_path / "published/download/a").write_bytes(bytes(300_000))
    handle = handle_of(session.handler.handle(1, requests.Open(b"/download/a", OpenFlag.READ, Attributes())))
    assert len(whole(session.handler.handle(1, requests.Read(handle, 0, 2**32 - 1)))) == 13 + 261_120
    past = session.handler.handle(1, requests.Read(handle, 300_000, 10))
    assert status(past) == (Status.EOF, b"end of file")
    beyond = session.handler.handle(1, requests.Read(handle, 2**64 - 1, 10))
    assert status(beyond) == (Status.FAILURE, b"file too large")


def test_it_says_whether_an_upload_is_open(session: Session) -> None:
    assert not session.handler.uploading
    file = session.client.open("/upload/a", "wb")
    assert session.handler.uploading
    file.close()
    assert not session.handler.uploading


def test_exclusive_creation_fails_where_a_file_is(session: Session) -> None:
    session.put("/upload/a", b"abc")
    request = requests.Open(b"/upload/a", CREATE | OpenFlag.EXCLUSIVE, Attributes())
    assert status(session.handler.handle(1, request)) == (Status.FAILURE, b"file exists")


def test_a_hard_link_is_a_copy_that_passes_the_gates(tmp_path: Path) -> None:
    with Session(tmp_path, granted=(*BY_DEFAULT, "hardlink")) as session:
        session.put("/upload/a", b"abc")
        reply = session.handler.handle(1, requests.Hardlink(b"/upload/a", b"/upload/b"))
        assert status(reply) == (Status.OK, b"")
        assert session.get("/upload/b") == b"abc"
        assert (tmp_path / "published/upload/b").stat().st_nlink == 1
        assert session.monitor.kinds()[2:4] == ["Begin", "Complete"]


def test_extensions_answer(session: Session) -> None:
    handler = session.handler
    assert handler.handle(1, requests.Limits())[4] == 201
    assert len(handler.handle(1, requests.Statvfs(b"/"))) == 9 + 88
    assert b"/" in handler.handle(1, requests.HomeDirectory(b"bob"))
    file = handle_of(handler.handle(1, requests.Open(b"/upload/a", CREATE, Attributes())))
    assert len(handler.handle(1, requests.Fstatvfs(file))) == 9 + 88
    assert len(handler.handle(1, requests.Statvfs(b"/upload/a"))) == 9 + 88
    handler.handle(1, requests.Remove(b"/upload/a"))
    assert len(handler.handle(1, requests.Fstatvfs(file))) == 9 + 88
    for path in (b"/upload/a", b"/nowhere"):
        for missing in (requests.Statvfs(path), requests.SpaceAvailable(path)):
            assert status(handler.handle(1, missing))[0] is Status.NO_SUCH_FILE
    assert status(handler.handle(1, requests.Fsync(file))) == (Status.OK, b"")


def test_links_that_lead_nowhere_are_told_as_openssh_does(tmp_path: Path) -> None:
    with Session(tmp_path, granted=(*BY_DEFAULT, "symlink")) as session:
        handler, reading = session.handler, OpenFlag.READ
        for target, link in ((b"loop", b"/upload/loop"), (b"nothing", b"/upload/dangling")):
            assert status(handler.handle(1, requests.Symlink(target, link)))[0] is Status.OK
            for request in (requests.Stat(link), requests.Open(link, reading, Attributes())):
                assert status(handler.handle(1, request))[0] is Status.NO_SUCH_FILE
            through = status(handler.handle(1, requests.Open(link, CREATE, Attributes())))
            assert through == (Status.PERMISSION_DENIED, b"nothing is written through a link")


def test_a_fault_of_ours_is_told_without_its_inside(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.view, "attributes", lambda *_, **__: 1 / 0)
    reply = session.handler.handle(1, requests.Stat(b"/upload"))
    assert status(reply) == (Status.FAILURE, b"internal error")


def test_a_lost_monitor_ends_the_session(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise ChannelClosedError("gone")

    monkeypatch.setattr(session.monitor, "call", gone)
    with pytest.raises(ProcessError):
        session.handler.handle(1, requests.Mkdir(b"/upload/d", Attributes()))


def test_a_path_that_is_over_long_or_has_nul_is_a_bad_path(session: Session) -> None:
    for path in (b"/upload/\0", b"/upload/" + b"n" * 256, b"/upload/" + b"n/" * 2048):
        told = status(session.handler.handle(1, requests.Stat(path)))
        assert told == (Status.BAD_MESSAGE, b"bad path")


def test_nor_does_a_link_lead_to_one_with_nul(tmp_path: Path) -> None:
    with Session(tmp_path, granted=(*BY_DEFAULT, "symlink")) as session:
        told = status(session.handler.handle(1, requests.Symlink(b"a\0b", b"/upload/link")))
        assert told == (Status.BAD_MESSAGE, b"bad path")
