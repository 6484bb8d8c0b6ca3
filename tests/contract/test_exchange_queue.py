"""The outbound queue: who has the next turn, what is held back, and what a remote that is down costs."""

import contextlib
import re
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import ledgers
import pytest
import sqlalchemy as sa
from exchange_scene import PATIENCE, Scene, claim_one, contents
from structlog.testing import capture_logs
from waiting import until

from sftpd.errors import (
    HostKeyError,
    NotPlacedError,
    OwnFaultError,
    ProcessError,
    RefusedError,
    RemoteAwayError,
    RemoteError,
    RemoteFailedError,
    RemoteRefusedError,
)
from sftpd.exchange import due, lane, records, turn_records
from sftpd.exchange.bring import Way
from sftpd.exchange.circuit import Phase
from sftpd.exchange.due import TOGETHER
from sftpd.exchange.halts import Subject
from sftpd.exchange.send import Sender
from sftpd.exchange.transfer import Outcome
from sftpd.ledger import tables
from sftpd.link.model import Backoff, Turns
from sftpd.names import TransferId
from sftpd.timewindows import TimeWindow

AN_HOUR = Backoff(timedelta(hours=1), timedelta(hours=1))
REMOTE = Subject("demo", "remote", "peer")
ROUTE = Subject("demo", "route", "remote")
LINK = Subject("demo", "link", "demo")


class FakeClock:
    """Time that stands still until it is told to pass."""

    def __init__(self, start=datetime(2027, 3, 1, 12, tzinfo=UTC)):
        self._start = start
        self.passed = 0.0

    def now(self):
        return self._start + timedelta(seconds=self.passed)

    def set(self, step):
        """Set civil time alone."""
        self._start += step

    def monotonic(self):
        return self.passed


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as scene:
        yield scene


def offer_all(scene, names, route="remote"):
    for name in names:
        assert scene.queue.offer(scene.senders[route], scene.drop(name, name.encode()))


def claim_all(scene, names, route="remote"):
    """Have the ledger hold the files and memory none."""
    for name in names:
        assert claim_one(scene.senders[route], scene.drop(name)) is not None


def serve(scene, *routes):
    for route in routes or ("remote",):
        scene.queue.serve(scene.senders[route])
    scene.run_queue()


def settle(scene, patience=PATIENCE):
    """Let the queue work until all its threads wait."""
    if isinstance(scene.clock, FakeClock):
        all_wait(scene, patience)
        # Files that were entered together have their turns a microsecond apart.
        scene.clock.passed += 0.001
        scene.queue.look()
    all_wait(scene, patience)
    scene.flush()


def all_wait(scene, patience):
    until(lambda: len(scene.queue._condition._waiters) == len(scene.queue._threads), patience)


def pass_time(scene, seconds):
    scene.clock.passed += seconds
    scene.queue.look()
    settle(scene)


def at_remote(scene):
    return contents(scene.remote.folder / "out")


def numbered(count):
    return [f"{number:05}.csv" for number in range(count)]


def sub_route(scene, name, route=None, **turns):
    """Another route to the remote, with a guard of its own if it has a `route` of its own there."""
    sender = scene.senders["remote"]
    delivery = sender._delivery if route is None else scene.bring(Way("/out"), route)
    configured = replace(sender.route, name=name, turns=Turns(**turns))
    return Sender(configured, scene.places, scene.source, delivery, scene.tools)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_a_remote_down_for_three_days_costs_few_connects_and_then_gets_every_file_once(tmp_path, count):
    names = numbered(count)
    usual = Backoff(timedelta(seconds=1), timedelta(minutes=10))
    with Scene(tmp_path, clock=FakeClock(), remote_backoff=usual, workers=4, attempts=3) as scene:
        scene.remote.down = RemoteError("connection refused")
        scene.queue.start()
        for name in names:
            parts = scene.drop(name, name.encode())
            until(lambda parts=parts: scene.queue.offer(scene.senders["remote"], parts))
        most_held = 0
        settle(scene, 10 * PATIENCE)
        while scene.clock.passed < 72 * 3600:
            pass_time(scene, scene.guard._circuit.retry_at - scene.clock.passed)
            most_held = max(most_held, scene.queue.held())
        connects = scene.remote.calls["borrow"]
        assert 443 <= connects <= 875, connects
        assert scene.queue.depth() == count
        assert most_held <= due.LIMIT
        assert {transfer.attempts for transfer in scene.transfers()} == {0}

        scene.remote.down = None
        scene.clock.passed += 600
        scene.queue.look()
        until(lambda: scene.queue.held() == scene.queue.depth() == 0, 10 * PATIENCE)
        assert at_remote(scene) == {name: name.encode() for name in names}
        assert sorted(scene.remote.placed) == names
        assert scene.remote.calls["upload"] == count
        assert scene.events() == {"transfer.delivered": count}


