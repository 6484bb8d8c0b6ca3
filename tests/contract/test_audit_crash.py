"""kill -9 at any step of appending and recovering loses nothing acknowledged and signs one tree only."""

import errno
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from deaths import die_after

from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.log import AuditLog
from sftpd.audit.verify import verify_consistency, verify_log
from sftpd.errors import AuditError

ORIGIN = "office/demo"
KEY = SigningKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)))
CHANGES = [
    (os, ["fsync", "fdatasync", "ftruncate"]),
    (Path, ["replace", "mkdir", "chmod"]),
    (shutil, ["rmtree"]),
]
"""The calls besides writes that change the disk."""

START, BATCHES = 250, [3, 270, 1]
"""The log before a crash, and appends that stay in a tile, fill two, and add to the last."""

APPENDER = """
import random, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.log import AuditLog
key = SigningKey("office/demo", Ed25519PrivateKey.from_private_bytes(bytes(32)))
with AuditLog.open(Path(sys.argv[1]), origin="office/demo", key=key) as log:
    while True:
        count = random.choice([1, 2, 30, 300])
        log.append([b"leaf %d" % number for number in range(log.size, log.size + count)])
        print(log.size, flush=True)
"""


def leaves(start, stop):
    return [b"leaf %d" % number for number in range(start, stop)]


def opened(directory):
    return AuditLog.open(directory, origin=ORIGIN, key=KEY)


def verified(directory):
    return verify_log(directory / "public", [KEY.verifier], origin=ORIGIN, journal=directory / "journal")


def assert_sound(directory, acknowledged, kept):
    """What is published verifies; reopened it has all acknowledged, goes on, and continues what was kept."""
    assert verified(directory).size >= acknowledged
    with opened(directory) as log:
        assert log.size >= acknowledged
        assert list(log.leaves(0, log.size)) == leaves(0, log.size)
        assert verified(directory).size == log.size
        log.append(leaves(log.size, log.size + 5))
    size = verified(directory).size
    assert verify_consistency(kept, directory / "public", [KEY.verifier], origin=ORIGIN).size == size
    assert {path.name for path in directory.iterdir()} <= {"journal", "public", "scratch"}


def run_and_die(steps, work):
    """Run `work(report)` in a child that dies after `steps`; return the last report and whether it died."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        write = os.write
        code = 1
        try:
            die_after(steps, *CHANGES)
            work(lambda number: write(sender, number.to_bytes(4, "big")))
            code = 0
        finally:
            os._exit(code)
    os.close(sender)
    with open(receiver, "rb") as pipe:
        reports = pipe.read()
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status)
    assert killed or os.waitstatus_to_exitcode(status) == 0
    return int.from_bytes(reports[-4:], "big"), killed


def append_all(directory):
    def work(report):
        log = opened(directory)
        for count in BATCHES:
            log.append(leaves(log.size, log.size + count))
            report(log.size)

    return work


def recover(directory):
    return lambda report: report(opened(directory).size)


@pytest.fixture
def started(tmp_path):
    """The folder of a log of START leaves, and its checkpoint."""
    directory = tmp_path / "log"
    with opened(directory) as log:
        log.append(leaves(0, START))
    return directory, (directory / "public" / "checkpoint").read_bytes()


def test_death_at_every_step_of_appending(started, tmp_path):
    directory, kept = started
    steps, killed = 0, True
    while killed:
        copy = shutil.copytree(directory, tmp_path / "copy")
        acknowledged, killed = run_and_die(steps, append_all(copy))
        assert_sound(copy, max(acknowledged, START), kept)
        shutil.rmtree(copy)
        steps += 1
    assert steps > 40


def test_death_at_every_step_of_recovery(started, tmp_path):
    directory, kept = started
    for crash in (12, 30):
        broken = shutil.copytree(directory, tmp_path / "broken")
        acknowledged, killed = run_and_die(crash, append_all(broken))
        steps = 0
        while killed:
            copy = shutil.copytree(broken, tmp_path / "copy")
            _, killed = run_and_die(steps, recover(copy))
            assert_sound(copy, max(acknowledged, START), kept)
            shutil.rmtree(copy)
            steps += 1
        assert steps > 3
        shutil.rmtree(broken)


def test_death_at_every_step_of_making_a_log(tmp_path):
    steps, killed = 0, True
    while killed:
        directory = tmp_path / str(steps)
        _, killed = run_and_die(steps, recover(directory))
        with opened(directory) as log:
            assert log.append(leaves(0, 1)) == range(1)
        assert verified(directory).size == 1
        steps += 1


@pytest.mark.parametrize("size", [0, 3])
def test_partial_tiles_that_a_power_loss_emptied_are_mended(started, size):
    directory, kept = started
    with opened(directory) as log:
        log.append(leaves(START, 300))
        log.append(leaves(300, 310))
    for path in directory.glob("public/tile/**/*.p/*"):
        os.truncate(path, size)
    with opened(directory) as log:
        assert log.size == 310
    assert_sound(directory, 310, kept)


@pytest.mark.parametrize("call", ["fdatasync", "fsync", "replace"])
def test_what_could_not_be_made_durable_is_neither_signed_nor_forgotten(started, monkeypatch, call):
    directory, kept = started

    def fail(*args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(directory) as log:
        monkeypatch.setattr(Path if call == "replace" else os, call, fail)
        for _ in range(2):
            with pytest.raises(AuditError):
                log.append(leaves(START, START + 100))
        monkeypatch.undo()
        assert log.size == START
        assert (directory / "public" / "checkpoint").read_bytes() == kept
        assert leaves(0, 1)[0] in (directory / "journal").read_bytes()
    assert_sound(directory, START, kept)


def test_what_must_last_is_synced_before_and_after_it_takes_its_name(started, monkeypatch):
    directory, _ = started
    synced, renamed = [], []
    fsync, replace = os.fsync, Path.replace

    def record_sync(fd):
        synced.append(os.fstat(fd).st_ino)
        fsync(fd)

    def record_rename(path, target):
        if ".p" not in target.parent.suffix:
            assert path.stat().st_ino == synced[-1]
            renamed.append(target)
        return replace(path, target)

    with opened(directory) as log:
        monkeypatch.setattr(os, "fsync", record_sync)
        monkeypatch.setattr(Path, "replace", record_rename)
        log.append(leaves(START, 256))
        monkeypatch.undo()
    assert [path.name for path in renamed] == ["000", "000", "checkpoint", "journal"]
    assert {path.parent.stat().st_ino for path in renamed} <= set(synced)


def test_kill_9_at_random_moments(tmp_path):
    directory = tmp_path / "log"
    with opened(directory):
        kept, acknowledged = (directory / "public" / "checkpoint").read_bytes(), 0
    for _ in range(10):
        command = [sys.executable, "-c", APPENDER, str(directory)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                for _ in range(random.randrange(1, 40)):
                    acknowledged = int(process.stdout.readline())
                assert verified(directory).size >= acknowledged
            finally:
                process.kill()
            for line in process.stdout:
                acknowledged = int(line)
        assert_sound(directory, acknowledged, kept)
        kept = (directory / "public" / "checkpoint").read_bytes()
