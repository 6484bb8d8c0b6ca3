"""Expected files: real uploads, pulls and ledger, and a clock that is set."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from exchange_doubles import Crash, Fuse
from exchange_scene import Scene

from sftpd.exchange.expecting import Expecting, missed_by_link, standings
from sftpd.ledger import tables
from sftpd.link.lifecycle import LinkState
from sftpd.link.model import Expectation

ZONE = ZoneInfo("Europe/Amsterdam")
ORDERS = Expectation(
    "orders", "demo", "upload", "orders-*.csv", time(6), ZONE, frozenset(range(5)), warn=timedelta(minutes=30)
)
MONDAY = date(2026, 6, 1)


class SetClock:
    def __init__(self):
        self.set(MONDAY, 0)

    def set(self, day, hour, minute=0):
        self.moment = datetime.combine(day, time(hour, minute), ZONE).astimezone(UTC)

    def now(self):
        self.moment += timedelta(microseconds=1)
        return self.moment

    def monotonic(self):
        return self.moment.timestamp()


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def scene(tmp_path, clock):
    with Scene(tmp_path, clock=clock) as scene:
        stands(scene, LinkState.ACTIVE)
        yield scene


def stands(scene, state):
    row = tables.link

    def work(unit):
        unit.conn.execute(row.delete())
        unit.conn.execute(row.insert().values(name="demo", state=state, since=unit.now))

    scene.ledger.write(work)


def started(scene, *expectations):
    """The desk of a daemon that has just started."""
    desk = Expecting(expectations or (ORDERS,), scene.ledger)
    desk.start()
    return desk


def told(scene):
    """What has been told: (type, deadline in Amsterdam, late or not)."""
    found = []
    for leaf in scene.leaves():
        kind, _, about = leaf["type"].partition(".")
        if kind == "expectation":
            deadline = datetime.fromisoformat(leaf["data"]["deadline"]).astimezone(ZONE)
            found.append((about, deadline.strftime("%a %H:%M"), leaf["data"].get("arrival")))
    return found


def standing(scene):
    with scene.ledger.read() as conn:
        return {name: row["state"] for name, row in standings(conn).items()}, dict(missed_by_link(conn))


def test_a_late_file_is_warned_of_and_missed_and_met_each_once(scene, clock):
    desk = started(scene)
    assert standing(scene) == ({"demo/orders": "awaited"}, {})
    for hour, minute in ((5, 29), (5, 31), (5, 45), (6, 0), (6, 1)):
        clock.set(MONDAY, hour, minute)
        desk.look(ORDERS)
        desk = started(scene)
    assert told(scene) == [("at_risk", "Mon 06:00", None), ("missed", "Mon 06:00", None)]
    assert standing(scene) == ({"demo/orders": "missed"}, {"demo": 1})

    clock.set(MONDAY, 9)
    scene.upload("upload/orders-1.csv")
    desk.look(ORDERS)
    started(scene)
    assert told(scene)[2:] == [("met", "Mon 06:00", "late")]
    assert standing(scene) == ({"demo/orders": "awaited"}, {})


def test_a_file_in_time_meets_its_deadline_at_once_and_no_other(scene, clock):
    desk = started(scene)
    clock.set(MONDAY, 5)
    for name in ("orders-1.csv", "orders-2.csv"):
        scene.upload(f"upload/{name}")
        desk.look(ORDERS)
    assert told(scene) == [("met", "Mon 06:00", "in_time")]
    clock.set(MONDAY + timedelta(days=1), 6)
    desk.look(ORDERS)
    assert told(scene)[1:] == [("missed", "Tue 06:00", None)]


def test_only_a_file_that_came_through_by_that_name_and_way_counts(scene, clock):
    desk = started(scene, ORDERS, replace(ORDERS, name="pulled", source="fetch"))
    scene.hook("pre-receive", 'read -r line; case "$line" in *orders-bad*) exit 10;; esac')
    scene.upload("upload/orders-bad.csv")
    scene.upload("upload/invoices-1.csv")
    (scene.remote.folder / "in/orders-1.csv").write_bytes(b"pulled")
    assert scene.collector.collect().fetched == 1
    for one in desk.expectations.values():
        desk.look(one)
    assert standing(scene)[0] == {"demo/orders": "awaited", "demo/pulled": "met"}
    scene.upload("upload/deep/orders-1.csv")
    desk.look(ORDERS)
    assert standing(scene)[0]["demo/orders"] == "met"


def test_what_passed_while_nobody_ran_is_told_at_the_next_start(scene, clock):
    started(scene)
    clock.set(MONDAY + timedelta(days=8), 5, 45)
    started(scene)
    missed = [deadline for about, deadline, _ in told(scene) if about == "missed"]
    assert missed == ["Mon 06:00", "Tue 06:00", "Wed 06:00", "Thu 06:00", "Fri 06:00", "Mon 06:00"]
    assert told(scene)[-1] == ("at_risk", "Tue 06:00", None)
    assert len(told(scene)) == len(set(told(scene))) + 1, "of two Mondays"


def test_a_link_that_is_suspended_goes_on_expecting_and_one_that_closes_does_not(scene, clock):
    desk = started(scene)
    stands(scene, LinkState.SUSPENDED)
    clock.set(MONDAY, 6, 1)
    desk.look(ORDERS)
    assert told(scene) == [("missed", "Mon 06:00", None)]
    stands(scene, LinkState.CLOSING)
    clock.set(MONDAY + timedelta(days=1), 6, 1)
    desk.look(ORDERS)
    assert len(told(scene)) == 1
    assert standing(scene) == ({}, {})


def test_a_deadline_that_was_moved_is_told_of_at_its_new_time_alone(scene, clock):
    started(scene)
    moved = replace(ORDERS, by=time(8))
    clock.set(MONDAY, 5, 45)
    desk = started(scene, moved)
    for hour in (6, 7, 8):
        clock.set(MONDAY, hour, 1)
        desk.look(moved)
    assert told(scene) == [("missed", "Mon 08:00", None)]


def test_a_day_that_was_made_a_holiday_is_none_of_its_deadlines(scene, clock):
    started(scene)
    free = replace(ORDERS, holidays=frozenset({MONDAY}))
    desk = started(scene, free)
    clock.set(MONDAY, 7)
    desk.look(free)
    assert told(scene) == []


def test_what_is_expected_no_longer_is_forgotten(scene, clock):
    started(scene)
    started(scene, replace(ORDERS, name="other"))
    assert standing(scene)[0].keys() == {"demo/other"}
    clock.set(MONDAY + timedelta(days=28), 0)
    started(scene)
    assert [about for about, *_ in told(scene)] == []


def test_a_clock_that_was_years_ahead_keeps_no_deadline_from_being_told(scene, clock):
    clock.set(MONDAY + timedelta(days=400), 0)
    started(scene)
    clock.set(MONDAY, 0)
    desk = started(scene)
    clock.set(MONDAY, 5)
    scene.upload("upload/orders-1.csv")
    desk.look(ORDERS)
    clock.set(MONDAY + timedelta(days=1), 6)
    desk.look(ORDERS)
    assert told(scene) == [("met", "Mon 06:00", "in_time"), ("missed", "Tue 06:00", None)]


def test_of_a_deadline_that_passes_again_as_the_clock_is_set_back_nothing_is_told_twice(scene, clock):
    desk = started(scene)
    clock.set(MONDAY, 6, 1)
    scene.upload("upload/orders-1.csv")
    for hour, minute in ((6, 1), (5, 59), (6, 0), (6, 30)):
        clock.set(MONDAY, hour, minute)
        desk.look(ORDERS)
        desk = started(scene)
    assert told(scene) == [("missed", "Mon 06:00", None), ("met", "Mon 06:00", "late")]
    clock.set(MONDAY + timedelta(days=1), 6)
    desk.look(ORDERS)
    assert told(scene)[2:] == [("missed", "Tue 06:00", None)]


def test_an_event_names_what_it_may_concern_until_that_is_met(scene, clock):
    desk = started(scene)
    events = []
    scene.ledger.on_event(events.append)

    def concerned(path):
        scene.upload(f"upload/{path}")
        return desk.concerned(events.pop())

    assert concerned("invoices.csv") == []
    assert concerned("orders-1.csv") == [ORDERS]
    assert concerned("orders-2.csv") == [], "it is about to be looked at"
    desk.look(ORDERS)
    assert concerned("orders-3.csv") == [], "it is met"
    clock.set(MONDAY, 6, 1)
    desk.look(ORDERS)
    assert concerned("orders-4.csv") == [ORDERS]


@pytest.mark.parametrize("step", [0, 1])
def test_what_is_told_is_told_once_also_if_it_dies_over_it(tmp_path, scene, clock, step):
    desk = started(scene)
    clock.set(MONDAY, 6, 1)
    scene.ledger.fuse = Fuse(step)
    with pytest.raises(Crash):
        desk.look(ORDERS)
    scene.ledger.fuse = Fuse()
    started(scene)
    assert told(scene) == [("missed", "Mon 06:00", None)]
