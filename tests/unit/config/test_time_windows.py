from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sftpd.timewindows import TimeWindow, TimeWindowError, opens_at

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
MINUTE = timedelta(minutes=1)
SPRING, AUTUMN = date(2027, 3, 28), date(2027, 10, 31)
"""Nights on which the clock leaps from 02:00 to 03:00, and goes from 03:00 back to 02:00."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

minutes = st.integers(0, 24 * 60 - 1)


def clock(minute):
    return f"{minute // 60:02}:{minute % 60:02}"


def amsterdam(*when, fold=0):
    return datetime(*when, tzinfo=AMSTERDAM, fold=fold).astimezone(UTC)


def is_open(text, *when, fold=0):
    return opens_at([TimeWindow.parse(text)], amsterdam(*when, fold=fold), AMSTERDAM) is None


@pytest.mark.parametrize(
    ("text", "days", "start", "end"),
    [
        ("18:00-06:00", range(7), 1080, 1800),
        ("Mon 08:00-08:00", [0], 480, 1920),
        ("Mon-Fri 00:00-24:00", range(5), 0, 1440),
        ("Fri-Mon 22:15-23:00", [4, 5, 6, 0], 1335, 1380),
        ("Sat,Sun,Tue-Wed 01:00-02:00", [5, 6, 1, 2], 60, 120),
    ],
)
def test_a_window_is_read(text, days, start, end):
    assert TimeWindow.parse(text) == TimeWindow(frozenset(days), start, end)


@pytest.mark.parametrize(
    "text",
    ["", "18:00", "Mon", "24:00-06:00", "18:00-24:01", "Mon-Tue-Wed 01:00-02:00", "mon 01:00-02:00",
     "Mon, Tue 01:00-02:00", "Mon  01:00-02:00", "1:00-2:00", "١٨:00-19:00", "Mon-Fri 18:00-06:00\n"],
)  # fmt: skip
def test_what_is_no_window_is_refused(text):
    with pytest.raises(TimeWindowError):
        TimeWindow.parse(text)


def test_without_windows_it_is_always_open():
    assert opens_at([], amsterdam(2027, 5, 1), AMSTERDAM) is None


def test_a_window_past_midnight_belongs_to_the_day_on_which_it_opens():
    assert is_open("Fri 18:00-06:00", 2027, 5, 8, 5, 59)  # a Saturday
    assert not is_open("Fri 18:00-06:00", 2027, 5, 8, 6)
    assert not is_open("Fri 18:00-06:00", 2027, 5, 7, 5)


def test_the_night_that_lacks_an_hour():
    night = (SPRING.year, SPRING.month, SPRING.day)
    assert TimeWindow.parse("02:30-04:00").on(SPRING, AMSTERDAM) == (
        amsterdam(*night, 3),
        amsterdam(*night, 4),
    )
    assert TimeWindow.parse("01:00-02:30").on(SPRING, AMSTERDAM) == (
        amsterdam(*night, 1),
        amsterdam(*night, 3),
    )
    start, end = TimeWindow.parse("02:10-02:50").on(SPRING, AMSTERDAM)
    assert start == end
    closed = opens_at([TimeWindow.parse("Sun 02:10-02:50")], amsterdam(*night, 1), AMSTERDAM)
    assert closed == amsterdam(2027, 4, 4, 2, 10)


def test_the_night_with_an_hour_twice_opens_once():
    night = (AUTUMN.year, AUTUMN.month, AUTUMN.day)
    start, end = TimeWindow.parse("02:30-04:00").on(AUTUMN, AMSTERDAM)
    assert (start, end) == (amsterdam(*night, 2, 30), amsterdam(*night, 4))
    assert end - start == timedelta(hours=2.5)
    assert is_open("02:30-04:00", *night, 2, 15, fold=1)
    assert not is_open("01:00-02:30", *night, 2, 15, fold=1)
    start, end = TimeWindow.parse("02:00-03:00").on(AUTUMN, AMSTERDAM)
    assert end - start == timedelta(hours=2)


@given(
    st.sampled_from(
        [AMSTERDAM, ZoneInfo("America/Sao_Paulo"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")]
    ),
    st.dates(date(2015, 1, 1), date(2028, 12, 31)),
    minutes,
    minutes,
)
@example(AMSTERDAM, SPRING, 150, 240)
@example(AMSTERDAM, AUTUMN, 150, 240)
@example(ZoneInfo("Australia/Lord_Howe"), date(2027, 10, 3), 135, 200)
@example(ZoneInfo("America/Sao_Paulo"), date(2018, 11, 4), 0, 60)
def test_each_end_is_the_first_minute_that_shows_its_time_or_a_later_one(zone, day, start, end):
    def shown(minute):
        wanted = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minute)
        at = (wanted - timedelta(hours=30)).replace(tzinfo=UTC)
        while at.astimezone(zone).replace(tzinfo=None) < wanted:
            at += MINUTE
        return at

    window = TimeWindow.parse(f"{DAYS[day.weekday()]} {clock(start)}-{clock(end)}")
    assert window.on(day, zone) == (shown(start), shown(end if end > start else end + 1440))


@given(
    st.lists(
        st.builds(TimeWindow, st.frozensets(st.integers(0, 6), min_size=1), minutes, st.just(1440)),
        max_size=3,
    ),
    st.integers(0, 16 * 86400).map(lambda second: amsterdam(2027, 3, 20) + timedelta(seconds=second)),
)
def test_what_is_closed_stays_so_until_the_time_that_is_told_and_no_longer(windows, now):
    opens = opens_at(windows, now, AMSTERDAM)
    if opens is None:
        return
    assert now < opens <= now + timedelta(days=8)
    assert opens_at(windows, opens, AMSTERDAM) is None
    assert opens_at(windows, opens - timedelta(microseconds=1), AMSTERDAM) == opens
    assert opens_at(windows, now + (opens - now) / 2, AMSTERDAM) == opens


def test_a_day_of_the_week_is_that_of_the_zone():
    assert TimeWindow.parse("Mon 00:00-01:00").on(date(2027, 5, 3), AMSTERDAM) is not None
    assert is_open("Mon 00:00-01:00", 2027, 5, 3, 0, 30)  # in UTC it is still Sunday
