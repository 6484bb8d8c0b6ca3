"""Backups as files: what is written is read again, and nothing that others made of one does harm."""

import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sftpd.audit.checkpoint import SigningKey
from sftpd.backup import reader
from sftpd.backup.manifest import MANIFEST, SIGNATURE, SUMMARY, BackupError, Summary, seal
from sftpd.backup.restore import restore
from sftpd.backup.writer import Writer
from sftpd.clock import SystemClock
from sftpd.errors import RefusedError
from sftpd.files.beneath import Root
from sftpd.ledger.database import migrate, open_engine

KEY = SigningKey("test", Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
OTHER = SigningKey("test", Ed25519PrivateKey.from_private_bytes(b"\2" * 32))
ODD = b"links/demo/inbound/b\xff\xe9 \xc3\xa9\n%41.csv"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders with a ledger and files of all kinds of names."""
    root = tmp_path / "tree"
    (root / "state").mkdir(parents=True)
    engine = open_engine(f"sqlite:///{root}/state/ledger.db")
    migrate(engine)
    engine.dispose()
    (root / "links/demo/inbound/deep").mkdir(parents=True)
    (root / "links/demo/inbound/deep").chmod(0o710)
    (root / "links/demo/inbound" / ("n" * 250)).write_bytes(b"long")
    (root / "sftpd.toml").write_bytes(b"x" * 1_500_000)
    odd = os.fsencode(root) + b"/" + ODD
    with open(odd, "wb") as file:
        file.write(b"odd")
    os.chmod(odd, 0o604)
    os.utime(odd, ns=(1, 1_700_000_000_123_456_789))
    (root / "links/demo/inbound/link").symlink_to("/etc/passwd")
    return root


def written(tree: Path, key: SigningKey = KEY, *more: Callable[[Writer], None]) -> bytes:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as lines:
        writer = Writer(output.fileno(), lines)
        with Root.at(tree) as root:
            for name in (b"sftpd.toml", b"state", b"links"):
                writer.tree(name, root, (name,))
        for each in more:
            each(writer)
        tally = writer.tally
        summary = Summary(
            "test", "2026-03-01T10:00:00Z", "1", "1", 7, False, tally.files, tally.bytes, 0, tally.manifest
        )
        writer.close(*seal(summary, key))
        output.seek(0)
        return output.read()


def members(raw: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as opened:
        return [(info, opened.extractfile(info).read() if info.isreg() else b"") for info in opened]


def packed(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def put(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "backup.tar"
    path.write_bytes(raw)
    return path


def test_what_is_restored_is_what_was_there(tree: Path, tmp_path: Path) -> None:
    archive = put(tmp_path, written(tree))
    restored = restore(archive, tmp_path / "again", KEY.verifier, SystemClock())
    assert (restored.summary.epoch, restored.summary.files) == (7, 4)
    again = tmp_path / "again"
    assert (again / "sftpd.toml").read_bytes() == b"x" * 1_500_000
    odd = os.stat(os.fsencode(again) + b"/" + ODD)
    assert (odd.st_mtime_ns, odd.st_mode & 0o777, odd.st_size) == (1_700_000_000_123_456_789, 0o604, 3)
    assert (again / "links/demo/inbound/deep").stat().st_mode & 0o777 == 0o710
    assert len(list((again / "links/demo/inbound").iterdir())) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "backup.tar", "tree"]


def test_others_can_read_a_backup_too(tree: Path) -> None:
    names = [info.name for info, _ in members(written(tree))]
    assert names[-3:] == ["manifest.jsonl", "backup.json", "backup.json.sig"]
    assert "sftpd.toml" in names


def test_a_folder_that_is_not_empty_is_left_alone(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        restore(put(tmp_path, written(tree)), tree, KEY.verifier, SystemClock())
    (tmp_path / "again").mkdir()
    restore(tmp_path / "backup.tar", tmp_path / "again", KEY.verifier, SystemClock())


def test_a_backup_by_another_key_is_refused_unless_it_is_not_asked_who_made_it(tree: Path) -> None:
    raw = written(tree, OTHER)
    with pytest.raises(BackupError, match="signature"):
        reader.read(io.BytesIO(raw), KEY.verifier)
    assert reader.read(io.BytesIO(raw), None).instance == "test"


def test_no_byte_of_a_backup_can_be_changed_or_cut_off(tree: Path) -> None:
    (tree / "sftpd.toml").write_bytes(b"x")
    raw = written(tree)
    end = len(raw.rstrip(b"\0"))
    for cut in range(0, end, 1009):
        with pytest.raises(BackupError):
            reader.read(io.BytesIO(raw[:cut]), KEY.verifier)
    with pytest.raises(BackupError, match="after its end"):
        reader.read(io.BytesIO(raw + b"x"), KEY.verifier)
    start = raw.index(b"backup.json") - 1000
    for place in [*range(0, end, 4999), *range(start, end, 251)]:
        if raw[place] == 0:
            continue  # what fills up a block says nothing
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        try:
            summary = reader.read(io.BytesIO(changed), KEY.verifier)
        except BackupError:
            continue
        assert summary == reader.read(io.BytesIO(raw), KEY.verifier)


NAMES = (
    "/etc/passwd", "../evil", "links/../../evil", "links//x", "links/./x", "evil", "state/..",
    "links/" + "n" * 300, "links/" + "a/" * 2100 + "x",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_anywhere_else(tree: Path, tmp_path: Path, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = 4
    self_made(tmp_path, tree, [(info, b"evil")], "a name that may stand in no backup")


KINDS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_folders_and_files_is_made(tree: Path, tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("links/demo/evil")
    info.type, info.linkname = kind, "/etc"
    self_made(tmp_path, tree, [(info, b"")], "neither folder nor file")


def test_a_name_that_is_there_twice_is_refused(tree: Path, tmp_path: Path) -> None:
    twice = tarfile.TarInfo("links/demo/inbound/x")
    inside = tarfile.TarInfo("links/demo/inbound/x/y")

    def again(writer: Writer, name: bytes = b"sftpd.toml") -> None:
        with (tree / "sftpd.toml").open("rb") as file:
            writer.file(name, file.fileno())

    archive = put(tmp_path, written(tree, KEY, again))
    with pytest.raises(BackupError, match="twice"):
        restore(archive, tmp_path / "again", KEY.verifier, SystemClock())
    archive = put(tmp_path, written(tree, KEY, lambda writer: again(writer, b"sftpd.toml/y")))
    with pytest.raises(BackupError, match="twice"):
        restore(archive, tmp_path / "again", KEY.verifier, SystemClock())
    assert not list(tmp_path.glob("*again*"))
    self_made(tmp_path, tree, [(twice, b""), (inside, b"")], "not those of its manifest")


def test_a_header_that_would_fill_the_memory_is_refused(tree: Path, tmp_path: Path) -> None:
    info = tarfile.TarInfo("links/demo/x")
    info.pax_headers = {"comment": "x" * 100_000}
    self_made(tmp_path, tree, [(info, b"")], "too long")


def test_a_file_that_says_more_than_it_is_ends_the_reading(tree: Path) -> None:
    info = tarfile.TarInfo("links/demo/x")
    info.size = 1 << 50
    with pytest.raises(BackupError, match="cut off"):
        reader.read(io.BytesIO(info.tobuf(tarfile.PAX_FORMAT) + b"x"), None)


def self_made(tmp_path: Path, tree: Path, more: list[tuple[tarfile.TarInfo, bytes]], said: str) -> None:
    """A backup into which somebody put more is refused, and nothing is left of it."""
    entries = [(info, content) for info, content in members(written(tree))]
    first = [entry for entry in entries if os.fsencode(entry[0].name) not in (MANIFEST, SUMMARY, SIGNATURE)]
    archive = put(tmp_path, packed([*first, *more, *entries[len(first) :]]))
    before = sorted(tmp_path.rglob("*"))
    for key in (KEY.verifier, None):
        with pytest.raises(BackupError, match=said):
            restore(archive, tmp_path / "again", key, SystemClock())
    assert sorted(tmp_path.rglob("*")) == before