@pytest.mark.slow
def test_a_remote_without_room_for_three_days_is_asked_now_and_then_while_others_go_on(tmp_path):
    names = numbered(200)
    usual = Backoff(timedelta(seconds=1), timedelta(minutes=10))
    with Scene(tmp_path, clock=FakeClock(), remote_backoff=usual, workers=4, attempts=None) as scene:
        scene.remote.refused = {name.encode(): RemoteFailedError("it has no room") for name in names}
        scene.queue.start()
        offer_all(scene, names)
        settle(scene, 10 * PATIENCE)
        while scene.clock.passed < 72 * 3600:
            pass_time(scene, 300)
        tries = sum(scene.remote.together["upload"])
        assert 443 <= tries <= (875 + 5) * TOGETHER, tries
        standing = scene.guard.standing()
        assert (standing.state, standing.failures) == (Phase.UP, 0)
        said = standing.waiting["remote"].reason
        assert said == "peer:/out/: it has no room"
        assert {transfer.reason for transfer in scene.transfers() if transfer.attempts} == {said}

        other = sub_route(scene, "other", route="other")
        scene.queue.serve(other)
        scene.queue.offer(other, scene.drop("other.csv", b"of another route"))
        (scene.remote.folder / "in" / "theirs.csv").write_bytes(b"theirs")
        until(lambda: at_remote(scene) == {"other.csv": b"of another route"})
        scene.collector.collect()
        assert contents(scene.folders.inbound) == {"theirs.csv": b"theirs"}

        scene.remote.refused.clear()
        scene.clock.passed += 600
        scene.queue.look()
        until(lambda: scene.queue.held() == scene.queue.depth() == 0, 10 * PATIENCE)
        assert sorted(scene.remote.placed) == sorted([*names, "other.csv"])
        assert scene.guard.standing().waiting == {}


def test_a_resumed_remote_is_brought_what_it_had_no_room_for_at_once(tmp_path):
    with Scene(tmp_path, clock=FakeClock(), remote_backoff=AN_HOUR, attempts=None) as scene:
        scene.remote.refused = {name.encode(): RemoteFailedError("it has no room") for name in numbered(20)}
        scene.queue.start()
        offer_all(scene, numbered(20))
        settle(scene)
        for _ in range(5):
            pass_time(scene, 1)
        assert scene.guard.standing().waiting
        scene.remote.refused.clear()
        pass_time(scene, 1)
        assert at_remote(scene) == {}
        scene.guard.revive()
        until(lambda: sorted(at_remote(scene)) == numbered(20))


def test_one_connection_is_made_a_step_and_its_failure_is_told_with_a_file(tmp_path):
    with Scene(tmp_path, clock=FakeClock(), remote_backoff=AN_HOUR) as scene:
        scene.remote.down = RemoteError("connection refused")
        claim_all(scene, numbered(5))
        scene.queue.serve(scene.senders["remote"])
        scene.queue.start()
        settle(scene)
        (probe,) = [transfer for transfer in scene.transfers() if transfer.state == "waiting"]
        assert "connection refused" in probe.reason
        assert scene.remote.calls["borrow"] == 1
        assert scene.guard.standing().state is Phase.DOWN
        pass_time(scene, 1799)
        assert scene.remote.calls["borrow"] == 1
        pass_time(scene, 1801)
        assert scene.remote.calls["borrow"] == 2


def test_pulls_and_sends_share_what_is_known_of_a_remote(tmp_path):
    with Scene(tmp_path, clock=FakeClock(), remote_backoff=AN_HOUR) as scene:
        scene.remote.down = RemoteError("connection refused")
        for _ in range(3):
            with pytest.raises(RemoteAwayError, match="connection refused"):
                scene.collector.collect()
        assert scene.remote.calls["borrow"] == 1


