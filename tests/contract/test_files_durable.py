import os
import resource
import signal
import subprocess
import sys
from itertools import pairwise

import pytest

from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import Fingerprint, fingerprint, identity
from sftpd.files.naming import move_aside


@pytest.fixture
def source(tmp_path):
    (tmp_path / "source").mkdir()
    with Root.at(tmp_path / "source") as root:
        yield root


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    with Root.at(tmp_path / "target") as root:
        yield root


def test_content_is_written_with_its_mode(tmp_path):
    path = tmp_path / "key"
    durable.write_file(path, b"first", mode=0o600)
    durable.write_file(path, b"second", mode=0o600)
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_a_failed_write_leaves_the_old_content_and_no_draft(tmp_path):
    path = tmp_path / "state"
    path.write_bytes(b"old")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            durable.write_file(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state"]


WRITE_FOR_EVER = """
import itertools, sys
from pathlib import Path
from sftpd.files.durable import write_file
for number in itertools.count():
    write_file(Path(sys.argv[1]), (b"%08d" % number) * 5000)
    print(number, flush=True)
"""


def test_after_kill_9_the_content_is_whole_and_at_least_what_was_acknowledged(tmp_path):
    path = tmp_path / "state"
    acknowledged = []
    for rounds in (1, 7, 20):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True
        )
        with writer:
            acknowledged = [int(writer.stdout.readline()) for _ in range(rounds)]
            writer.kill()
        content = path.read_bytes()
        assert content == content[:8] * 5000
        assert int(content[:8]) >= acknowledged[-1]


def test_publishing_moves_a_file_whole_and_replaces_nothing(source, target, tmp_path):
    for content in (b"first", b"second"):
        (tmp_path / "source/part").write_bytes(content)
        if content == b"first":
            durable.publish(source, (b"part",), target, (b"a", b"b", b"report"))
    with pytest.raises(FileExistsError):
        durable.publish(source, (b"part",), target, (b"a", b"b", b"report"))
    assert (tmp_path / "target/a/b/report").read_bytes() == b"first"
    durable.publish(source, (b"part",), target, (b"a", b"b", b"report"), replace=True)
    assert (tmp_path / "target/a/b/report").read_bytes() == b"second"
    assert os.listdir(tmp_path / "source") == []


def test_content_is_durable_before_its_name_and_that_before_we_return(source, target, monkeypatch, tmp_path):
    (tmp_path / "source/part").write_bytes(b"content")
    steps = []
    sync, rename = os.fsync, os.rename

    def noted_sync(fd):
        sync(fd)
        steps.append(os.readlink(f"/proc/self/fd/{fd}").removeprefix(str(tmp_path)))

    def noted_rename(*arguments, **options):
        rename(*arguments, **options)
        steps.append("rename")

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "rename", noted_rename)
    durable.publish(source, (b"part",), target, (b"a", b"b", b"file"), replace=True)
    assert steps == ["/source/part", "/target", "/target/a", "rename", "/target/a/b", "/source"]


def test_files_put_aside_get_names_of_their_own(source, target, tmp_path):
    places = []
    for content in (b"1", b"2", b"3"):
        (tmp_path / "source/report.csv").write_bytes(content)
        places.append(move_aside(source, (b"report.csv",), target, (b"in", b"report.csv")))
    assert places == [(b"in", b"report.csv"), (b"in", b"report.1.csv"), (b"in", b"report.2.csv")]
    contents = [(tmp_path / "target/in" / os.fsdecode(name)).read_bytes() for _, name in places]
    assert contents == [b"1", b"2", b"3"]


def test_a_fingerprint_covers_the_whole_and_leaves_the_offset(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1_000_000)
    with path.open("rb") as file:
        file.seek(5)
        found = fingerprint(file.fileno())
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 5
    digest = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout
    assert found == Fingerprint(bytes.fromhex(digest.split()[0]), 3_000_000)


def test_a_snapshot_changes_with_every_kind_of_change(tmp_path):
    path = tmp_path / "file"
    snapshots = []
    for change in (
        lambda: path.write_bytes(b"a"),
        lambda: path.write_bytes(b"ab"),
        lambda: os.utime(path, ns=(1, 1)),
        lambda: durable.write_file(path, b"ab"),
    ):
        change()
        with path.open("rb") as file:
            snapshots.append(identity(file.fileno()))
    assert all(one != other for one, other in pairwise(snapshots))
    with path.open("rb") as file:
        assert identity(file.fileno()) == snapshots[-1]


def test_what_is_made_durable_together_syncs_each_folder_once_and_new_names_first(tmp_path, monkeypatch):
    synced = []
    with Root.at(tmp_path) as source, Root.at(tmp_path) as target:
        names = {id(source): "source", id(target): "target"}
        monkeypatch.setattr(
            durable, "sync_parent", lambda root, parts: synced.append((names[id(root)], parts[:-1]))
        )
        moves = durable.Unsynced()
        for number, folder in enumerate((b"a", b"b", b"a")):
            name = b"%d" % number
            (tmp_path / os.fsdecode(folder)).mkdir(exist_ok=True)
            (tmp_path / os.fsdecode(name)).write_bytes(b"x")
            durable.rename(source, (name,), target, (folder, name), replace=False, among=moves)
        assert synced == []
        moves.sync()
        assert synced == [("target", (b"b",)), ("target", (b"a",)), ("source", ())]
        moves.sync()
        assert len(synced) == 3
