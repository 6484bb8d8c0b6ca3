"""The month in which a request is to be answered, and the days on which it cannot end."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.erasure.deadline import due, public_holidays

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@pytest.mark.parametrize(
    ("received", "last_day"),
    [
        ("2026-03-05T10:00+01:00", "2026-04-07"),  # 5 April is Easter Sunday, then Easter Monday
        ("2026-01-31T10:00+01:00", "2026-03-02"),  # 28 February is a Saturday
        ("2025-01-31T10:00+01:00", "2025-02-28"),
        ("2024-01-31T10:00+01:00", "2024-02-29"),
        ("2026-08-31T10:00+02:00", "2026-09-30"),
        ("2026-11-25T10:00+01:00", "2026-12-28"),  # Christmas, Boxing Day, Sunday
        ("2026-12-01T10:00+01:00", "2027-01-04"),  # New Year's Day, then a weekend
        ("2026-03-03T10:00+01:00", "2026-04-07"),  # 3 April is Good Friday
        ("2026-03-27T10:00+01:00", "2026-04-28"),  # King's Day
        ("2025-03-26T10:00+01:00", "2025-04-28"),  # Saturday 26 April was King's Day, then Sunday
        ("2026-04-05T10:00+02:00", "2026-05-06"),  # Liberation Day
        ("2026-04-14T10:00+02:00", "2026-05-15"),  # Ascension Day
        ("2026-04-25T10:00+02:00", "2026-05-26"),  # Whit Monday
        ("2026-06-30T22:30+00:00", "2026-08-03"),  # it is 1 July in Amsterdam; 1 August is a Saturday
        ("2026-06-30T21:30+00:00", "2026-07-30"),
    ],
)
def test_the_term_ends_a_month_later_on_a_working_day(received: str, last_day: str) -> None:
    end = due(datetime.fromisoformat(received), AMSTERDAM)
    assert end.isoformat()[:19] == f"{last_day}T23:59:59"
    assert end.tzinfo is AMSTERDAM


@pytest.mark.parametrize(
    ("year", "easter_monday"),
    [(1999, (4, 5)), (2008, (3, 24)), (2011, (4, 25)), (2026, (4, 6)), (2038, (4, 26)), (2049, (4, 19))],
)
def test_holidays_move_with_easter(year: int, easter_monday: tuple[int, int]) -> None:
    assert date(year, *easter_monday) in public_holidays(year)
    assert date(year, *easter_monday).weekday() == 0


def test_kings_day_is_never_a_sunday() -> None:
    assert date(2025, 4, 26) in public_holidays(2025)
    assert date(2025, 4, 27) not in public_holidays(2025)
    assert date(2026, 4, 27) in public_holidays(2026)


@pytest.mark.parametrize(
    ("received", "paused", "extended", "last_day"),
    [
        ("2026-01-31T10:00+01:00", timedelta(), True, "2026-04-30"),  # April has no 31st
        ("2026-11-30T10:00+01:00", timedelta(), True, "2027-03-01"),  # 28 February is a Sunday
        ("2026-06-01T10:00+02:00", timedelta(days=5), False, "2026-07-06"),
        ("2026-06-01T10:00+02:00", timedelta(days=5, hours=23), False, "2026-07-06"),
        ("2026-06-01T10:00+02:00", timedelta(hours=23), False, "2026-07-01"),
        ("2026-06-01T10:00+02:00", timedelta(days=3), False, "2026-07-06"),  # the 4th is a Saturday
        ("2026-06-01T10:00+02:00", timedelta(days=7), True, "2026-09-08"),
    ],
)
def test_a_term_that_stood_still_or_is_extended_ends_later(
    received: str, paused: timedelta, extended: bool, last_day: str
) -> None:
    end = due(datetime.fromisoformat(received), AMSTERDAM, paused=paused, extended=extended)
    assert end.isoformat()[:19] == f"{last_day}T23:59:59"


ZONES = st.sampled_from([AMSTERDAM, ZoneInfo("UTC"), ZoneInfo("America/New_York"), ZoneInfo("Pacific/Apia")])


@given(
    received=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    zone=ZONES,
    paused=st.timedeltas(timedelta(), timedelta(days=90)),
    extended=st.booleans(),
)
def test_the_term_is_that_of_a_slow_walk_through_the_calendar(
    received: datetime, zone: ZoneInfo, paused: timedelta, extended: bool
) -> None:
    first, last = received.astimezone(zone).date(), slowly(received, zone, paused, extended)
    end = due(received, zone, paused=paused, extended=extended)
    assert (end.date(), end.strftime("%H:%M:%S")) == (last, "23:59:59")
    assert last - first <= timedelta(days=92 + 5) + paused


def slowly(received: datetime, zone: ZoneInfo, paused: timedelta, extended: bool) -> date:
    """The last day, found day by day: until the month has changed often enough, and the date is reached."""
    start = day = received.astimezone(zone).date()
    for _ in range(3 if extended else 1):
        month = day.month
        while day.month == month:
            day += timedelta(days=1)
    while day.day < start.day and (day + timedelta(days=1)).day != 1:
        day += timedelta(days=1)
    while paused >= timedelta(hours=24):
        day, paused = day + timedelta(days=1), paused - timedelta(hours=24)
    while day.isoweekday() > 5 or holiday(day):
        day += timedelta(days=1)
    return day


def holiday(day: date) -> bool:
    """By the rules themselves, with an Easter of another reckoning."""
    if (day.month, day.day) in {(1, 1), (5, 5), (12, 25), (12, 26)}:
        return True
    kings_day = 26 if date(day.year, 4, 27).isoweekday() == 7 else 27
    easter = easter_sunday(day.year)
    return (day.month, day.day) == (4, kings_day) or (day - easter).days in {-2, 1, 39, 50}


def easter_sunday(year: int) -> date:
    """Gauss's rule, with the corrections of the Gregorian calendar for the year's century."""
    k = year // 100
    m = (15 - (13 + 8 * k) // 25 + k - k // 4) % 30
    n = (4 + k - k // 4) % 7
    d = (19 * (year % 19) + m) % 30
    e = (2 * (year % 4) + 4 * (year % 7) + 6 * d + n) % 7
    if (d == 29 and e == 6) or (d == 28 and e == 6 and (11 * m + 11) % 30 < 19):
        e -= 7
    return date(year, 3, 22) + timedelta(days=d + e)
