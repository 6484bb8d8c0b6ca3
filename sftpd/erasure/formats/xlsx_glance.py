"""Whether the worksheets of a workbook can say anything of a person, seen at a glance."""

import re
from collections.abc import Iterable, Sequence

from sftpd.erasure.formats.decoding import may_carry
from sftpd.erasure.formats.xlsx_sheet import Days
from sftpd.erasure.formats.xml_glance import certainly_without
from sftpd.erasure.identifiers import Identifier

_VALUE = re.compile(rb"<(?:\w+:)?v(?:\s[^>]*+)?>\s*+([0-9]{1,7}(?:\.[0-9]+)?)\s*+<")
_SHARING = re.compile(rb"""\st\s*+=\s*+["']s["']""")
_SHARED = re.compile(
    rb"""<(?:\w+:)?c\s[^>]*?\st\s*+=\s*+["']s["'][^>]*+>\s*+<(?:\w+:)?v>\s*+([0-9]{1,10})\s*+</"""
)
_STRING = re.compile(rb"<(?:\w+:)?si[\s/>]")


def say_nothing(
    strings: bytes, sheets: Iterable[bytes], days: Days, identifiers: Sequence[Identifier]
) -> bool:
    """Whether worksheets, and the `strings` that they share, certainly say nothing of the person.

    False is not certain. Raises UnsearchableError for what is not well-formed.
    """
    if strings and not certainly_without(strings, identifiers):
        return False
    count = len(_STRING.findall(strings))
    return all(
        _has_strings(sheet, count)
        and not may_carry(_dates(sheet, days), identifiers)
        and certainly_without(sheet, identifiers)
        for sheet in sheets
    )


def _has_strings(sheet: bytes, count: int) -> bool:
    """Whether each cell certainly has its string among so many."""
    used = _SHARED.findall(sheet)
    return len(used) == len(_SHARING.findall(sheet)) and all(int(number) < count for number in set(used))


def _dates(sheet: bytes, days: Days) -> str:
    """Every date that a number may be shown as, a line each."""
    style = next(map(str, days.styles), "")
    numbers = set(_VALUE.findall(sheet)) if style else set()
    return "\n".join(day for number in numbers if (day := days.shown(style, number.decode())))
