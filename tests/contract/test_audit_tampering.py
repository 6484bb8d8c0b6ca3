"""Any byte that is changed in a log's files is found, and the file it is in is named."""

import os
import re
import shutil
from datetime import UTC, datetime

import pytest

from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.event import seal
from sftpd.audit.log import AuditLog
from sftpd.audit.tiles import decode_bundle, encode_bundle
from sftpd.audit.verify import verify_log
from sftpd.errors import AuditError

ORIGIN = "office/demo"
KEY = SigningKey.generate(ORIGIN)
BATCHES = [100, 150, 10, 40]


def leaf(number):
    return seal(
        event_id=f"{number:04}",
        type="transfer.received",
        time=datetime(2026, 3, 1, tzinfo=UTC),
        link="demo",
        source="urn:sftpd:office",
        public={"size": number},
        private={"path": f"/upload/jansen-{number}.csv", "account": "p.jansen@example.nl"},
    ).leaf


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("audit") / "log"
    with AuditLog.open(directory, origin=ORIGIN, key=KEY) as log:
        for count in BATCHES:
            log.append([leaf(log.size + number) for number in range(count)])
    return directory


def verify(directory):
    return verify_log(directory / "public", [KEY.verifier], origin=ORIGIN, journal=directory / "journal")


def files(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())


def positions(path):
    """Every byte of the checkpoint; of longer files the ends and a sample between."""
    size = path.stat().st_size
    step = 1 if path.name == "checkpoint" else 499
    return sorted({*range(0, size, step), *range(min(size, 16)), *range(max(size - 16, 0), size)})


def test_the_log_has_every_kind_of_file(log_folder):
    names = {str(path.relative_to(log_folder)) for path in files(log_folder)}
    both = ["000", "000.p/100", "000.p/250", "001.p/4", "001.p/44"]
    tiles = ["1/000.p/1", *(f"{kind}/{name}" for kind in ("0", "entries") for name in both)]
    expected = {"journal", "public/checkpoint"}
    assert names == expected | {f"public/tile/{tile}" for tile in tiles}
    assert verify(log_folder).size == sum(BATCHES)


def test_a_flipped_byte_in_any_file_is_found_and_its_file_named(log_folder, tmp_path):
    copy = shutil.copytree(log_folder, tmp_path / "log")
    for path in files(copy):
        whole = path.read_bytes()
        for at in positions(path):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
            with pytest.raises(AuditError) as caught:
                verify(copy)
            message = str(caught.value)
            assert re.match(rf"{re.escape(str(path))}[: ]", message), (path, at, message)
            assert re.search(r"(byte|line) \d+", message), message
        path.write_bytes(whole)
    verify(copy)


def test_the_leaf_that_was_changed_is_named(log_folder, tmp_path):
    copy = shutil.copytree(log_folder, tmp_path / "log")
    bundle = copy / "public" / "tile" / "entries" / "000"
    bundle.write_bytes(bundle.read_bytes().replace(b'"id":"0200"', b'"id":"0999"'))
    with pytest.raises(AuditError, match=r"entries/000: leaf 200 at byte \d+ does not hash to byte 6400 of"):
        verify(copy)


@pytest.mark.parametrize("name", ["entries/000", "entries/001.p/44"])
@pytest.mark.parametrize("count", [-1, 1])
def test_an_entry_too_few_or_too_many_is_found_in_its_bundle(log_folder, tmp_path, name, count):
    copy = shutil.copytree(log_folder, tmp_path / "log")
    path = copy / "public" / "tile" / name
    leaves = decode_bundle(path.read_bytes(), name)
    path.write_bytes(encode_bundle(leaves[:-1] if count < 0 else [*leaves, b"more"]))
    with pytest.raises(
        AuditError, match=rf"{name}: bundle ends at byte \d+ after {len(leaves) + count} entries"
    ):
        verify(copy)


@pytest.mark.parametrize("change", ["missing", "short", "long"])
def test_a_missing_short_or_long_file_is_found(log_folder, tmp_path, change):
    for original in files(log_folder):
        copy = shutil.copytree(log_folder, tmp_path / "log")
        path = copy / original.relative_to(log_folder)
        superseded = path.name in ("4", "100", "250")
        if change == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1] if change == "short" else path.read_bytes() + b"\0")
        if (change == "missing" and superseded) or (change == "long" and path.name == "journal"):
            verify(copy)  # the one may be deleted, the other is a torn tail that was never acknowledged
        else:
            with pytest.raises(AuditError, match=f"{path}[: ]"):
                verify(copy)
        shutil.rmtree(copy)


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000", "tile/entries/000", "tile/0/001.p/4"])
@pytest.mark.parametrize("sort", ["pipe", "link", "folder", "endless"])
def test_what_is_no_file_of_a_log_is_found_and_neither_waited_for_nor_read_to_its_end(
    log_folder, tmp_path, name, sort
):
    path = shutil.copytree(log_folder, tmp_path / "log") / "public" / name
    if sort != "endless":
        path.unlink()
    match sort:
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "endless":
            os.truncate(path, 1 << 40)
    with pytest.raises(AuditError, match=f"{path}[: ]"):
        verify(tmp_path / "log")


def test_names_beside_partial_tiles_that_no_tile_has_are_passed_over(log_folder, tmp_path):
    copy = shutil.copytree(log_folder, tmp_path / "log")
    for name in ("0", "004", "٣", "x"):
        (copy / "public" / "tile" / "0" / "001.p" / name).touch()
    assert verify(copy).size == sum(BATCHES)


def test_the_published_log_holds_no_private_value(log_folder):
    for path in files(log_folder):
        raw = path.read_bytes()
        assert b"jansen" not in raw
        assert b".csv" not in raw
