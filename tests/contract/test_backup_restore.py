"""A restored ledger knows its files again, and a crash amid a restore leaves no half instance."""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.event import seal
from sftpd.backup.manifest import Summary
from sftpd.backup.manifest import seal as sealed
from sftpd.backup.restore import Restored, restore
from sftpd.backup.writer import Writer
from sftpd.clock import SystemClock
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import snapshot
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger

KEY = SigningKey("test", Ed25519PrivateKey.from_private_bytes(b"\1" * 32))


def opened(root: Path) -> Ledger:
    url = f"sqlite:///{root}/state/ledger.db"
    return Ledger.open(url, clock=SystemClock(), seal=partial(seal, source="sftpd://test"))


def mark(path: Path) -> str:
    return str(snapshot(path.stat()))


def kept(root: Path, ledger: Ledger, file: str, place: str) -> None:
    """Enter a file of the link as received."""
    folder, _, path = place.partition("/")
    content = (root / "links/demo" / place).read_bytes()
    now = SystemClock().now()
    row = {
        "id": file, "link": "demo", "folder": folder, "path": path.encode(),
        "source": mark(root / "links/demo" / place), "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(), "received_at": now, "state": "present",
        "changed_at": now,
    }  # fmt: skip
    ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), [row]))


def waiting(root: Path, ledger: Ledger, place: str) -> None:
    """Enter a file that waits to be sent."""
    now = SystemClock().now()
    row = {
        "id": "t1", "link": "demo", "direction": "outbound", "route": "out", "peer": "far", "path": b"a.csv",
        "source": mark(root / "links/demo" / place), "size": 1, "sha256": "", "state": "waiting",
        "began_at": now, "changed_at": now,
    }  # fmt: skip
    ledger.write(lambda unit: unit.conn.execute(tables.transfer.insert(), [row]))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A backup of a link, after whose ledger a file was received and another one taken away."""
    root = tmp_path / "live"
    for name in ("state", "links/demo/inbound", "links/demo/outbound", "links/demo/quarantine"):
        (root / name).mkdir(parents=True)
    for place in ("inbound/known.csv", "inbound/taken.csv", "outbound/a.csv", "quarantine/x.reason.txt"):
        (root / "links/demo" / place).write_text(place)
    ledger = opened(root)
    kept(root, ledger, "k1", "inbound/known.csv")
    kept(root, ledger, "k2", "inbound/taken.csv")
    waiting(root, ledger, "outbound/a.csv")
    marked = {"link": "demo", "folder": "inbound", "identity": "1:2", "since": SystemClock().now()}
    ledger.write(lambda unit: unit.conn.execute(tables.folder_mark.insert(), [marked]))
    ledger.close()
    (root / "links/demo/inbound/taken.csv").unlink()
    (root / "links/demo/inbound/later.csv").write_text("later")
    path = tmp_path / "backup.tar"
    with path.open("xb") as output, tempfile.TemporaryFile() as lines, Root.at(root) as folder:
        writer = Writer(output.fileno(), lines)
        for name in (b"state", b"links"):
            writer.tree(name, folder, (name,))
        tally = writer.tally
        told = (7, False, tally.files, tally.bytes, 0, tally.manifest)
        writer.close(*sealed(Summary("test", "2026-03-01T10:00:00Z", "1", "1", *told), KEY))
    return path


def restored(archive: Path, target: Path) -> Restored:
    return restore(archive, target, KEY.verifier, SystemClock())


def test_the_ledger_knows_its_files_again_and_tells_of_what_does_not_agree(archive: Path) -> None:
    target = archive.with_name("again")
    adopted = restored(archive, target).adopted
    assert [place[1:] for place in adopted.first_missing] == [("inbound", b"taken.csv")]
    assert [place[1:] for place in adopted.first_unknown] == [("inbound", b"later.csv")]
    assert (adopted.missing, adopted.unknown) == (1, 1)
    ledger = opened(target)
    with ledger.read() as conn:
        sources = dict(conn.execute(tables.kept_file.select().with_only_columns(*_ID_AND_SOURCE)).all())
        transfer = conn.execute(tables.transfer.select()).one()
        assert conn.execute(tables.folder_mark.select()).all() == []
        leaves = b"".join(row.leaf for row in conn.execute(tables.outbox.select()))
    ledger.close()
    assert sources["k1"] == mark(target / "links/demo/inbound/known.csv")
    assert transfer.source == mark(target / "links/demo/outbound/a.csv")
    for event in (b"backup.restored", b"backup.file_missing", b"backup.file_unknown", b"retention.frozen"):
        assert leaves.count(event) == 1
    assert b"taken.csv" not in leaves


_ID_AND_SOURCE = (tables.kept_file.c.id, tables.kept_file.c.source)


def test_a_restore_that_is_killed_leaves_no_folder_of_that_name_and_can_be_repeated(archive: Path) -> None:
    steps = int(killed(archive, archive.with_name("whole"), -1))
    assert steps > 15
    for step in range(0, steps, 9):
        target = archive.with_name(f"again-{step}")
        killed(archive, target, step)
        assert not target.exists()
    assert restored(archive, target).adopted.missing == 1


def killed(archive: Path, target: Path, step: int) -> bytes:
    """Restore in a process that is killed at `step`; returns what it printed."""
    command = [sys.executable, __file__, str(archive), str(target), str(step)]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == (0 if step < 0 else -signal.SIGKILL), done.stderr
    return done.stdout


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))
    from deaths import die_before

    taken = die_before(int(sys.argv[3]), (os, ("fsync", "mkdir", "fchmod", "utime", "rename", "unlink")))
    restored(Path(sys.argv[1]), Path(sys.argv[2]))
    print(taken())
