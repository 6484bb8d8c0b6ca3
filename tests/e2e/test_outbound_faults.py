"""What goes wrong on the way to a remote: files wait, fail with a reason or are held back; none is lost."""

import hashlib
import json
import os
import signal

import pytest
from daemon import Daemon, eventually
from sshd import make_key, sshd
from traffic_scene import Consumer, couriers, make_files, names, outbound, states, with_remote
from waiting import holds

BIG = 48 * 1024 * 1024


@pytest.fixture
def server(tmp_path):
    with sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "instance")
    yield made
    made.kill()


@pytest.fixture
def consumer(tmp_path, server):
    with Consumer(server.root, tmp_path / "consumed") as running:
        yield running


def freeze_couriers(daemon, server):
    """Stop every courier while it is writing a big file."""
    eventually(lambda: any(part.stat().st_size for part in server.root.glob(".sftpd-*.part")), daemon)
    for pid in couriers(daemon):
        os.kill(pid, signal.SIGSTOP)


def thaw_couriers(daemon):
    for pid in couriers(daemon):
        os.kill(pid, signal.SIGCONT)


def all_wait(daemon, number):
    """Whether so many files wait, but for those with which the remote is tried."""
    found = states(daemon)
    return found["waiting"] > 0 and found["waiting"] + found["sending"] == found.total() == number


def test_files_wait_for_a_remote_that_is_down(daemon, server, consumer):
    with_remote(daemon, server, outbound(server.root))
    server.kill()
    made = make_files(daemon.outbound, 20, seed=5)
    daemon.start()
    eventually(lambda: "cannot be reached" in daemon.log and all_wait(daemon, 20), daemon)

    server.start()

    eventually(lambda: states(daemon) == {"done": 20}, daemon)
    eventually(lambda: consumer.hashes == made, daemon)
    assert set(consumer.taken.values()) == {1}


def test_a_remote_that_goes_down_in_between_gets_each_file_once(daemon, server, consumer):
    with_remote(daemon, server, outbound(server.root))
    made = make_files(daemon.outbound, 60, seed=6)
    daemon.start()
    for mark in (5, 25):
        eventually(lambda mark=mark: consumer.taken.total() > mark, daemon)
        server.kill()
        server.start()

    eventually(lambda: states(daemon) == {"done": 60}, daemon)
    assert consumer.hashes == made
    assert set(consumer.taken.values()) == {1}
    assert names(server.root) == []


def test_a_remote_with_another_host_key_gets_nothing(daemon, server, tmp_path):
    make_key(tmp_path / "other", "ed25519")
    with_remote(daemon, server, outbound(server.root), host_key=(tmp_path / "other.pub").read_text())
    (daemon.outbound / "secret.csv").write_bytes(b"for their eyes only")
    daemon.start()

    eventually(lambda: "is not pinned" in daemon.log, daemon)
    eventually(lambda: states(daemon) == {"waiting": 1}, daemon)
    eventually(lambda: daemon.events_of("remote.suspended"), daemon)
    assert names(server.root) == []
    assert names(daemon.outbound) == ["secret.csv"]


def test_a_remote_folder_that_cannot_be_made_is_told_of_and_tried_again(daemon, server):
    in_the_way = server.root / "their"
    in_the_way.write_bytes(b"a file where a folder should be")
    with_remote(daemon, server, outbound(in_the_way / "inbox"))
    (daemon.outbound / "report.csv").write_bytes(b"for the inbox")
    daemon.start()
    eventually(lambda: states(daemon) == {"waiting": 1}, daemon)
    told = next(line for line in daemon.log.splitlines() if "delivery_failed" in line)
    assert "partner" in told

    in_the_way.unlink()

    eventually(lambda: states(daemon) == {"done": 1}, daemon)
    assert (in_the_way / "inbox/report.csv").read_bytes() == b"for the inbox"


def test_a_file_that_was_tried_often_enough_fails_with_its_reason(daemon, server):
    in_the_way = server.root / "their"
    in_the_way.write_bytes(b"a file where a folder should be")
    with_remote(daemon, server, outbound(in_the_way / "inbox", "attempts = 2"))
    (daemon.outbound / "report.csv").write_bytes(b"never to arrive")
    daemon.start()

    eventually(lambda: states(daemon) == {"failed": 1}, daemon)
    eventually(lambda: daemon.events_of("transfer.failed"), daemon)

    assert names(daemon.failed) == ["report.csv", "report.csv.reason.txt"]
    assert (daemon.failed / "report.csv").read_bytes() == b"never to arrive"
    assert "partner" in (daemon.failed / "report.csv.reason.txt").read_text()
    assert names(daemon.outbound) == []
    assert names(server.root) == ["their"]
    assert len(daemon.events_of("transfer.failed")) == 1


