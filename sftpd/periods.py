"""ISO 8601 periods, added to an instant by the civil calendar of a time zone, and ends of financial years."""

import calendar
import re
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo

from sftpd.civil import instant
from sftpd.errors import SftpdError

_PERIOD = re.compile(
    r"P(?=\d|T\d)(?:(?P<years>\d{1,4})Y)?(?:(?P<months>\d{1,5})M)?(?:(?P<weeks>\d{1,5})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,7})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,9}(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)
_LIMIT_DAYS = 1000 * 366
_DAY = timedelta(days=1)
_FOUR_YEARS = [date(2000, 1, 1) + count * _DAY for count in range(4 * 365 + 1)]
_LEAP_YEAR = 2000
_DESIGNATORS = "YMWDHMS"
_UTC = ZoneInfo("UTC")


class PeriodError(SftpdError, ValueError):
    """A text is no ISO 8601 period, or the period is too long to be meant."""

    code = "PERIOD"


@dataclass(frozen=True, slots=True)
class Period:
    """A length of calendar time: `P7Y`, `P1M15D`, `PT5S`.

    Years and months have no fixed length, so a period is not a number of seconds until it is added to an
    instant. `P30D` and `PT720H` differ: the first counts civil days, the second elapsed time.
    """

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: float = 0

    def __post_init__(self) -> None:
        if self.longest > _LIMIT_DAYS * 86400:
            raise PeriodError("period is too long", expected="at most 1000 years")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an ISO 8601 duration; only seconds may have a fraction, to the microsecond.

        Raises PeriodError.
        """
        match = _PERIOD.fullmatch(text)
        if match is None:
            raise PeriodError(
                f"{text!r} is no period", expected="an ISO 8601 period such as P7Y, P30D or PT5S"
            )
        given = {unit: number for unit, number in match.groupdict().items() if number is not None}
        seconds = float(given.pop("seconds", 0))
        return cls(**{unit: int(number) for unit, number in given.items()}, seconds=seconds)

    @property
    def has_date_parts(self) -> bool:
        """Whether it counts years, months, weeks or days."""
        return any((self.years, self.months, self.weeks, self.days))

    @property
    def has_time_parts(self) -> bool:
        """Whether it counts hours, minutes or seconds."""
        return any((self.hours, self.minutes, self.seconds))

    def total_seconds(self) -> float:
        """The length in seconds, a day being 24 hours.

        Raises PeriodError for years and months, which have no fixed length.
        """
        if self.years or self.months:
            raise PeriodError(
                f"{self} has no fixed length", expected="weeks, days, hours, minutes or seconds"
            )
        return (self.weeks * 7 + self.days) * 86400 + self._time_seconds()

    @property
    def shortest(self) -> float:
        """Seconds that it takes at least."""
        return self._seconds(365, 28)

    @property
    def longest(self) -> float:
        """Seconds that it takes at most, up to the end of a day apart."""
        return self._seconds(366, 31)

    def due(self, start: datetime, zone: ZoneInfo) -> datetime:
        """The instant, in UTC, at which this period after `start` has passed.

        Date parts count civil days in `zone`, months clamp to the month's end, and a period of date parts
        alone ends with the last day: at the midnight that follows it. Time parts are elapsed time.
        """
        if self.has_date_parts and not self.has_time_parts:
            return end_of(self.last_day(start.astimezone(zone).date()), zone)
        moment = start.astimezone(UTC)
        if self.has_date_parts:
            local = start.astimezone(zone)
            moment = datetime.combine(self.last_day(local.date()), local.timetz()).astimezone(UTC)
        return moment + timedelta(seconds=self._time_seconds())

    def last_day(self, day: date) -> date:
        """The civil day to which the date parts lead from `day`; months clamp to the month's end."""
        months = day.year * 12 + day.month - 1 + self.years * 12 + self.months
        year, month = months // 12, months % 12 + 1
        last = calendar.monthrange(year, month)[1]
        return date(year, month, min(day.day, last)) + timedelta(weeks=self.weeks, days=self.days)

    def may_outlast(self, other: "Period") -> date | None:
        """A day of four years from which this period ends later than `other`; None when there is none."""
        # Days alone end with a day that has begun. To look at four years takes a tenth of a second.
        if self.longest + 86400 <= other.shortest:
            return None
        return next((day for day in _FOUR_YEARS if self._outlasts(other, day)), None)

    def _outlasts(self, other: "Period", day: date) -> bool:
        # What ends with a civil day and what counts hours differ most at one of the day's ends.
        starts = (datetime.combine(day, at, UTC) for at in (time.min, time.max))
        return any(self.due(start, _UTC) > other.due(start, _UTC) for start in starts)

    def _seconds(self, year: int, month: int) -> float:
        """How long it is where a year and a month have so many days."""
        days = self.years * year + self.months * month + self.weeks * 7 + self.days
        return days * 86400 + self._time_seconds()

    def _time_seconds(self) -> float:
        return self.hours * 3600 + self.minutes * 60 + self.seconds

    def __str__(self) -> str:
        return _written(self)


@lru_cache(maxsize=1024)
def _written(period: Period) -> str:
    numbers = [getattr(period, field.name) for field in fields(period)]
    parts = [
        f"{number:.6f}".rstrip("0").rstrip(".") + letter if number else ""
        for number, letter in zip(numbers, _DESIGNATORS, strict=True)
    ]
    clock = "".join(parts[4:])
    return f"P{''.join(parts[:4])}{'T' + clock if clock else ''}" if any(parts) else "PT0S"


@dataclass(frozen=True, slots=True)
class YearEnd:
    """The last day of a financial year, as month and day; the 29th of February is the end of that month."""

    month: int
    day: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `MM-DD`. Raises PeriodError."""
        match = re.fullmatch(r"(\d\d)-(\d\d)", text, re.ASCII)
        try:
            day = date(_LEAP_YEAR, *map(int, match.groups())) if match else None
        except ValueError:
            day = None
        if day is None:
            raise PeriodError(f"{text!r} is no day of a year", expected='month and day, such as "12-31"')
        return cls(day.month, day.day)

    def closing(self, day: date) -> date:
        """The last day of the financial year in which `day` is."""
        end = self._in(day.year)
        return end if day <= end else self._in(day.year + 1)

    def _in(self, year: int) -> date:
        return date(year, self.month, min(self.day, calendar.monthrange(year, self.month)[1]))

    def __str__(self) -> str:
        return f"{self.month:02}-{self.day:02}"


def end_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which a civil day has passed: the first of the next."""
    return instant(day + _DAY, time(), zone)