def test_three_refused_logins_suspend_the_remote_until_somebody_resumes_it(tmp_path):
    with Scene(tmp_path) as scene:
        scene.remote.down = RemoteRefusedError("refuses the login of 'us'", where="peer")
        offer_all(scene, numbered(20))
        scene.queue.start()
        until(lambda: scene.guard.standing().state == "suspended")
        settle(scene)
        assert scene.remote.calls["borrow"] == 3
        assert scene.events() == {"remote.suspended": 1}
        assert "refuses the login" in scene.guard.standing().reason
    with Scene(tmp_path) as scene:
        serve_until_still(scene)
        assert scene.remote.calls["borrow"] == 0
        scene.halts.lift(REMOTE, by="Ina", reason="they have our key again")
        until(scene.is_idle)
        assert sorted(at_remote(scene)) == numbered(20)
        assert scene.events() == {"remote.suspended": 1, "remote.resumed": 1, "transfer.delivered": 20}


def test_a_wrong_host_key_suspends_the_remote_at_once(scene):
    scene.remote.down = HostKeyError("shows another key")
    offer_all(scene, numbered(20))
    scene.queue.start()
    until(lambda: scene.guard.standing().state == "suspended")
    settle(scene)
    assert scene.remote.calls["borrow"] == 1
    (leaf,) = scene.leaves()
    assert leaf["type"] == "remote.suspended"
    assert leaf["data"].keys() == {"remote", "commitments"}


def test_nobody_tries_while_a_suspension_is_being_recorded(scene, monkeypatch):
    real, told = scene.halts.suspend, []

    def suspend(subject, reason):
        time.sleep(0.02)  # longer than a step of the back-off here
        with pytest.raises(RemoteAwayError) as caught:
            scene.collector.collect()
        told.append(caught.value)
        real(subject, reason)

    monkeypatch.setattr(scene.halts, "suspend", suspend)
    offer_all(scene, ["report.csv"])
    scene.run_queue()
    assert scene.guard.standing().state is Phase.UP
    before = scene.remote.calls["borrow"]
    scene.remote.down = HostKeyError("shows another key")
    offer_all(scene, ["report.csv"])
    until(lambda: scene.guard.standing().state == "suspended")
    assert [error.tried for error in told] == [False]
    assert scene.remote.calls["borrow"] == before + 1


def test_two_files_of_one_name_are_never_on_their_way_at_once(scene):
    go_on = threading.Event()
    scene.remote.during_upload = lambda: go_on.wait(PATIENCE)
    offer_all(scene, ["report.csv"])
    scene.queue.start()
    until(lambda: scene.remote.calls["upload"] == 1)
    scene.drop("report.csv", b"newer")
    scene.queue.offer(scene.senders["remote"], (b"report.csv",))
    until(lambda: len(scene.transfers()) == 2)
    until(lambda: len(scene.queue._condition._waiters) == 1)  # the other thread finds nothing to do
    assert scene.remote.calls["upload"] == 1
    go_on.set()
    until(lambda: at_remote(scene) == {"report.csv": b"newer"})


def test_a_login_that_succeeds_in_between_forgives_the_refusals(scene):
    refused = RemoteRefusedError("refuses the login")
    for _ in range(3):
        scene.remote.faults["borrow"] = [refused, refused]
        offer_all(scene, ["report.csv"])
        scene.run_queue()
    assert scene.events() == {"transfer.delivered": 3}


def test_a_file_that_is_refused_does_not_hold_back_the_others(tmp_path):
    with Scene(tmp_path, attempts=3) as scene:
        refusal = RemoteRefusedError("it answers PERMISSION_DENIED")
        scene.remote.refused[b"00001.csv"] = refusal
        offer_all(scene, numbered(12))
        scene.run_queue()
        assert sorted(at_remote(scene)) == [name for name in numbered(12) if name != "00001.csv"]
        reason = contents(scene.folders.failed)["00001.csv.reason.txt"]
        assert b"PERMISSION_DENIED" in reason
        assert scene.guard.standing().state is Phase.UP
        assert scene.events() == {"transfer.delivered": 11, "transfer.failed": 1}


def test_that_a_link_may_not_be_used_is_told_once_until_it_may_again(tmp_path):
    with Scene(tmp_path, clock=FakeClock()) as scene, capture_logs() as logs:
        scene.queue = scene.new_queue(require_open=lambda _route: scene.require_open())
        scene.is_open = False
        claim_all(scene, numbered(3))
        offer_all(scene, ["offered.csv"])
        scene.queue.serve(scene.senders["remote"])
        scene.queue.start()
        settle(scene)
        for _ in range(3):
            pass_time(scene, 6)
        assert held(logs) == [("remote", "LINK_NOT_ACTIVE")]
        scene.is_open = True
        scene.queue.look()
        until(scene.is_idle)
        scene.is_open = False
        offer_all(scene, ["later.csv"])
        settle(scene)
        assert held(logs) == [("remote", "LINK_NOT_ACTIVE")] * 2
        assert scene.events() == {"transfer.delivered": 4}


