"""Expectations against a model that lives through the minutes one by one."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sftpd.exchange.expectation import (
    Stand,
    Standing,
    Telling,
    advance,
    begin,
    following,
    is_due,
    next_look,
    preceding,
)
from sftpd.link.model import Expectation

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
FORWARD, BACK = date(2026, 3, 29), date(2026, 10, 25)
DAYS = 6


def expecting(by=time(6), weekdays=range(7), holidays=(), warn=0, zone=AMSTERDAM):
    return Expectation(
        "orders",
        "demo",
        "upload",
        "*",
        by,
        zone,
        frozenset(weekdays),
        frozenset(holidays),
        timedelta(minutes=warn),
    )


def at(day, hour, minute=0, zone=AMSTERDAM):
    return datetime.combine(day, time(hour, minute), zone).astimezone(UTC)


def slow_deadlines(expected, first, count):
    """By walking: the first minute at which clocks show the time of day, or a later reading of that day."""
    found = []
    for number in range(count):
        day = first + number * DAY
        if day.weekday() in expected.weekdays and day not in expected.holidays:
            wall = datetime.combine(day, expected.by)
            moment = datetime.combine(day, expected.by, UTC) - timedelta(hours=16)
            while moment.astimezone(expected.zone).replace(tzinfo=None) < wall:
                moment += MINUTE
            found.append(moment)
    return found


class Model:
    """Told of each minute, and whether a file comes in it."""

    def __init__(self, deadlines, warn, start):
        self.deadlines = [deadline for deadline in deadlines if deadline > start]
        self.warn = warn
        self.state = "awaited"
        self.told = []

    def minute(self, now, file):
        if file and self.state != "met":
            self.tell("met", now)
            self.state = "over" if self.state == "missed" else "met"
        while self.passes(now):
            pass

    def passes(self, now):
        deadline, successor = self.deadlines[:2]
        if self.state == "over" or (self.state == "met" and now >= deadline):
            self.next()
        elif self.state == "awaited" and self.warn and deadline - self.warn <= now < deadline:
            self.tell("at_risk")
            self.state = "at_risk"
        elif self.state in ("awaited", "at_risk") and now >= deadline:
            self.tell("missed")
            self.state = "missed"
        elif self.state == "missed" and now >= successor - self.warn:
            self.next()
        else:
            return False
        return True

    def next(self):
        self.deadlines.pop(0)
        self.state = "awaited"

    def tell(self, about, came=None):
        self.told.append(Telling(about, self.deadlines[0], came))


weeks = st.sampled_from([FORWARD, BACK]).map(lambda day: day - 3 * DAY)
expectations = st.builds(
    expecting,
    by=st.sampled_from([time(2, 30), time(0, 0), time(23, 59), time(6, 0), time(3, 0)]),
    weekdays=st.sampled_from([range(7), range(5), (5, 6), (6,), (0, 2, 4)]),
    holidays=st.sampled_from([(), (FORWARD, BACK), (FORWARD + DAY,)]),
    warn=st.sampled_from([0, 30, 240, 1440]),
    zone=st.sampled_from(["Europe/Amsterdam", "America/New_York", "Asia/Kolkata"]).map(ZoneInfo),
)
offsets = st.integers(1, DAYS * 24 * 60)


def lived(expected, first, files, looks):
    """What is told when it is looked at first, when a file comes, when `next_look` says, and at `looks`."""
    start = datetime.combine(first, time(), UTC)
    end = start + DAYS * DAY
    moments, moment = {start, *files, *looks, end}, start
    while (moment := next_look(expected, moment)) < end:
        moments.add(moment)
    stand, told = begin(expected, start), []
    for now in sorted(moments):
        came = sorted(file for file in files if file <= now)
        stand, tellings = advance(expected, stand, came, now)
        told += tellings
    return told


@settings(deadline=None, max_examples=80)
@given(expectations, weeks, st.sets(offsets, max_size=12), st.sets(offsets, max_size=5))
@example(expecting(time(2, 30), warn=30), FORWARD - 3 * DAY, set(), set())
@example(expecting(time(2, 30), warn=30), BACK - 3 * DAY, set(), set())
def test_what_is_told_is_what_living_through_the_minutes_tells(expected, first, files, looks):
    start = datetime.combine(first, time(), UTC)
    came = {start + minutes * MINUTE for minutes in files}
    model = Model(slow_deadlines(expected, first - 2 * DAY, 30), expected.warn, start)
    for minutes in range(DAYS * 24 * 60 + 1):
        now = start + minutes * MINUTE
        model.minute(now, now in came)
    assert lived(expected, first, came, {start + minutes * MINUTE for minutes in looks}) == model.told


@settings(deadline=None, max_examples=60)
@given(expectations, weeks, offsets)
def test_deadlines_are_those_that_walking_finds(expected, first, minutes):
    moment = datetime.combine(first, time(), UTC) + minutes * MINUTE
    deadlines = slow_deadlines(expected, first - 10 * DAY, 30)
    assert following(expected, moment) == next(d for d in deadlines if d > moment)
    assert preceding(expected, moment) == next(d for d in reversed(deadlines) if d <= moment)
    for deadline in deadlines:
        assert is_due(expected, Stand(deadline, moment, Standing.AWAITED))
        assert not is_due(expected, Stand(deadline + MINUTE, moment, Standing.AWAITED))


@settings(deadline=None, max_examples=60)
@given(expectations, weeks, st.sets(offsets, max_size=12), offsets)
def test_after_a_while_in_which_nobody_looked_the_deadlines_told_are_the_same(expected, first, files, gap):
    start = datetime.combine(first, time(), UTC)
    end = start + DAYS * DAY
    came = sorted(start + minutes * MINUTE for minutes in files)
    _, at_once = advance(expected, begin(expected, start), came, end)
    kept = [telling for telling in lived(expected, first, set(came), ()) if telling.about != "at_risk"]
    assert [telling for telling in at_once if telling.about != "at_risk"] == kept


def test_each_deadline_is_told_of_as_missed_or_met_in_time_once():
    expected = expecting(warn=30)
    told = lived(expected, BACK - 3 * DAY, {at(BACK, 5), at(BACK, 5, 30), at(BACK, 7)}, ())
    final = [t.deadline for t in told if t.about == "missed" or (t.about == "met" and not t.late)]
    assert final == sorted(set(final))
    assert [(t.about, t.late) for t in told if t.deadline == at(BACK, 6)] == [("met", False)]
    assert all(later - earlier in (DAY, DAY + timedelta(hours=1)) for earlier, later in pairwise(final))


def test_a_late_file_meets_the_deadline_that_it_missed_and_not_the_next():
    told = lived(
        expecting(warn=60), date(2026, 6, 1), {at(date(2026, 6, 1), 7), at(date(2026, 6, 2), 5, 30)}, ()
    )
    about = [(t.about, t.late, t.deadline.day) for t in told][:5]
    assert about == [
        ("at_risk", False, 1), ("missed", False, 1), ("met", True, 1),
        ("at_risk", False, 2), ("met", False, 2),
    ]  # fmt: skip


def test_a_deadline_that_the_clocks_skip_is_the_end_of_the_gap():
    deadline = following(expecting(time(2, 30)), at(FORWARD, 0))
    assert deadline == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert following(expecting(time(2, 30)), at(BACK, 0)) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
