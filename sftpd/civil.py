"""Civil time: the instant at which clocks show a reading, and cron lines (crontab(5)); pure.

Where clocks go forward some readings never come, and where they go back some come twice.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from types import MappingProxyType
from typing import Self
from zoneinfo import ZoneInfo

from sftpd.errors import SftpdError

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_LONGEST_WAIT = 8 * 366
"""Days between two 29ths of February, at most."""
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"(?:\*|(\w{1,3})(?:-(\w{1,3}))?)(?:/(\d{1,2}))?", re.ASCII)

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
"""As `date.weekday` numbers them."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAMES = MappingProxyType({name: number for number, name in enumerate(_MONTHS, 1)})
_WEEKDAY_NAMES = MappingProxyType({name.lower(): (n + 1) % 7 for n, name in enumerate(WEEKDAYS)})


class CronError(SftpdError, ValueError):
    """A text is no cron line."""

    code = "CRON"


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The first instant, in UTC, at which clocks in `zone` show `at` on `day` or a later reading.

    That is the first of two passes where clocks go back, and the end of the gap where they go forward.
    """
    wall = datetime.combine(day, at)
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    before, after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), moment
    offset = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Cron:
    """Five fields of a crontab: minute, hour, day of the month, month, day of the week (0 and 7: Sunday)."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int] | None
    """None: the field is `*`."""
    months: frozenset[int]
    weekdays: frozenset[int] | None
    """Sunday is 0. Where both kinds of day are given, either will do."""
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a line. Raises CronError, also for a day that never comes."""
        fields = text.split()
        if len(fields) != 5:
            raise CronError(f"{text!r} has {len(fields)} fields", expected="five")
        minute, hour, day, month, weekday = fields
        made = cls(
            minutes=tuple(sorted(_values(minute, 0, 59))),
            hours=tuple(sorted(_values(hour, 0, 23))),
            days=None if day == "*" else _values(day, 1, 31),
            months=_values(month, 1, 12, _MONTH_NAMES),
            weekdays=None
            if weekday == "*"
            else frozenset(n % 7 for n in _values(weekday, 0, 7, _WEEKDAY_NAMES)),
            text=text,
        )
        if made.days and made.weekdays is None and not made._has_a_day(made.days):
            raise CronError(f"{text!r} names a day that never comes", expected="a day of its month")
        return made

    def next(self, after: datetime, zone: ZoneInfo) -> datetime:
        """The first instant later than `after`, in UTC, at which it runs.

        A line that names every hour runs whenever clocks show a matching minute: in both passes of a doubled
        hour, and not in one that is left out. Any other runs once for each matching reading, at `instant`.
        """
        if len(self.hours) == 24:
            return self._next_minute(after, zone)
        first = after.astimezone(zone).date() - _DAY
        readings = [time(hour, minute) for hour, minute in product(self.hours, self.minutes)]
        for day in _days_from(first):
            if self._on(day) and instant(day, readings[-1], zone) > after:
                return next(moment for at in readings if (moment := instant(day, at, zone)) > after)
        raise AssertionError(self.text)

    def _next_minute(self, after: datetime, zone: ZoneInfo) -> datetime:
        moment = after.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        while True:
            local = moment.astimezone(zone)
            if not self._on(local.date()):
                moment = max(moment + _MINUTE, instant(local.date() + _DAY, time(), zone))
            elif local.minute in self.minutes:
                return moment
            else:
                moment += _MINUTE

    def _on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_day = self.days is not None and day.day in self.days
        by_weekday = self.weekdays is not None and day.isoweekday() % 7 in self.weekdays
        return by_day or by_weekday or (self.days is None and self.weekdays is None)

    def _has_a_day(self, days: Iterable[int]) -> bool:
        longest = max(_MONTH_DAYS[month - 1] for month in self.months)
        return any(day <= longest for day in days)

    def __str__(self) -> str:
        return self.text


def _days_from(first: date) -> Iterable[date]:
    return (first + timedelta(days=count) for count in range(_LONGEST_WAIT + 3))


def _values(
    field: str, low: int, high: int, names: Mapping[str, int] = MappingProxyType({})
) -> frozenset[int]:
    """The numbers that one field names: `*`, `5`, `mon-fri`, `*/15`, `10-50/20`, or a list of these."""
    values: set[int] = set()
    for part in field.lower().split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise CronError(
                f"{field!r} is no field of a cron line", expected=f"{low} to {high}, '*' or a range"
            )
        start, end, step = match.groups()
        first = low if start is None else _number(start, names)
        last = high if start is None or (end is None and step) else _number(end or start, names)
        if not (low <= first <= last <= high) or step == "0":
            raise CronError(f"{part!r} is out of range", expected=f"{low} to {high}")
        values.update(range(first, last + 1, int(step or 1)))
    return frozenset(values)


def _number(text: str, names: Mapping[str, int]) -> int:
    number = names.get(text, int(text) if text.isdigit() else -1)
    if number < 0:
        raise CronError(f"{text!r} is no number or name that fits there")
    return number
