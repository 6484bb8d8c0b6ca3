"""What a verb is."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sftpd.app.instance import Instance
from sftpd.errors import UsageError

Arguments = Mapping[str, Any]
"""The arguments of a request, as JSON; a verb raises KeyError for one that is missing."""

Verb = Callable[[Instance, Arguments], Any]
"""Carries out one request and returns JSON. Raises SftpdError."""


def as_text(path: bytes) -> str:
    """A path as JSON can hold it."""
    return path.decode("utf-8", "backslashreplace")


def instant(text: str) -> datetime:
    """The instant that an argument names.

    Raises UsageError.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time", expected="ISO 8601, such as 2027-01-31T00:00:00+01:00"
        ) from None
    if moment.tzinfo is None:
        raise UsageError(f"{text!r} has no time zone", expected="an offset, such as +01:00")
    return moment
