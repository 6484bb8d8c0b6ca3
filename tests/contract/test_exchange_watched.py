"""A watched folder and the queue together: a file that changes on its way is sent as it is in the end."""

import contextlib

import pytest
from exchange_scene import Scene, contents
from waiting import until

from sftpd.exchange.halts import Subject
from sftpd.watch.folder import Pace, WatchedFolder
from sftpd.watch.settling import Policy
from sftpd.watch.watcher import Watcher

EARLY, LATER = b"early", b"the later version"
REPORT = "report.csv"


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as scene:
        yield scene


@contextlib.contextmanager
def watched(scene, before_offer=lambda parts: None):
    """The watcher of the route, put together with the queue as the daemon does."""

    def take(parts):
        before_offer(parts)
        return scene.queue.offer(scene.senders["remote"], parts)

    folder = WatchedFolder(
        "demo-remote", scene.outbound, policy=Policy(stable_for=0.05), pace=Pace(rescan=60.0)
    )
    watcher = Watcher(folder, take, clock=scene.clock)
    scene.queue.start()
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()


def arrives(scene):
    """Wait for the later version, and for nothing more to be under way."""
    until(lambda: contents(scene.remote.folder / "out") == {REPORT: LATER})
    until(lambda: scene.is_idle() and contents(scene.outbound) == {})


def test_what_changes_while_it_is_sent_is_sent_as_it_is_then(scene):
    def change():
        scene.remote.during_upload = lambda: None
        scene.drop(REPORT, LATER)

    scene.remote.during_upload = change
    with watched(scene):
        scene.drop(REPORT, EARLY)
        arrives(scene)
    assert sorted(scene.states()) == ["done", "vanished"]
    assert scene.remote.placed == [REPORT]


def test_what_changes_after_the_watcher_s_last_look_is_sent_as_it_is_then(scene):
    changes = [LATER]

    def change(parts):
        if changes:
            scene.drop(REPORT, changes.pop())

    with watched(scene, before_offer=change):
        scene.drop(REPORT, EARLY)
        arrives(scene)
    assert scene.remote.placed == [REPORT]
    assert "done" in scene.states()


def test_what_changes_between_its_claim_and_its_turn_is_sent_as_it_is_then(scene):
    route = Subject("demo", "route", "remote")
    scene.halts.pause(route, by="Ina", reason="test")
    with watched(scene):
        scene.drop(REPORT, EARLY)
        until(lambda: scene.states() == ["sending"])
        scene.drop(REPORT, LATER)
        until(lambda: scene.states() == ["sending"] * 2)
        scene.halts.lift(route, by="Ina", reason=None)
        arrives(scene)
    assert sorted(scene.states()) == ["done", "vanished"]
    assert scene.remote.placed == [REPORT]