def held(logs):
    return [(log["route"], log["reason"]) for log in logs if log["event"] == "held"]


@pytest.mark.parametrize("subject", [REMOTE, ROUTE, LINK], ids=str)
def test_what_is_paused_sends_nothing_also_after_a_restart_until_it_is_resumed(tmp_path, subject):
    with Scene(tmp_path) as scene:
        scene.halts.pause(subject, by="Ina", reason="their inbox is full")
        offer_all(scene, numbered(3))
        scene.queue.start()
        settle(scene)
        assert scene.states() == ["sending"] * 3
    with Scene(tmp_path) as scene:
        serve_until_still(scene)
        assert scene.remote.calls == {}
        assert [(halt.subject, halt.placed_by, halt.reason) for halt in scene.halts.standing()] == [
            (subject, "Ina", "their inbox is full")
        ]
        with pytest.raises(RefusedError, match="paused already: their inbox"):
            scene.halts.pause(subject, by="Jan", reason="again")
        scene.halts.lift(subject, by="Ina", reason=None)
        until(scene.is_idle)
        assert scene.events() == {
            f"{subject.kind}.paused": 1, f"{subject.kind}.resumed": 1, "transfer.delivered": 3
        }  # fmt: skip
        with pytest.raises(RefusedError, match="not paused"):
            scene.halts.lift(subject, by="Ina", reason=None)


def serve_until_still(scene):
    scene.recovery.run(scene.queue, {"remote": scene.senders["remote"]})
    scene.queue.start()
    settle(scene)


def test_outside_its_window_a_route_claims_and_sends_nothing(tmp_path):
    """12:00 UTC is 13:00 in Amsterdam, where it is winter until the night of 28 March."""
    turns = Turns(windows=(TimeWindow.parse("18:00-06:00"),), zone=ZoneInfo("Europe/Amsterdam"))
    start = datetime(2027, 3, 27, 12, tzinfo=UTC)
    with Scene(tmp_path, clock=FakeClock(start), turns=turns) as scene:
        offer_all(scene, ["a.csv"])
        scene.queue.start()
        settle(scene)
        pass_time(scene, 5 * 3600 - 1)
        assert scene.states() == ["sending"]
        pass_time(scene, 1)
        assert scene.states() == ["done"]
        pass_time(scene, 11 * 3600)  # 06:00 in Amsterdam: the night had eleven hours
        offer_all(scene, ["b.csv"])
        settle(scene)
        assert scene.states() == ["done", "sending"]


