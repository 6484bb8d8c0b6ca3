"""What a verb is."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sftpd import civil
from sftpd.app.instance import Instance
from sftpd.errors import UsageError

Arguments = Mapping[str, Any]
"""The arguments of a request, as JSON; a verb raises KeyError for one that is missing."""

Verb = Callable[[Instance, Arguments], Any]
"""Carries out one request and returns JSON. Raises SftpdError."""


_WRITTEN = "2027-01-31T00:00:00+01:00"


def as_text(path: bytes) -> str:
    """A path as JSON can hold it."""
    return path.decode("utf-8", "backslashreplace")


def instant(text: str, where: str) -> datetime:
    """The instant that the argument `where` names.

    Raises UsageError.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time", where=where, expected=f"ISO 8601, such as {_WRITTEN}, or a day"
        ) from None
    if moment.tzinfo is None:
        expected = f"an offset, as in {_WRITTEN}, or a day alone"
        raise UsageError(f"{text!r} has no time zone", where=where, expected=expected)
    return moment


def day_or_instant(text: str, where: str, zone: ZoneInfo) -> datetime:
    """The instant that the argument `where` names, or the beginning of a day in `zone`.

    Raises UsageError.
    """
    day = _day(text)
    return instant(text, where) if day is None else _begins(day, 0, where, zone)


def day_end_or_instant(text: str, where: str, zone: ZoneInfo) -> datetime:
    """The instant that the argument `where` names, or the end of a day in `zone`. Raises UsageError."""
    day = _day(text)
    return instant(text, where) if day is None else _begins(day, 1, where, zone)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _begins(day: date, later: int, where: str, zone: ZoneInfo) -> datetime:
    """When so many days after `day` begin."""
    try:
        return civil.instant(day + timedelta(days=later), time(), zone)
    except OverflowError:
        raise UsageError(
            f"{day} is out of range", where=where, expected=f"a time such as {_WRITTEN}"
        ) from None
