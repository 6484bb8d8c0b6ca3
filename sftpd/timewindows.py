"""Weekly windows of time by the clock of a time zone: when one is open, and when the next opens. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from sftpd.civil import WEEKDAYS, instant
from sftpd.errors import SftpdError

FORM = '"Mon-Fri 18:00-06:00", "Sat,Sun 00:00-24:00" or, for every day, "22:00-05:00"'

_DAY = f"(?:{'|'.join(WEEKDAYS)})"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d"
_WINDOW = re.compile(rf"(?:({_DAY}(?:[-,]{_DAY})*) )?({_TIME})-({_TIME}|24:00)", re.ASCII)
_A_DAY = 24 * 60
_SPAN = range(-1, 16)
"""Days around today that are looked at: a week's window may fall into the hour that a spring night lacks."""


class TimeWindowError(SftpdError, ValueError):
    """A text is no window of time."""

    code = "TIME_WINDOW"


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """From `start` to `end`, in minutes after the midnight with which each of `days` (0: Monday) begins."""

    days: frozenset[int]
    start: int
    end: int
    """After `start`, and at most a day after it: from 24 * 60 on it is on the next day."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a window; one that does not end after it starts ends on the next day.

        Raises TimeWindowError.
        """
        match = _WINDOW.fullmatch(text)
        if match is None:
            raise TimeWindowError(f"{text!r} is no window of time", expected=FORM)
        start, end = _minutes(match[2]), _minutes(match[3])
        return cls(_days(match[1]), start, end if end > start else end + _A_DAY)

    def on(self, day: date, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
        """From when to when it is open, if it opens on `day`.

        Each end is as civil.instant has it: an hour that a night leaves out is over at once.
        """
        if day.weekday() not in self.days:
            return None
        return _shown(day, self.start, zone), _shown(day, self.end, zone)


def opens_at(windows: Iterable[TimeWindow], now: datetime, zone: ZoneInfo) -> datetime | None:
    """When the next of `windows` opens; None while one is open, and where there are none."""
    today = now.astimezone(zone).date()
    spans = [
        span
        for window in windows
        for days in _SPAN
        if (span := window.on(today + timedelta(days), zone)) is not None
    ]
    if not spans or any(start <= now < end for start, end in spans):
        return None
    return min(start for start, end in spans if now < start < end)


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(len(WEEKDAYS)))
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if "-" in last:
            raise TimeWindowError(f"{part!r} are no days", expected=FORM)
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        found.update(number % 7 for number in range(begin, end + 1 if end >= begin else end + 8))
    return frozenset(found)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _shown(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    days, rest = divmod(minutes, _A_DAY)
    hour, minute = divmod(rest, 60)
    return instant(day + timedelta(days), time(hour, minute), zone)
