"""The rows of a worksheet (ECMA-376, part 1, 18.3) and the strings that sheets share (18.4)."""

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple, Protocol

from sftpd.erasure.formats.model import Edit, UnsearchableError
from sftpd.erasure.formats.xml_edit import local, with_edits
from sftpd.erasure.formats.xml_events import Event, Kind, events

_STRINGS = {"s", "inlineStr", "str"}
_LETTERS = re.compile(r"[A-Z]*")
_DATE_FORMATS = frozenset((*range(14, 18), 22, *range(27, 37), *range(50, 59)))
"""Formats of numbers that show dates (ECMA-376, part 1, 18.8.30)."""
_NO_DATE = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')
"""What says nothing of the value in the code of a format: text and colours."""
_SERIAL = re.compile(r"([0-9]{1,7})(?:\.[0-9]+)?")
_LAST_DAY = 2_958_465
"""The serial of 31 December 9999."""


_HEADERS = {f"{pages}{place}" for pages in ("odd", "even", "first") for place in ("Header", "Footer")}
_HEADER_CODE = re.compile(
    r'&(?:"[^"]*"|K[0-9A-F]{6}|K[0-9]{2}[+-][0-9]{3}|[0-9]{1,3}|.)', re.IGNORECASE | re.DOTALL
)
"""How what follows looks, or where it is, in the header of a page (ECMA-376, part 1, 18.3.1.46)."""


class Shared(NamedTuple):
    """A shared string, and the span of what is in its element."""

    text: str
    start: int
    end: int
    spoken: str = ""
    """How it is pronounced, where it says so (phonetic runs)."""


class Cell(NamedTuple):
    """A cell: its column, what it says, whether in a string, the index of that if it is shared, and its span.

    Of a formula's cell `formula` is the formula, and `cached` the span of the result that is kept with it.
    """

    column: str
    text: str
    is_string: bool
    shared: int | None
    start: int
    end: int
    formula: str | None
    cached: Edit | None
    day: str | None = None
    """The date that a number is shown as."""
    spoken: str = ""
    """How it is pronounced."""

    @property
    def texts(self) -> Sequence[str]:
        """How it is pronounced, what it says, and the date that it shows."""
        return (*([self.spoken] if self.spoken else []), self.text, *([self.day] if self.day else []))

    def without_result(self, data: bytes) -> bytes:
        """The bytes of a formula's cell, its result left out."""
        inner = data[self.start : self.end]
        cut = (
            []
            if self.cached is None
            else [Edit(self.cached.start - self.start, self.cached.end - self.start)]
        )
        return with_edits(inner, cut)


class Row(NamedTuple):
    """A row: its number, its cells, and the span of what is in its element."""

    number: int
    cells: list[Cell]
    start: int
    end: int


def shared_strings(data: bytes) -> list[Shared]:
    """The strings in their order. Raises UnsearchableError."""
    strings: list[Shared] = []
    text: list[str] = []
    spoken: list[str] = []
    into = text
    inside, start = "", 0
    for event in events(data):
        name = local(event.said) if event.kind in (Kind.START, Kind.END) else ""
        if event.kind is Kind.START:
            inside = name
            if name == "si":
                text, spoken, start = [], [], event.end
            if name in ("si", "rPh"):
                into = text if name == "si" else spoken
        elif event.kind is Kind.TEXT and inside == "t":
            into.append(event.said)
        elif event.kind is Kind.END:
            inside = ""
            if name == "si":
                strings.append(Shared("".join(text), start, max(start, event.start), "".join(spoken)))
            elif name == "rPh":
                into = text
    return strings


class Days(NamedTuple):
    """Which styles of cells show numbers as dates, and the day that is number 0."""

    styles: frozenset[int] = frozenset()
    first: date = date(1899, 12, 30)

    def shown(self, style: str, number: str) -> str | None:
        """The date that a number is shown as in a style; None where it is none."""
        told = _SERIAL.fullmatch(number)
        if told is None or not style.isdecimal() or int(style[:10]) not in self.styles:
            return None
        serial = int(told[1])
        # To the 1900 system that year had a 29 February.
        early = self.first.year == 1899 and serial < 60
        return str(self.first + timedelta(serial + early)) if serial <= _LAST_DAY - 1462 else None


def days_of(styles: bytes, book: bytes) -> Days:
    """How a workbook with these styles shows dates. Raises UnsearchableError."""
    formats: set[str] = {str(number) for number in _DATE_FORMATS}
    shown: list[str] = []
    inside = False
    for event in events(styles):
        name = local(event.said) if event.kind in (Kind.START, Kind.END) else ""
        told = dict(event.told) if event.kind is Kind.START else {}
        if name == "numFmt" and re.search("[yd]", _NO_DATE.sub("", told.get("formatCode", "")).lower()):
            formats.add(told.get("numFmtId", ""))
        elif name == "cellXfs":
            inside = event.kind is Kind.START
        elif name == "xf" and inside and event.kind is Kind.START:
            shown.append(told.get("numFmtId", ""))
    starts = (
        event for event in events(book) if event.kind is Kind.START and local(event.said) == "workbookPr"
    )
    is_1904 = any(dict(event.told).get("date1904") in ("1", "true") for event in starts)
    styled = frozenset(number for number, told_format in enumerate(shown) if told_format in formats)
    return Days(styled, date(1904, 1, 1) if is_1904 else date(1899, 12, 30))


