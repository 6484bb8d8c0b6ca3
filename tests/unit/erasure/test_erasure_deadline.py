"""The month in which a request is to be answered, and the days on which it cannot end."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

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
