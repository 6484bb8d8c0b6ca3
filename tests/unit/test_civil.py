"""Civil time against a model that walks through the minutes one by one."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sftpd.civil import Cron, CronError, instant

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
ZONES = (
    "Europe/Amsterdam",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Asia/Kolkata",
    "UTC",
)
MINUTE = timedelta(minutes=1)
FORWARD, BACK = date(2026, 3, 29), date(2026, 10, 25)

# Days around the changes of all these zones in 2026, the southern ones too.
days = st.sampled_from(
    [
        date(2026, 3, 8),
        FORWARD,
        date(2026, 4, 5),
        date(2026, 9, 6),
        date(2026, 10, 4),
        BACK,
        date(2026, 11, 1),
    ]
)
near = st.tuples(days, st.integers(-1, 1)).map(lambda pair: pair[0] + timedelta(days=pair[1]))
readings = st.builds(time, st.integers(0, 23), st.integers(0, 59))
zones = st.sampled_from(ZONES).map(ZoneInfo)


def minutes(start: datetime, count: int):
    return (start + n * MINUTE for n in range(count))


def shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """What clocks show, without a zone."""
    return moment.astimezone(zone).replace(tzinfo=None)


def slow_instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    start = datetime.combine(day, at, UTC) - timedelta(hours=16)
    return next(m for m in minutes(start, 2 * 24 * 60) if shown(m, zone) >= datetime.combine(day, at))


@settings(deadline=None, max_examples=60)
@given(near, readings, zones)
@example(FORWARD, time(2, 30), AMSTERDAM)
@example(BACK, time(2, 30), AMSTERDAM)
def test_a_reading_is_when_clocks_first_show_it_or_a_later_one(day, at, zone):
    assert instant(day, at, zone) == slow_instant(day, at, zone)


def test_a_day_that_a_zone_left_out_ends_where_the_next_begins():
    apia = ZoneInfo("Pacific/Apia")
    assert instant(date(2011, 12, 30), time(12), apia) == datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert shown(datetime(2011, 12, 30, 10, tzinfo=UTC), apia).isoformat() == "2011-12-31T00:00:00"


def matches(line: str, wall: datetime) -> bool:
    """Whether a reading fits a line of plain numbers, ranges, lists and steps."""
    minute, hour, day, month, weekday = line.split()
    by_day, by_weekday = _in(day, wall.day, 31), _in(weekday, wall.isoweekday() % 7, 6)
    fits_day = by_day or by_weekday if day != "*" and weekday != "*" else by_day and by_weekday
    return (
        fits_day and _in(minute, wall.minute, 59) and _in(hour, wall.hour, 23) and _in(month, wall.month, 12)
    )


def _in(field: str, value: int, last: int) -> bool:
    if "," in field:
        return any(_in(part, value, last) for part in field.split(","))
    span, _, step = field.partition("/")
    low, _, high = span.partition("-")
    if span == "*":
        return value % int(step or 1) == 0
    return int(low) <= value <= int(high or low)


def slow_next(line: str, after: datetime, zone: ZoneInfo) -> datetime | None:
    """Within three days: by every minute if it names every hour, else by every reading."""
    start = after.replace(second=0, microsecond=0)
    if line.split()[1] == "*":
        found = (m for m in minutes(start, 3 * 24 * 60) if matches(line, shown(m, zone)))
    else:
        first = datetime.combine(shown(start, zone).date() - timedelta(days=1), time())
        walls = [w for w in minutes(first, 5 * 24 * 60) if matches(line, w)]
        found = iter(sorted(slow_instant(w.date(), w.time(), zone) for w in walls))
    return next((m for m in found if m > after), None)


hours = st.sampled_from(["2", "1-3", "*", "0,2", "2,14", "*/2", "23"])
lines = st.builds(
    "{} {} {} * {}".format, st.sampled_from(["30", "0", "0,30", "*/20", "59"]), hours,
    st.sampled_from(["*", "29", "25", "1"]), st.sampled_from(["*", "0", "1-5"]),
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(lines, near, readings, st.integers(0, 59), zones)
@example("30 2 * * *", FORWARD, time(0), 0, AMSTERDAM)
@example("30 2 * * *", BACK, time(0, 29), 59, AMSTERDAM)
@example("*/20 * * * *", BACK, time(0, 50), 0, AMSTERDAM)
def test_the_next_run_is_what_walking_through_the_minutes_finds(line, day, at, second, zone):
    after = datetime.combine(day, at, UTC).replace(second=second)
    expected = slow_next(line, after, zone)
    found = Cron.parse(line).next(after, zone)
    if expected is None:
        assert found > after + timedelta(days=2)
    else:
        assert found == expected


def runs(line: str, day: date) -> list[str]:
    """The runs on a civil day in Amsterdam, as clocks there show them."""
    moment, made = instant(day, time(), AMSTERDAM) - MINUTE, []
    while (moment := Cron.parse(line).next(moment, AMSTERDAM)) < instant(
        day + timedelta(days=1), time(), AMSTERDAM
    ):
        made.append(moment.astimezone(AMSTERDAM).strftime("%H:%M%z"))
    return made


def test_a_job_at_half_past_two_runs_once_in_both_nights():
    assert runs("30 2 * * *", FORWARD) == ["03:00+0200"]
    assert runs("30 2 * * *", BACK) == ["02:30+0200"]


def test_an_hourly_job_runs_each_hour_that_passes():
    assert len(runs("0 * * * *", FORWARD)) == 23
    assert len(runs("0 * * * *", BACK)) == 25


def test_sunday_has_two_numbers_and_a_name():
    sunday = datetime(2026, 11, 29, 3, tzinfo=UTC)
    for name in ("0", "7", "sun"):
        assert Cron.parse(f"0 3 * * {name}").next(sunday - timedelta(days=3), ZoneInfo("UTC")) == sunday


def test_a_day_of_the_month_and_one_of_the_week_are_either():
    line = Cron.parse("0 0 13 * fri")
    made, moment = [], datetime(2026, 2, 28, 12, tzinfo=UTC)
    for _ in range(5):
        moment = line.next(moment, ZoneInfo("UTC"))
        made.append(moment.day)
    assert made == [6, 13, 20, 27, 3]


def test_the_twenty_ninth_of_february_comes():
    line = Cron.parse("0 0 29 2 *")
    assert line.next(datetime(2097, 1, 1, tzinfo=UTC), ZoneInfo("UTC")) == datetime(2104, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    "line",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *",
     "*/0 * * * *", "a * * * *", "* * 30 2 *", "1,, * * * *", "-1 * * * *", "* * * * * *",
     "\N{ARABIC-INDIC DIGIT ONE} * * * *"],
)  # fmt: skip
def test_what_is_no_cron_line_is_refused(line):
    with pytest.raises(CronError):
        Cron.parse(line)