FORWARD, BACK = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
"""Clocks in Amsterdam go from 02:00 to 03:00 at 01:00 UTC, and from 03:00 to 02:00."""


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(
    ("day", "window", "opens", "lasts"),
    [
        (FORWARD, "01:30-02:30", 30, 30),
        (FORWARD, "02:30-03:30", 60, 30),
        (BACK, "02:20-02:50", 20, 30),
        (BACK, "01:30-02:10", -30, 40),
        (BACK, "02:50-03:10", 50, 80),
    ],
)
def test_in_a_night_in_which_clocks_change_a_window_opens_once(tmp_path, day, window, opens, lasts, restarts):
    """`opens` is in minutes after 00:00 UTC, `lasts` in minutes."""
    turns = Turns(windows=(TimeWindow.parse(window),), zone=ZoneInfo("Europe/Amsterdam"))
    clock, sent = FakeClock(day - timedelta(hours=2)), []
    scene = Scene(tmp_path, clock=clock, turns=turns)
    serve_until_still(scene)
    for number in range(36):
        if restarts:
            scene.close()
            scene = Scene(tmp_path, clock=clock, turns=turns)
            serve_until_still(scene)
        before = len(scene.remote.placed)
        offer_all(scene, [str(number)])
        pass_time(scene, 600)
        if len(scene.remote.placed) > before:
            sent.append((clock.now() - day) // timedelta(minutes=1))
    scene.close()
    assert sent == list(range(opens, opens + lasts, 10))


def test_a_route_of_a_higher_priority_goes_first(tmp_path):
    with Scene(tmp_path, workers=1) as scene:
        low, high = sub_route(scene, "low"), sub_route(scene, "high", priority=1)
        for number in range(4):
            claim_one(low, scene.drop(f"low-{number}"))
            claim_one(high, scene.drop(f"high-{number}"))
        scene.queue.serve(low)
        scene.queue.serve(high)
        scene.run_queue()
        assert [name.split("-")[0] for name in scene.remote.placed] == ["high"] * 4 + ["low"] * 4


def test_routes_of_one_priority_take_turns(tmp_path):
    with Scene(tmp_path, workers=1) as scene:
        routes = [sub_route(scene, name) for name in ("a", "b")]
        for number in range(100):
            for sender in routes:
                claim_one(sender, scene.drop(f"{sender.route.name}-{number}"))
        for sender in routes:
            scene.queue.serve(sender)
        scene.run_queue()
        turn = due.TOGETHER
        assert 50 - turn <= sum(name.startswith("a") for name in scene.remote.placed[:100]) <= 50 + turn


def test_what_goes_first_on_a_route_overtakes_what_waits(tmp_path):
    with Scene(tmp_path, workers=1, turns=Turns(first=("urgent-*",))) as scene:
        claim_all(scene, numbered(due.LIMIT + 50))
        claim_all(scene, ["urgent-1", "urgent-2"])
        serve(scene)
        assert scene.remote.placed == ["urgent-1", "urgent-2", *numbered(due.LIMIT + 50)]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_files_of_a_route_are_on_their_way_than_it_allows(tmp_path, concurrency):
    with Scene(tmp_path, workers=6, turns=Turns(concurrency=concurrency)) as scene:
        under_way, most, gate = Counter(), Counter(), threading.Lock()

        def watch():
            with gate:
                under_way["now"] += 1
                most["ever"] = max(most["ever"], under_way["now"])
            time.sleep(0.002)
            with gate:
                under_way["now"] -= 1

        scene.remote.during_upload = watch
        offer_all(scene, numbered(60))
        scene.run_queue()
        assert most["ever"] == concurrency
        assert scene.events() == {"transfer.delivered": 60}


def test_in_strict_order_a_file_that_waits_keeps_the_next_one_waiting(tmp_path):
    with Scene(tmp_path, workers=4, turns=Turns(strict=True)) as scene:
        scene.remote.faults["upload"] = [RemoteError("try later")] * 5
        scene.remote.faults["publish"] = [RemoteError("try later")] * 3
        offer_all(scene, numbered(40))
        scene.run_queue()
        assert scene.remote.placed == numbered(40)
        assert scene.events() == {"transfer.delivered": 40}


def test_without_it_the_next_file_goes_meanwhile(tmp_path):
    with Scene(tmp_path, workers=1) as scene:
        scene.remote.faults["upload"] = [RemoteError("try later")]
        claim_all(scene, numbered(2))
        serve(scene)
        assert sorted(scene.remote.placed) == numbered(2)
        assert scene.remote.placed[0] == "00001.csv"


def test_in_strict_order_a_file_that_fails_for_good_lets_the_next_one_go(tmp_path):
    with Scene(tmp_path, attempts=2, workers=4, turns=Turns(strict=True)) as scene:
        scene.remote.refused[b"00001.csv"] = RemoteRefusedError("no")
        offer_all(scene, numbered(4))
        scene.run_queue()
        assert scene.remote.placed == ["00000.csv", "00002.csv", "00003.csv"]


@pytest.mark.parametrize("strict", [True, False])
def test_a_clock_that_is_set_back_neither_turns_the_order_round_nor_keeps_files_waiting(tmp_path, strict):
    clock = FakeClock()
    with Scene(tmp_path, clock=clock, workers=1, turns=Turns(strict=strict)) as scene:
        claim_all(scene, ["first"])
        clock.set(-timedelta(hours=12))
        claim_all(scene, ["second"])
        serve(scene)
        assert sorted(scene.remote.placed) == ["first", "second"]
        if strict:
            assert scene.remote.placed == ["first", "second"]


def with_long_waits(scene):
    """Have a failed file of the route wait for a minute, and in the end for a day."""
    sender = scene.senders["remote"]
    sender.route = replace(sender.route, backoff=Backoff(timedelta(minutes=1), timedelta(days=1)))
    return sender


@pytest.mark.parametrize("step", [timedelta(minutes=30), timedelta(hours=1), timedelta(days=3)])
def test_a_clock_that_is_set_back_makes_no_file_wait_for_longer_than_its_own_back_off(tmp_path, step):
    clock = FakeClock()
    with Scene(tmp_path, clock=clock, workers=1) as scene:
        sender = with_long_waits(scene)
        scene.remote.faults["upload"] = [RemoteRefusedError("not yet")]
        scene.queue.start()
        claim_all(scene, ["report.csv"])
        scene.queue.serve(sender)
        settle(scene)
        assert scene.states() == ["waiting"]
        clock.set(-step)
        pass_time(scene, 61)
        assert scene.states() == ["done"]


def test_a_clock_that_was_set_back_while_nobody_ran_keeps_no_file_waiting(tmp_path):
    clock = FakeClock()
    with Scene(tmp_path, clock=clock, workers=1) as scene:
        sender = with_long_waits(scene)
        scene.remote.faults["upload"] = [RemoteRefusedError("not yet")]
        failed, _, cancelled = (
            claim_one(sender, scene.drop(name)).id for name in ("failed", "fresh", "ended")
        )
        sender.postpone(failed, sender.advance(failed)[failed])
        scene.ledger.write(
            lambda unit: records.move(unit, cancelled, Outcome.CANCELLED, rank=due.HERE, not_before=unit.now)
        )
    clock.set(-timedelta(hours=1))
    with Scene(tmp_path, clock=clock, workers=1) as scene:
        sender = with_long_waits(scene)
        scene.recovery.run(scene.queue, {"remote": sender})
        scene.run_queue()
        assert sorted(scene.remote.placed) == ["failed", "fresh"]
        assert sorted(scene.states()) == ["done", "done", "failed"]


def test_strict_order_outlives_a_restart(tmp_path):
    strict = Turns(strict=True)
    with Scene(tmp_path, turns=strict, remote_backoff=AN_HOUR) as scene:
        scene.remote.down = RemoteError("connection refused")
        claim_all(scene, numbered(due.LIMIT + 20))
        scene.queue.serve(scene.senders["remote"])
        scene.queue.start()
        settle(scene)
    with Scene(tmp_path, turns=strict) as scene:
        scene.recovery.run(scene.queue, {"remote": scene.senders["remote"]})
        scene.run_queue()
        assert scene.remote.placed == numbered(due.LIMIT + 20)


def test_a_refusal_is_recorded_also_while_the_queue_stops(scene, monkeypatch):
    stop = threading.Thread(target=scene.queue.stop)

    def refuse(files, **_):
        stop.start()
        until(lambda: scene.queue._stopping)
        return [NotPlacedError("it refuses")]

    monkeypatch.setattr(scene.remote, "publish", refuse)
    offer_all(scene, ["report.csv"])
    scene.queue.start()
    until(lambda: stop.ident)
    stop.join()
    assert scene.states() == ["waiting"]


def test_an_older_file_never_comes_to_lie_over_a_newer_one_of_its_name(tmp_path):
    with Scene(tmp_path, clock=FakeClock()) as scene:
        scene.remote.faults["publish"] = [RemoteError("the rename failed")]
        offer_all(scene, ["report.csv"])
        scene.queue.start()
        settle(scene)
        assert scene.states() == ["placing"]
        scene.drop("report.csv", b"newer")
        scene.queue.offer(scene.senders["remote"], (b"report.csv",))
        settle(scene)
        pass_time(scene, 60)
        assert at_remote(scene) == {"report.csv": b"newer"}
        assert scene.states() == ["done", "done"]


def test_an_offer_that_finds_no_room_is_refused_and_taken_later(scene, monkeypatch):
    monkeypatch.setattr(lane, "OFFERS", 3)
    sender = scene.senders["remote"]
    parts = [scene.drop(name) for name in numbered(4)]
    assert [scene.queue.offer(sender, one) for one in parts] == [True, True, True, False]
    assert scene.queue.offer(sender, parts[0])  # it is there already
    scene.run_queue()
    assert scene.queue.offer(sender, parts[3])
    scene.run_queue()
    assert scene.events() == {"transfer.delivered": 4}


def test_slow_observers_keep_no_file_waiting_and_see_theirs_where_it_was_dropped(tmp_path):
    with Scene(tmp_path) as scene:
        told = tmp_path / "told"
        scene.hook(
            "post-send",
            f"""file=$(sed 's/.*"file": *"\\([^"]*\\)".*/\\1/')
            while [ ! -e {tmp_path}/go ]; do sleep 0.01; done
            cat "$file" >>{told}""",
        )
        scene.queue.start()
        for count, name in enumerate(["a.csv", "b.csv", "c.csv"], 1):
            scene.queue.offer(scene.senders["remote"], scene.drop(name, b"x"))
            until(lambda count=count: scene.states() == ["placed"] * count)
        assert sorted(contents(scene.outbound)) == ["a.csv", "b.csv", "c.csv"]
        (tmp_path / "go").touch()
        until(lambda: scene.states() == ["done"] * 3)
        assert told.read_bytes() == b"xxx"
        assert contents(scene.outbound) == {}


def test_memory_holds_a_bounded_part_of_what_waits(scene):
    enter(scene, 3000)
    scene.halts.pause(ROUTE, by="Ina", reason="test")
    scene.queue.serve(scene.senders["remote"])
    scene.queue.start()
    settle(scene)
    assert scene.queue.depth() == 3000
    assert 0 < scene.queue.held() <= due.LIMIT


LOOK_UPS = {
    turn_records._NEXT: "ix_transfer_turn (link=? AND route=? AND rank=? AND not_before",
    turn_records._LATER: "ix_transfer_turn (link=? AND route=? AND rank=? AND not_before",
    turn_records._LAST: "ix_transfer_turn (link=? AND route=? AND rank=? AND not_before",
    records._ON_THEIR_WAY: "ix_transfer_way (path=? AND route=?)",
    records._BEING_PLACED: "ix_transfer_state_not_before (state=?)",  # few are at once
    records._REPLACE: "ix_kept_file_path_link_state (path=? AND link=? AND state=?)",
}
"""What the queue asks for each group of files, and how SQLite says that it finds it."""


def test_what_a_file_s_turn_needs_is_found_by_an_index_alone(scene):
    """A look at all that waits would take seconds where a million files do; no statistics help at first."""
    enter(scene, 3000)
    with scene.ledger.read() as conn:
        moments = sorted(conn.scalars(sa.select(tables.transfer.c.not_before)))
        values = {"link": "demo", "route": "remote", "rank": 2, "now": moments[0], "limit": 5}
        values |= {"link_": "demo", "folder_": "sent", "path_": b"long/way/to/0007"}
        values |= {f"path_{n}": b"long/way/to/%04d" % n for n in range(TOGETHER)}
        for statement, found_by in LOOK_UPS.items():
            plan = explained(conn, statement, values)
            if ledgers.is_sqlite():
                assert found_by in plan
            else:
                assert "Rows Removed" not in plan, plan
                assert max(map(int, re.findall(r"rows=(\d+) loops", plan))) <= TOGETHER, plan


def explained(conn, statement, values):
    """How the database finds the rows of a statement: what it says, or of PostgreSQL what it then did."""
    compiled = statement._compile(conn.dialect)
    explain = "EXPLAIN QUERY PLAN" if ledgers.is_sqlite() else "EXPLAIN (ANALYZE)"
    with contextlib.closing(conn.connection.cursor()) as cursor:
        cursor.execute(f"{explain} {compiled.sql}", compiled.parameters({"now": 1, **values}))
        return "\n".join(row[-1] for row in cursor.fetchall())


def enter(scene, count):
    """Transfers in the ledger alone, whose files are gone, and kept files of the same names."""

    def work(unit):
        for number in range(count):
            transfer = records.Transfer(
                TransferId(f"{number:026}"),
                "demo",
                "outbound",
                "remote",
                "peer",
                (b"long", b"way", b"to", b"%04d" % number),
                "0:0:0",
                1,
                "0",
            )
            turn = unit.now + timedelta(microseconds=number)
            records.insert(unit, transfer, Outcome.ACCEPTED, not_before=turn)
            records.keep(unit, transfer, "sent", transfer.path)

    scene.ledger.write(work)


def test_a_fault_of_one_file_leaves_the_others_alone(tmp_path):
    with Scene(tmp_path, clock=FakeClock()) as scene:
        real = scene.source.open

        def failing(parts, flags):
            if parts == (b"00001.csv",) and scene.clock.passed < 1:
                raise OSError("a fault of our own")
            return real(parts, flags)

        scene.source.open = failing
        offer_all(scene, numbered(12))
        scene.queue.start()
        settle(scene)
        assert sorted(at_remote(scene)) == [name for name in numbered(12) if name != "00001.csv"]
        pass_time(scene, 30)
        assert sorted(at_remote(scene)) == numbered(12)


def test_faults_of_our_own_keep_no_other_file_from_a_remote_that_is_well(tmp_path):
    with Scene(tmp_path, remote_backoff=AN_HOUR, attempts=8) as scene:
        scene.remote.refused = {
            name.encode(): OwnFaultError("the local file cannot be read") for name in numbered(12)
        }
        offer_all(scene, numbered(12))
        scene.run_queue()
        offer_all(scene, ["well.csv"])
        scene.run_queue()
        assert at_remote(scene) == {"well.csv": b"well.csv"}
        assert scene.events() == {"transfer.failed": 12, "transfer.delivered": 1}
        assert (scene.guard.standing().state, scene.guard.standing().failures) == (Phase.UP, 0)
        assert b"the local file cannot be read" in contents(scene.folders.failed)["00001.csv.reason.txt"]


@pytest.mark.parametrize("fault", [ProcessError("no process"), OwnFaultError("sftpd is stopping")])
def test_that_we_could_not_even_try_a_remote_does_not_count_as_its_fault(tmp_path, fault):
    with Scene(tmp_path, clock=FakeClock(), remote_backoff=AN_HOUR) as scene, capture_logs():
        scene.remote.down = fault
        scene.queue.start()
        offer_all(scene, numbered(3))
        settle(scene)
        assert scene.remote.calls["borrow"] > 0
        assert scene.guard.standing().state is Phase.UNTRIED
        scene.remote.down = None
        pass_time(scene, 31)
        assert sorted(at_remote(scene)) == numbered(3)


def test_that_a_remote_is_down_is_told_once_for_each_reason_and_that_it_is_up_again(tmp_path):
    with Scene(tmp_path, clock=FakeClock(), remote_backoff=AN_HOUR) as scene, capture_logs() as logs:
        scene.remote.down = RemoteError("connection refused")
        scene.queue.start()
        offer_all(scene, ["report.csv"])
        settle(scene)
        since = scene.guard.standing().since
        for _ in range(3):
            pass_time(scene, 3600)
        assert scene.guard.standing().since == since
        scene.remote.down = RemoteError("no route")
        pass_time(scene, 3600)
        scene.remote.down = None
        pass_time(scene, 3600)
        assert scene.states() == ["done"]
        assert scene.guard.standing().since is None
        told = [(log["event"], log.get("reason")) for log in logs if log["event"].startswith("remote_")]
        assert told == [
            ("remote_down", "connection refused"),
            ("remote_down", "no route"),
            ("remote_up", None),
        ]
        (up,) = [log for log in logs if log["event"] == "remote_up"]
        assert up["since"] == since.isoformat()


@pytest.mark.parametrize("moves", [True, False])
def test_while_a_long_file_finds_out_whether_a_remote_takes_any_others_go_once_it_moves(tmp_path, moves):
    with Scene(tmp_path, clock=FakeClock(), remote_backoff=AN_HOUR, attempts=None, workers=3) as scene:
        close_route(scene)
        go_on, begun = threading.Event(), []

        def hold():
            begun.append(scene.remote.taken)
            if len(begun) == 1:
                go_on.wait(PATIENCE)

        scene.remote.during_upload = hold
        scene.clock.passed += 3600
        scene.queue.look()
        until(lambda: begun)
        offer_all(scene, ["other.csv"])
        if moves:
            begun[0]()
            until(lambda: "other.csv" in at_remote(scene))
        until(lambda: len(scene.queue._condition._waiters) == 2)  # all but who sends the long one
        assert ("other.csv" in at_remote(scene)) == moves
        assert scene.guard.standing().waiting.keys() == (set() if moves else {"remote"})
        go_on.set()
        until(lambda: sorted(at_remote(scene)) == [*numbered(TOGETHER), "other.csv"])


def close_route(scene):
    """Have a route be one of which the remote takes nothing, and files of it wait that it would take."""
    scene.remote.refused = {name.encode(): RemoteFailedError("no room") for name in numbered(TOGETHER)}
    scene.queue.start()
    offer_all(scene, numbered(TOGETHER))
    settle(scene)
    while not scene.guard.standing().waiting:
        pass_time(scene, 1)
    scene.remote.refused = {}
