"""The courier is killed before and after each request of a delivery to a real OpenSSH server."""

import contextlib
import os
import signal

import pytest
from exchange_scene import Scene, contents
from folders import quick_folder
from remote_scene import couriers, login_at
from remote_servers import Relay
from sshd import sshd

from sftpd.names import RemoteName
from sftpd.ssh.remotes import CourierRemotes

CHILDREN = ["sftpd.ssh.courier"]

OURS, THEIRS = b"ours, and longer\n", b"theirs\n"
REQUESTS = {"replace": 10, "fail": 12, "keep-both": 13, "skip": 12}
"""Requests of a delivery whose name is taken during the upload: at least so many are killed at."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


class Killer:
    """Kills the courier at a request, once; takes the final name when the temporary one is there."""

    def __init__(self, children, out, at):
        self._children = children
        self._out = out
        self._left = at
        self.done = False

    def __call__(self):
        final = self._out / "report.csv"
        if not final.exists() and any(self._out.glob(".sftpd-*")):
            final.write_bytes(THEIRS)
        if self._left == 0 and not self.done:
            self.done = True
            for courier in couriers(self._children):
                os.kill(courier.pid, signal.SIGKILL)
                courier.wait(20)
        self._left -= 1


def delivered(folder, out, server, children, policy, when, at):
    """Deliver a file with a kill at a request; returns whether there was one."""
    login = login_at(server, name=RemoteName("peer"))
    with Relay(server.port, by_packets=True) as relay:
        port = {"remote": login.remote.__class__(**_fields(login.remote) | {"port": relay.port})}
        login = login.__class__(**_fields(login) | port)
        with (
            contextlib.closing(CourierRemotes(children, {RemoteName("peer"): login})) as remotes,
            Scene(folder, conflict=policy, remotes=remotes, directory=str(out)) as scene,
        ):
            with remotes.borrow(RemoteName("peer")):
                pass  # logged in: what follows are the delivery's own requests
            killer = Killer(children, out, at)
            setattr(relay, when, killer)
            scene.queue.offer(scene.senders["remote"], scene.drop("report.csv", OURS))
            scene.run_queue()
            check(scene, out, policy)
            return killer.done


def _fields(value):
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def check(scene, out, policy):
    (transfer,) = scene.transfers()
    there = contents(out)
    other = f"report-{transfer.id}.csv"
    expected = {
        "replace": ({"report.csv": OURS}, "done", {"transfer.delivered": 1}),
        "fail": ({"report.csv": THEIRS}, "failed", {"transfer.failed": 1}),
        "keep-both": ({"report.csv": THEIRS, other: OURS}, "done", {"transfer.delivered": 1}),
        "skip": ({"report.csv": THEIRS}, "skipped", {"transfer.skipped": 1}),
    }
    assert (there, str(transfer.state), scene.events()) == expected[policy]
    assert contents(scene.outbound) == {}
    kept = scene.folders.failed if policy == "fail" else scene.folders.sent
    assert contents(kept)["report.csv"] == OURS


@pytest.mark.slow
@pytest.mark.parametrize(("when", "first"), [("before_each", 0), ("after_each", 2)])
@pytest.mark.parametrize("policy", REQUESTS)
def test_a_delivery_comes_to_the_same_end_though_its_courier_is_killed(children, server, policy, when, first):
    """At every third request; `make soak` takes each."""
    kill_at_each(children, server, policy, when, first, step=3)


@pytest.mark.soak
@pytest.mark.parametrize("when", ["before_each", "after_each"])
@pytest.mark.parametrize("policy", REQUESTS)
def test_a_delivery_comes_to_the_same_end_wherever_its_courier_is_killed(children, server, policy, when):
    kill_at_each(children, server, policy, when, 0, step=1)


def kill_at_each(children, server, policy, when, first, step):
    at, killed = first, True
    while killed:
        with quick_folder() as folder:
            out = server.root / f"{policy}-{when}-{at}-{step}"
            out.mkdir()
            killed = delivered(folder, out, server, children, policy, when, at)
            at += killed * step
    assert at >= REQUESTS[policy]
