"""A remote that takes only so many connections at once, and refuses the login of one more."""

import contextlib
import threading

import pytest
from exchange_scene import PATIENCE, Scene, contents
from structlog.testing import capture_logs
from waiting import until

from sftpd.errors import HostKeyError, RemoteAwayError, RemoteError, RemoteRefusedError
from sftpd.exchange.circuit import Phase
from sftpd.link.model import Turns

REFUSED = RemoteRefusedError("refuses the login of 'us'")
DISCONNECTED = RemoteError("key exchange fails: the server disconnects: Too many connections")


class Limit:
    """Has a LocalRemote take no more connections than `most`, and tells how often one was refused."""

    def __init__(self, remote, most, refusal):
        self.most = most
        self.refusal = refusal
        self.refused = 0
        self.taken = 0
        self.giving_back = lambda: None
        self._lock = threading.Lock()
        self._open = 0
        self._borrow = remote.borrow
        remote.borrow = self.borrow

    @contextlib.contextmanager
    def borrow(self, name):
        with self._borrow(name) as remote:
            with self._lock:
                if self._open >= self.most:
                    self.refused += 1
                    raise self.refusal
                self._open += 1
                self.taken += 1
            try:
                yield remote
            finally:
                self.giving_back()
                with self._lock:
                    self._open -= 1


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path, turns=Turns(concurrency=6), workers=6) as scene:
        yield scene


def drop_all(scene, count):
    for number in range(count):
        assert scene.queue.offer(scene.senders["remote"], scene.drop(f"{number:02}.csv", b"%d" % number))


@pytest.mark.parametrize("refusal", [REFUSED, DISCONNECTED], ids=["refused", "disconnected"])
def test_what_it_takes_at_once_is_used_and_no_more_counts_as_a_login_that_is_refused(scene, refusal):
    limit = Limit(scene.remote, 2, refusal)
    go_on = threading.Event()
    scene.remote.during_upload = lambda: go_on.wait(PATIENCE)
    with capture_logs() as logs:
        scene.queue.start()
        drop_all(scene, 60)
        until(lambda: limit.refused >= 3)
        go_on.set()
        until(scene.is_idle)
    assert len(scene.remote.placed) == 60
    assert scene.events() == {"transfer.delivered": 60}
    assert {transfer.attempts for transfer in scene.transfers()} == {0}
    assert scene.guard.standing().state is Phase.UP
    assert "remote_down" not in [log["event"] for log in logs]
    assert 2 in [log["at_once"] for log in logs if log["event"] == "remote_limits_connections"]


def test_files_are_fetched_over_as_many_as_it_takes(scene):
    limit = Limit(scene.remote, 2, REFUSED)
    theirs = {f"{number:02}.csv": b"%d" % number for number in range(12)}
    for name, content in theirs.items():
        (scene.remote.folder / "in" / name).write_bytes(content)
    scene.remote.before_download = lambda _name: until(lambda: limit.refused)
    pulled = scene.collects("delete", concurrency=4).collect()
    assert (pulled.fetched, pulled.failed) == (12, 0)
    assert contents(scene.folders.inbound) == theirs
    assert scene.halts.standing() == []


def test_that_it_takes_more_again_is_found_out_after_a_while_by_one(scene):
    limit = Limit(scene.remote, 2, REFUSED)
    go_on = threading.Event()
    scene.remote.during_upload = lambda: go_on.wait(PATIENCE)
    scene.queue.start()
    drop_all(scene, 100)
    until(lambda: scene.guard.standing().at_once == 2)
    limit.most = 6
    until(lambda: scene.guard.standing().at_once is None)
    until(lambda: limit.taken >= 6)
    go_on.set()
    until(scene.is_idle)
    assert scene.events() == {"transfer.delivered": 100}


def test_a_login_that_is_refused_while_none_is_open_counts_as_refused(scene):
    limit = Limit(scene.remote, 2, REFUSED)
    with scene.remotes.borrow("peer"), scene.remotes.borrow("peer"):
        with pytest.raises(RemoteAwayError, match="no more than 2 connections at once"):
            scene.remotes.borrow("peer").__enter__()
        assert limit.refused == 1
    limit.most = 0
    scene.queue.start()
    drop_all(scene, 1)
    until(lambda: scene.guard.standing().state == "suspended")
    assert limit.refused == 4
    assert scene.guard.standing().at_once is None


def test_one_that_is_being_given_back_is_there_still(scene):
    limit, told = Limit(scene.remote, 1, REFUSED), []

    def ask():
        limit.giving_back = lambda: None
        with pytest.raises(RemoteAwayError) as caught, scene.remotes.borrow("peer"):
            pass
        told.append(caught.value.what)

    limit.giving_back = ask
    with scene.remotes.borrow("peer"):
        pass
    assert told == ["it takes no more than 1 connections at once"]
    assert scene.guard.standing().failures == 0


def test_a_wrong_host_key_counts_whatever_is_open(scene):
    limit = Limit(scene.remote, 1, HostKeyError("shows another key"))
    with scene.remotes.borrow("peer"):
        drop_all(scene, 1)
        scene.queue.start()
        until(lambda: scene.guard.standing().state == "suspended")
    assert limit.refused == 1


def test_a_pull_has_its_turn_before_the_files_that_wait_to_be_sent(scene):
    limit = Limit(scene.remote, 1, REFUSED)
    (scene.remote.folder / "in" / "theirs.csv").write_bytes(b"theirs")
    pulled, left, over = [], [], threading.Event()

    def pull():
        try:
            pulled.append(scene.collector.collect())
            left.append(scene.queue.depth())
        finally:
            over.set()

    thread = threading.Thread(target=pull)
    # Each file that is sent waits until the pull has asked for its next connection, or is done.
    scene.remote.during_upload = lambda: until(
        lambda: limit.refused and (over.is_set() or scene.guard._awaited)
    )
    scene.queue.start()
    drop_all(scene, 300)
    until(lambda: scene.guard.standing().at_once == 1)
    thread.start()
    thread.join(PATIENCE)
    assert [each.fetched for each in pulled] == [1]
    assert left[0] > 0
    until(scene.is_idle)
    assert scene.events() == {"transfer.delivered": 300, "transfer.received": 1}
