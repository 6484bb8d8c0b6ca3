"""When a deletion request must be answered (GDPR 12(3)), by Regulation 1182/71 article 3. Pure.

That is one month after receipt, or three where the term is extended. While the person's identity is asked for
the term stands still (EDPB Guidelines 01/2022, 159): the whole days that this took are added.
"""

import calendar
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_SATURDAY, _SUNDAY = 5, 6
_END_OF_DAY = time(23, 59, 59)
_MONTHS, _EXTENDED_MONTHS = 1, 3


def due(
    received: datetime, zone: ZoneInfo, *, paused: timedelta = timedelta(), extended: bool = False
) -> datetime:
    """Return the last second of the term for a request received at `received` (aware), in `zone`.

    The same date a month later, or the last of that month where it has no such date (article 3(2)(c)), and
    then the whole days for which the term stood still; a Saturday, Sunday or Dutch public holiday rolls
    forward to the next working day (article 3(4)).
    """
    months = _EXTENDED_MONTHS if extended else _MONTHS
    day = _months_after(received.astimezone(zone).date(), months) + timedelta(days=paused.days)
    while day.weekday() in (_SATURDAY, _SUNDAY) or day in public_holidays(day.year):
        day += timedelta(days=1)
    return datetime.combine(day, _END_OF_DAY, zone)


def public_holidays(year: int) -> frozenset[date]:
    """The days that article 3 of the Algemene termijnenwet names, Good Friday among them, Sundays aside."""
    easter = _easter(year)
    kings_day = date(year, 4, 27)
    if kings_day.weekday() == _SUNDAY:
        kings_day -= timedelta(days=1)
    fixed = {date(year, 1, 1), kings_day, date(year, 5, 5), date(year, 12, 25), date(year, 12, 26)}
    moving = {easter + timedelta(days=days) for days in (-2, 1, 39, 50)}
    return frozenset(fixed | moving)


def _months_after(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, by the anonymous algorithm (Meeus, 1991)."""
    golden = year % 19
    century, rest = divmod(year, 100)
    leap_centuries, century_rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_centuries - correction + 15) % 30
    leaps, leap_rest = divmod(rest, 4)
    weekday = (32 + 2 * century_rest + 2 * leaps - epact - leap_rest) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)
