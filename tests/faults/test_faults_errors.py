"""A disk that answers with EIO for a time: nothing is lost, doubled, partial or unrecorded."""

import contextlib
import itertools
import os
import random

import pytest
from daemon import eventually
from faults_crossing import CROSSINGS, PATIENCE, Upload
from faults_disorder import STILL, endure, files, frozen, with_and_without_restart
from faults_fuse import Layer
from faults_mounts import linger
from faults_reckoning import reckon
from faults_shore import Shore
from waiting import holds

from sftpd.files.beneath import Root
from sftpd.files.durable import NotDurableError, sync_file
from sftpd.files.fingerprint import snapshot

BIG = 2 << 20
PLACES = ("links", "state")
OPERATIONS = ("write", "fsync", "fsyncdir", "read", "rename")
CHOSEN = ["upload-links-write"]
OUTBOUND = "/demo/outbound"
ENDS_THERE = ("download", "links", "fsync")
"""A dropped file whose content the disk does not take fails: it may be damaged."""
CASES = [case for case in itertools.product(CROSSINGS, PLACES, OPERATIONS) if case != ENDS_THERE]


def marked(case):
    name = "-".join(case)
    return pytest.param(*case, id=name, marks=() if name in CHOSEN else pytest.mark.soak)


@contextlib.contextmanager
def layered(flow, folder, place, *, taking=True):
    """A crossing, and the layer under one of its folders. Unless `taking`, files stay where they arrive."""
    crossing = CROSSINGS[flow](folder)
    if not taking and flow != "remote":
        crossing.shore = Shore(crossing.shore.folder, taking=False)
    (crossing.daemon.root / place).mkdir(exist_ok=True)
    with Layer(crossing.daemon.root / place) as layer, crossing:
        yield crossing, layer


@with_and_without_restart
@pytest.mark.parametrize(("flow", "place", "operation"), [marked(case) for case in CASES])
def test_files_cross_once_though_a_disk_had_errors(flow, place, operation, restart, tmp_path, tally):
    with layered(flow, tmp_path, place) as (crossing, layer):

        @contextlib.contextmanager
        def disorder(crossing):
            with layer.failing(operation):
                yield
                if isinstance(crossing, Upload):
                    crossing.wait()
                else:
                    linger(STILL)

        endure(crossing, files(crossing, "before"), contextlib.nullcontext, tally)
        content = files(crossing, "while", big=BIG)
        endure(
            crossing,
            content,
            disorder,
            tally,
            early=True,
            told=lambda: layer.told,
            restart=restart,
            meanwhile=layer.remount,
        )


@pytest.mark.parametrize("size", [0, 20, 150_001])
def test_what_one_fsync_did_not_make_durable_another_one_does(size, tmp_path):
    folder, content = tmp_path / "folder", random.Random(size).randbytes(size)
    folder.mkdir()
    with Layer(folder) as layer, Root.at(folder) as root:
        (folder / "file").write_bytes(content)
        before = snapshot((folder / "file").stat())
        with layer.failing("fsync", below="/file"), pytest.raises(NotDurableError):
            sync_file(root, (b"file",))
        assert snapshot((folder / "file").stat()) == before
        sync_file(root, (b"file",))
        root.close()
        layer.remount()
        assert (folder / "file").read_bytes() == content


@pytest.mark.parametrize(
    ("flow", "place", "below"),
    [
        ("upload", "links", "/demo/.sftpd/staging"),
        pytest.param("pull", "links", "/demo/.sftpd/screening", marks=pytest.mark.soak),
        ("download", "links", OUTBOUND),
        pytest.param("remote", "links", OUTBOUND, marks=pytest.mark.soak),
        pytest.param("upload", "state", "/ledger.db", marks=pytest.mark.soak),
        pytest.param("pull", "state", "/ledger.db", marks=pytest.mark.soak),
        pytest.param("download", "state", "/ledger.db", marks=pytest.mark.soak),
        pytest.param("remote", "state", "/ledger.db", marks=pytest.mark.soak),
        pytest.param("upload", "state", "/audit", marks=pytest.mark.soak),
        ("remote", "state", "/audit"),
    ],
)
def test_what_an_fsync_did_not_make_durable_is_not_acknowledged(flow, place, below, tmp_path, tally):
    """Nor after another fsync, which succeeds and makes nothing durable of what the first one failed on."""
    with layered(flow, tmp_path, place, taking=False) as (crossing, layer):
        daemon, content = crossing.daemon, files(crossing, "fsync")
        daemon.start()
        with layer.failing("fsync", below=below):
            with frozen(daemon.pid):
                crossing.put(content)
            crossing.begin()
            assert holds(lambda: layer.told, PATIENCE), daemon.log[-5000:]
        crossing.wait()
        crossing.again()
        crossing.settle()
        daemon.events()
        crossing.end()
        layer.remount()
        daemon.start()
        crossing.settle()
        failed = {row["path"] for row in crossing.rows("SELECT path FROM transfer WHERE state = 'failed'")}
        told = {line.removeprefix(f"fsync {OUTBOUND}/") for line in layer.told}
        assert failed == (told if flow == "download" and below == OUTBOUND else set())
        reckoning = reckon(crossing, sorted(content.keys() - failed))
        tally.add(reckoning)
        assert reckoning.faults == [], f"{layer.told}\n{daemon.log[-20000:]}"


def test_a_file_whose_name_is_not_durable_is_not_acknowledged_and_stays_in_its_place(tmp_path):
    with layered("upload", tmp_path, "links", taking=False) as (crossing, layer):
        daemon = crossing.daemon
        daemon.start()
        with layer.failing("fsyncdir", below="/demo/inbound"):
            done = daemon.sftp_batch(f"put {daemon.file('a.csv', b'content')} /upload/a.csv")
        assert done.returncode != 0
        assert layer.told
        for state in ("placing", "done"):
            (row,) = crossing.rows("SELECT state, folder, reason FROM transfer")
            assert row == {"state": state, "folder": "inbound", "reason": None}
            assert (daemon.inbound / "a.csv").read_bytes() == b"content"
            assert os.listdir(daemon.link / "quarantine") == []
            daemon.stop()
            daemon.start()
            crossing.settle()
        assert len(daemon.events_of("transfer.received")) == 1


@pytest.mark.slow
def test_a_dropped_file_that_the_disk_does_not_give_is_told_of_logged_once_and_sent_once_it_does(tmp_path):
    with layered("download", tmp_path, "links") as (crossing, layer):
        daemon = crossing.daemon
        daemon.configure_link("[route]", "overdue_after = 1", "poll_every = 1")
        with layer.failing("read", below=f"{OUTBOUND}/bad.csv"):
            for name in ("bad.csv", "good.csv"):
                (daemon.outbound / name).write_bytes(name.encode())
            daemon.start()
            eventually(lambda: daemon.events_of("waiting.overdue"), daemon)
            before = len(layer.told)
            assert holds(lambda: len(layer.told) > before, PATIENCE), "it is not tried again"
            assert os.listdir(daemon.outbound) == ["bad.csv"]
            assert daemon.log.count("file_not_readable") == 1
            assert "claim_fault" not in daemon.log
        eventually(lambda: os.listdir(daemon.outbound) == [], daemon)
        eventually(lambda: daemon.events_of("waiting.ended"), daemon)
        data = [event["data"] for event in daemon.events_of("waiting.overdue", "waiting.ended")]
        assert [(one["route"], one["reason"]) for one in data] == [("out", "unreadable")] * 2
        crossing.settle()
        assert len(daemon.events_of("transfer.delivered")) == 2
