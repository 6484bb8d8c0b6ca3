"""A large file goes on where it was broken off, as the bytes that went to a real OpenSSH server show."""

import dataclasses
import os
import signal

import pytest
from daemon import Daemon, eventually
from remote_servers import Relay
from sshd import sshd
from traffic_scene import couriers, names, outbound, states, with_remote
from waiting import holds

SIZE = 48 << 20
HELD_AFTER = 32 << 20


@pytest.fixture
def server(tmp_path):
    with sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "instance")
    yield made
    made.kill()


def kill_courier(daemon):
    (courier,) = couriers(daemon)
    os.kill(courier, signal.SIGKILL)


def restart_monitor(daemon):
    daemon.kill()
    daemon.start()


@pytest.mark.parametrize("kill", [kill_courier, restart_monitor])
@pytest.mark.parametrize("resume", [True, False])
def test_after_a_kill_the_next_try_sends_the_rest(daemon, server, kill, resume):
    content = os.urandom(SIZE)
    with Relay(server.port) as relay:
        relay.hold_after = HELD_AFTER
        with_remote(daemon, dataclasses.replace(server, port=relay.port), outbound(server.root))
        daemon.configure_link("[remote]", f"resume = {str(resume).lower()}")
        daemon.start()
        (daemon.outbound / "report.bin").write_bytes(content)
        assert relay.held.wait(60)
        kill(daemon)
        relay.release()

        eventually(lambda: states(daemon) == {"done": 1}, daemon)
        (told,) = daemon.events_of("transfer.delivered")
        daemon.stop()

    assert (server.root / "report.bin").read_bytes() == content
    assert names(server.root) == ["report.bin"]
    assert (told["data"]["proof"], told["data"]["seen"]) == ("size", True)
    assert holds(lambda: names(daemon.link / "sent") == ["report.bin"])
    if resume:
        assert relay.sent < SIZE + (4 << 20)
    else:
        assert relay.sent > SIZE + HELD_AFTER