class TakesSheets(Protocol):
    """Takes what worksheets say from who wants to know no more of it."""

    def take(self, strings: Sequence[Shared], sheets: Iterable[bytes], days: Days) -> None:
        """Take it, and the strings that they share. Raises UnsearchableError."""
        ...


class Sheet:
    """A walk over one worksheet; `beside` holds the events that are in no row."""

    def __init__(self, data: bytes, strings: Sequence[Shared], days: Days = Days()) -> None:  # noqa: B008
        self._days = days
        self.beside: list[Event] = []
        self._data = data
        self._strings = strings
        self._row_number = 0
        self._cells: list[Cell] = []
        self._row_start = 0
        self._in_row = False
        self._cell: _OpenCell | None = None

    def rows(self) -> Iterator[Row]:
        """Yield the rows. Raises UnsearchableError where they are not as they must be."""
        for event in events(self._data):
            name = local(event.said) if event.kind in (Kind.START, Kind.END) else ""
            if name == "row" and event.kind is Kind.START:
                self._start_row(event)
            elif name == "row":
                self._in_row = False
                yield Row(self._row_number, self._cells, self._row_start, max(self._row_start, event.start))
            elif not self._in_row:
                self.beside.append(event)
            elif name == "c":
                self._take_cell(event)
            elif self._cell is not None:
                self._cell.take(event, name)

    def _start_row(self, event: Event) -> None:
        self._row_number = row_number(dict(event.told), self._row_number)
        self._cells, self._row_start, self._in_row = [], event.end, True

    def _take_cell(self, event: Event) -> None:
        if event.kind is Kind.START:
            self._cell = _OpenCell(event, len(self._cells))
        elif self._cell is not None:
            self._cells.append(self._cell.close(event.end, self._strings, self._days))
            self._cell = None


class _OpenCell:
    """A cell that is being read."""

    def __init__(self, event: Event, position: int) -> None:
        told = dict(event.told)
        self._column = column_of(told, position)
        self._kind = told.get("t", "n")
        self._style = told.get("s", "0")
        self._start = event.start
        self._inside = ""
        self._said: dict[str, list[str]] = {"v": [], "t": [], "f": [], "rPh": []}
        self._is_spoken = False
        self._has_formula = False
        self._result: list[int] = []

    def take(self, event: Event, name: str) -> None:
        if name == "rPh":
            self._is_spoken = event.kind is Kind.START
        if event.kind is Kind.START:
            self._inside = name
            self._has_formula = self._has_formula or name == "f"
            if name in ("v", "is"):
                self._result.append(event.start)
        elif event.kind is Kind.END:
            self._inside = ""
            if name in ("v", "is"):
                self._result.append(event.end)
        elif event.kind is Kind.TEXT and self._inside in self._said:
            self._said["rPh" if self._is_spoken else self._inside].append(event.said)

    def close(self, end: int, strings: Sequence[Shared], days: Days) -> Cell:
        value = "".join(self._said["v"])
        shared, spoken = None, "".join(self._said["rPh"])
        text = value or "".join(self._said["t"])
        if self._kind == "s" and value:
            shared = shared_at(value, strings)
            text, spoken = strings[shared].text, strings[shared].spoken
        cached = Edit(min(self._result), max(self._result)) if self._has_formula and self._result else None
        formula = "".join(self._said["f"]) if self._has_formula else None
        shown = days.shown(self._style, text) if self._kind == "n" else None
        is_string = self._kind in _STRINGS
        return Cell(self._column, text, is_string, shared, self._start, end, formula, cached, shown, spoken)


def row_number(told: Mapping[str, str], before: int) -> int:
    """The number of a row by its attributes; `before` is that of the one before. Raises UnsearchableError."""
    number = told.get("r")
    if number is not None and not number.isdecimal():
        raise UnsearchableError("a row of it has no number")
    return int(number[:10]) if number else before + 1


def column_of(told: Mapping[str, str], position: int) -> str:
    """The column of a cell by its attributes; `position` is how many cells are before it."""
    letters = _LETTERS.match(told.get("r", ""))
    return letters[0] if letters and letters[0] else f"#{position}"


def shared_at(value: str, strings: Sequence[Shared]) -> int:
    """The index that a cell has of its string. Raises UnsearchableError where there is none."""
    if not value.isdecimal() or len(value) > 10 or int(value) >= len(strings):
        raise UnsearchableError("a cell of it has no such shared string")
    return int(value)


def usage(strings: Sequence[Shared]) -> "array[int]":
    """A counter for each shared string."""
    return array("L", bytes(8 * len(strings)))


def header_text(text: str, label: str) -> str:
    """What the header or footer of pages shows, which `label` tells of; any other text as it is."""
    return _HEADER_CODE.sub(_header_part, text) if label in _HEADERS else text


def _header_part(code: re.Match[str]) -> str:
    return "\n" if code[0] in ("&L", "&C", "&R") else "&" if code[0] == "&&" else ""
