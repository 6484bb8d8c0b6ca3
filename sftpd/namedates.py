"""Dates in the names of files: a pattern of fields such as `%Y-%m-%d`, and the day that a name tells by it.

A pattern is not a regular expression. Each field has a fixed width and the rest is taken literally, so that
no name, which comes from outside, can make the search slow.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Self

from sftpd.errors import SftpdError

FIELDS: Mapping[str, str] = MappingProxyType({"%Y": "year", "%m": "month", "%d": "day"})
"""The fields of a pattern, as strftime names them."""
_WIDTHS = {"year": 4, "month": 2, "day": 2}
_FORM = '"%Y", "%m" and "%d" once each, such as "invoice-%Y-%m-%d", and "%%" for a percent sign'
_YEARS = range(1900, 3000)
_LONGEST = 100


class DatePatternError(SftpdError, ValueError):
    """A text is no pattern of a date."""

    code = "DATE_PATTERN"


@dataclass(frozen=True, slots=True)
class DatePattern:
    """A date as it stands somewhere in the names of files, not within a longer number."""

    text: str
    _search: re.Pattern[bytes] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a pattern. Raises DatePatternError."""
        parts = re.findall(r"%.?|[^%]+", text, re.DOTALL)
        fields = [FIELDS[part] for part in parts if part in FIELDS]
        unknown = [part for part in parts if part.startswith("%") and part != "%%" and part not in FIELDS]
        if unknown or sorted(fields) != sorted(FIELDS.values()) or "/" in text or len(text) > _LONGEST:
            raise DatePatternError(f"{text!r} is no pattern of a date", expected=_FORM)
        return cls(text, re.compile(_guarded(parts)))

    def find(self, name: bytes) -> date | None:
        """The first valid date in a name, from the year 1900 to 2999; None when there is none."""
        for match in self._search.finditer(name):
            year, month, day = (int(match[part]) for part in FIELDS.values())
            if year in _YEARS:
                try:
                    return date(year, month, day)
                except ValueError:
                    continue
        return None

    def __str__(self) -> str:
        return self.text


def _guarded(parts: list[str]) -> bytes:
    """The pattern as a regular expression that matches no digits out of a longer number.

    It only looks ahead: what looks like a date and is none hides no valid one that begins within it.
    """
    before = r"(?<![0-9])" if parts[0] in FIELDS else ""
    after = r"(?![0-9])" if parts[-1] in FIELDS else ""
    inner = "".join(map(_expression, parts))
    return f"(?={before}{inner}{after})".encode("utf-8", "surrogateescape")


def _expression(part: str) -> str:
    if part in FIELDS:
        name = FIELDS[part]
        return f"(?P<{name}>[0-9]{{{_WIDTHS[name]}}})"
    return re.escape("%" if part == "%%" else part)