def test_files_that_wait_for_a_wrong_folder_go_to_the_right_one_once_it_is_told(daemon, server):
    wrong = server.root / "their"
    wrong.write_bytes(b"a file where a folder should be")
    with_remote(daemon, server, outbound(wrong / "inbox"))
    (daemon.outbound / "report.csv").write_bytes(b"content")
    daemon.start()
    eventually(lambda: states(daemon)["waiting"], daemon)
    (told,) = json.loads(daemon.cli("transfer", "list", "--json").stdout)
    assert f"partner:{wrong}/inbox/: " in told["reason"]

    text = daemon.link_config.read_text()
    daemon.link_config.write_text(text.replace(f"{wrong}/inbox", f"{server.root}/right"))
    daemon.reload()
    eventually(lambda: states(daemon) == {"done": 1}, daemon)
    assert names(server.root / "right") == ["report.csv"]


def test_a_file_whose_name_is_a_folder_there_fails_and_holds_up_no_other(daemon, server):
    (server.root / "a.csv").mkdir()
    with_remote(daemon, server, outbound(server.root, "attempts = 3", "strict = true"))
    for name in ("a.csv", "b.csv"):
        (daemon.outbound / name).write_bytes(b"content")
    daemon.start()

    eventually(lambda: states(daemon) == {"failed": 1, "done": 1}, daemon)
    eventually(lambda: daemon.events_of("transfer.failed"), daemon)

    assert names(daemon.failed) == ["a.csv", "a.csv.reason.txt"]
    assert f"partner:{server.root}/: it refuses" in (daemon.failed / "a.csv.reason.txt").read_text()
    assert names(server.root) == ["a.csv", "b.csv"]
    assert names(server.root / "a.csv") == []


def test_a_rejected_file_goes_to_quarantine_and_not_to_the_remote(daemon, server):
    policy = '[route.policy]\ndeny = ["*.exe"]\n'
    with_remote(daemon, server, outbound(server.root) + policy)
    for name in ("game.exe", "report.csv"):
        (daemon.outbound / name).write_bytes(b"content")
    daemon.start()

    eventually(lambda: states(daemon) == {"quarantined": 1, "done": 1}, daemon)
    eventually(lambda: daemon.events_of("transfer.blocked"), daemon)
    assert names(daemon.quarantine) == ["game.exe"]
    assert names(server.root) == ["report.csv"]
    assert names(daemon.outbound) == []
    assert len(daemon.events_of("transfer.blocked")) == 1


def test_a_file_replaced_while_it_is_sent_arrives_only_as_it_is_now(daemon, server, consumer, tmp_path):
    with_remote(daemon, server, outbound(server.root))
    (daemon.outbound / "report.bin").write_bytes(os.urandom(BIG))
    daemon.start()
    freeze_couriers(daemon, server)

    newer = tmp_path / "newer"
    newer.write_bytes(b"as it is now")
    newer.rename(daemon.outbound / "report.bin")
    see_it_settled(daemon, consumer)
    thaw_couriers(daemon)

    eventually(lambda: states(daemon) == {"done": 2, "vanished": 1}, daemon)
    assert consumer.taken == {"report.bin": 1, "later.csv": 1}
    assert consumer.hashes["report.bin"] == hashlib.sha256(b"as it is now").hexdigest()
    assert names(server.root) == []


def test_a_file_rewritten_while_it_is_sent_arrives_only_as_it_is_now(daemon, server, consumer):
    with_remote(daemon, server, outbound(server.root))
    (daemon.outbound / "report.bin").write_bytes(os.urandom(BIG))
    daemon.start()
    freeze_couriers(daemon, server)

    (daemon.outbound / "report.bin").write_bytes(b"as it is now")
    see_it_settled(daemon, consumer)
    thaw_couriers(daemon)

    eventually(lambda: states(daemon) == {"done": 2, "vanished": 1}, daemon)
    assert consumer.taken == {"report.bin": 1, "later.csv": 1}
    assert consumer.hashes["report.bin"] == hashlib.sha256(b"as it is now").hexdigest()
    assert names(server.root) == []


def see_it_settled(daemon, consumer):
    """Wait until the watcher has handed over all that lies there now: a file dropped after it arrives."""
    (daemon.outbound / "later.csv").write_bytes(b"dropped later")
    eventually(lambda: consumer.taken["later.csv"], daemon)


def test_a_daemon_that_stops_does_not_wait_for_a_remote_that_hangs(daemon, server):
    with_remote(daemon, server, outbound(server.root))
    content = os.urandom(BIG)
    (daemon.outbound / "report.bin").write_bytes(content)
    daemon.start()
    freeze_couriers(daemon, server)

    daemon.stop()
    daemon.start()

    eventually(lambda: states(daemon) == {"done": 1}, daemon)
    assert (server.root / "report.bin").read_bytes() == content
    assert names(server.root) == ["report.bin"]
    assert holds(lambda: len(daemon.events_of("transfer.delivered")) == 1)
