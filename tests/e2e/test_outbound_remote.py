"""Dropped files reach a real OpenSSH server, each once, whatever becomes of sftpd meanwhile."""

import random

import pytest
from daemon import Daemon, eventually
from sshd import sshd
from traffic_scene import Consumer, make_files, names, outbound, states, with_remote
from waiting import holds

PATIENCE = 240.0


@pytest.fixture
def server(tmp_path):
    with sshd(tmp_path / "sshd") as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(("files", "kills"), [(300, 5), pytest.param(1000, 10, marks=pytest.mark.soak)])
def test_files_arrive_once_each_though_sftpd_is_killed_again_and_again(tmp_path, server, files, kills):
    daemon = Daemon(tmp_path / "instance")
    with_remote(daemon, server, outbound(server.root, 'after = "archive"'))
    made = make_files(daemon.outbound, files, seed=2)
    chance = random.Random(3)
    # Killed each time so many files have come, and a moment more.
    marks = sorted(chance.sample(range(files * 9 // 10), kills))

    with Consumer(server.root, tmp_path / "consumed") as consumer:
        daemon.start()
        for mark in marks:
            assert holds(lambda mark=mark: consumer.taken.total() > mark, PATIENCE), daemon.log
            holds(lambda: False, chance.uniform(0, 0.3))
            daemon.kill()
            daemon.start()
        assert holds(lambda: states(daemon) == {"done": files}, PATIENCE), f"{states(daemon)}\n{daemon.log}"
        daemon.stop()

    assert consumer.hashes == made
    assert set(consumer.taken.values()) == {1}
    assert names(server.root) == []
    assert names(daemon.outbound) == []
    assert names(daemon.link / "sent") == sorted(made)
    delivered = [event["data"]["transfer"] for event in daemon.events_of("transfer.delivered")]
    assert len(delivered) == len(set(delivered)) == files
    assert len(daemon.events_of("transfer.blocked", "transfer.failed")) == 0


def test_a_stopping_daemon_leaves_what_is_not_sent_for_the_next_start(tmp_path, server):
    daemon = Daemon(tmp_path / "instance")
    with_remote(daemon, server, outbound(server.root))
    made = make_files(daemon.outbound, 100, seed=4)

    with Consumer(server.root, tmp_path / "consumed") as consumer:
        daemon.start()
        eventually(lambda: consumer.taken.total() > 5, daemon)
        daemon.stop()
        # A daemon that was asked to stop finishes the step it is at, not the queue.
        assert 0 < consumer.taken.total() < len(made)
        daemon.start()
        eventually(lambda: states(daemon) == {"done": len(made)}, daemon)
        daemon.stop()

    assert consumer.hashes == made
    assert set(consumer.taken.values()) == {1}
