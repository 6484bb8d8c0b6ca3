"""What values in JSON are called where that stands apart from them.

In a row of heads (`[["klantnummer"], [1234]]`), or in a list of columns beside the rows
(`{"columns": ["klantnummer"], "data": [[1234]]}`); for what is called so by a member beside it see `beside`.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

from sftpd.erasure.formats.beside import NAMING
from sftpd.erasure.formats.heads import AMONG, heads
from sftpd.erasure.formats.model import Data

_LIST_KEYS = (
    "columns?|cols|column_?names|kolommen|kolomnamen|fields?|field_?names|velden|headers?|heads?|names"
)
_LIST = re.compile(rf'"(?:{_LIST_KEYS})"[ \t\r\n]*+:[ \t\r\n]*+(?=\[)'.encode(), re.IGNORECASE)
_LISTING = re.compile(_LIST_KEYS, re.IGNORECASE)
_NUMBERING = {"index", "ids", "row_ids", "rownames"}
"""Lists beside rows that have an element for each."""
_AROUND = 64 << 10
"""Bytes in which heads are looked for: behind where rows or an object begin, and at the end of a document."""
_LONGEST_KEY = 1 << 10
"""Bytes of a key of a list, and of the space behind it."""
_LONGEST = 60
"""Characters of a head."""
ROWS = re.compile(rb"\[[ \t\r\n]*+\[")
_SPACE = re.compile(r"[ \t\r\n]*+")
_decode = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode


def rows_heads(data: Data, start: int, encoding: str) -> list[list[str]]:
    """Those that say what columns are, of rows that are arrays from `start` on, commas or lines between."""
    text = _text(data, start, start + _AROUND, encoding)
    rows: list[list[str]] = []
    position = _after_space(text, 0)
    try:
        while len(rows) < AMONG and text.startswith("[", position):
            row, position = _decode(text, position)
            rows.append(row)
            position = _after_space(text, position)
            position = _after_space(text, position + text.startswith(",", position))
    except (ValueError, RecursionError):
        pass
    told = heads([{at: each for at, each in enumerate(row) if isinstance(each, str)} for row in rows])
    return [head for each in told if (head := list(each.values())) in rows and _names(head)]


class Lists:
    """The lists of what columns are called in a document; what was looked at last is remembered."""

    def __init__(self, data: Data, encoding: str) -> None:
        self._data = data
        self._encoding = encoding
        self._start = self._end = 0
        self._found: list[tuple[int, list[str]]] = []
        """Those in what was looked at, and where the key of each begins."""

    def around(self, start: int, end: int) -> list[list[str]]:
        """Those from `start` to `end`, and a little further on."""
        end = min(len(self._data), end + _AROUND)
        if not self._start <= start <= self._end:
            self._start = self._end = start
            self._found.clear()
        if self._end < end:
            begun = max(self._start, self._end - _LONGEST_KEY)
            known = self._found[-1][0] if self._found else -1
            self._found += (each for each in self._lists(begun, end) if each[0] > known)
            self._end = end
        first, last = (bisect_left(self._found, at, key=itemgetter(0)) for at in (start, end))
        return [names for _, names in self._found[first:last]]

    def at_the_end(self) -> list[list[str]]:
        """Those at the end of the document."""
        return [names for _, names in self._lists(max(0, len(self._data) - _AROUND), len(self._data))]

    def _lists(self, start: int, end: int) -> Iterator[tuple[int, list[str]]]:
        for key in _LIST.finditer(self._data, start, end):
            try:
                listed, _ = _decode(_text(self._data, key.end(), key.end() + _AROUND, self._encoding))
            except (ValueError, RecursionError):
                continue
            names = [_name(each) for each in listed]
            if names and _names(names):
                yield key.start(), names


def go_together(key: str, lengths: Mapping[str, int | None]) -> list[str]:
    """The members of an object that have an element for each of the array at `key`.

    `lengths`: of each member that is an array; None for another. These are all, where all are arrays of one
    length, as a table by columns has; or what numbers rows.
    """
    alike = [other for other, length in lengths.items() if other != key and length == lengths[key]]
    if len(alike) == len(lengths) - 1 and not any(map(_LISTING.fullmatch, lengths)):
        return alike
    return [other for other in alike if other.lower() in _NUMBERING]


def _name(listed: object) -> str:
    if isinstance(listed, dict):
        listed = next((listed[key] for key in listed if str(key).lower() in NAMING), None)
    return listed if isinstance(listed, str) else ""


def _names(head: Sequence[str]) -> bool:
    """Whether these are names of columns."""
    words = all(any(map(str.isalpha, each)) and len(each) <= _LONGEST and "@" not in each for each in head)
    return words and len(set(head)) == len(head) and not all(any(map(str.isdigit, each)) for each in head)


def _text(data: Data, start: int, end: int, encoding: str) -> str:
    return data[start:end].decode(encoding, "ignore")


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
