"""ODS (OpenDocument 1.3): the cells of a row that carries the identifier are emptied; the row stays in place.

One empty cell, repeated, stands for them, so that references hold. Text and attributes elsewhere that carry
the identifier are emptied in their own parts; all other parts are copied byte for byte.
"""

import re
from collections.abc import Iterator
from functools import partial

from sftpd.erasure.finder import Field
from sftpd.erasure.formats.heads import AMONG, heads
from sftpd.erasure.formats.model import (
    BombError,
    Data,
    Edit,
    Findings,
    Inquiry,
    UnsearchableError,
    require_few,
    whole_file,
)
from sftpd.erasure.formats.parts import Change
from sftpd.erasure.formats.xml_edit import (
    BY_HAND,
    Blanker,
    local,
    require_utf8,
    with_edits,
)
from sftpd.erasure.formats.xml_events import Event, Kind, events
from sftpd.erasure.formats.xml_glance import certainly_without
from sftpd.erasure.formats.zip_archive import Archive
from sftpd.erasure.identifiers import carries, record_carries

_CONTENT = "content.xml"
_SIGNATURES = "META-INF/documentsignatures.xml"
_SIGNED = "signed spreadsheet"
_CELLS = ("table-cell", "covered-table-cell")
_WITHIN = ("span", "a", "s", "tab", "line-break", "ruby", "ruby-base")
"""Elements over which the text of a paragraph goes on."""
_COLUMNS_LIMIT = 1 << 20
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
"""What the value of a date begins with, beside the text that is shown of it."""


class Ods:
    """A spreadsheet."""

    name = "ods"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the rows that are emptied, and the other places where the person is found."""
        archive = Archive(data)
        locators: list[str] = []
        unsearched: list[str] = []
        changes: dict[int, Change] = {}
        for number, member in enumerate(archive.members):
            if member.info.is_dir() or member.name == "mimetype":
                continue
            inquiry.budget.enter()
            try:
                if not member.name.endswith((".xml", ".rdf")):
                    raise UnsearchableError("it is not XML")
                content = archive.read(member, inquiry.budget)
                require_utf8(content)
                edits, places = _looked_at(member.name, content, inquiry)
            except BombError:
                raise
            except UnsearchableError as fault:
                if member.name == _CONTENT or fault.what == BY_HAND:
                    raise
                unsearched.append(f"part {number + 1}: {fault.what}")
                continue
            locators += places
            if edits:
                changes[number] = Change(partial(_edited, content, edits))
        signed = any(member.name == _SIGNATURES for member in archive.members)
        if (changes and signed) or _SIGNED in inquiry.places:
            return whole_file(self.name, _SIGNED)
        return Findings(
            self.name, locators, lambda: archive.rewritten(changes, archive.comment), unsearched=unsearched
        )


def _edited(content: bytes, edits: list[Edit]) -> list[bytes]:
    return [with_edits(content, edits)]


def _looked_at(name: str, content: bytes, inquiry: Inquiry) -> tuple[list[Edit], list[str]]:
    """The edits of one part, and where they are."""
    known = inquiry.known_at(name)
    if name != _CONTENT and certainly_without(content, known):
        return [], []

    def tells(text: str, label: str) -> bool:
        return carries(known, text, label)

    blanker = Blanker(content, tells)
    tables = _Tables(inquiry)
    for event in events(content):
        if name != _CONTENT or not tables.take(event):
            blanker.take(event)
    tables.settle()
    return [*tables.edits, *blanker.edits], [*tables.locators, *[name] * blanker.found]


class _Tables:
    """The rows of all tables, and what is emptied of them."""

    def __init__(self, inquiry: Inquiry) -> None:
        self.edits: list[Edit] = []
        self.locators: list[str] = []
        self._identifiers = inquiry.identifiers
        self._inquiry = inquiry
        self._count = 0
        self._labels: dict[int, tuple[str, ...]] = {}
        self._beginning: list[_Row] | None = []
        """The first rows of a table until it is known what the columns are."""
        self._row: _Row | None = None
        self._number = 0

    def take(self, event: Event) -> bool:
        """Take an event in a row; False where it is in none."""
        name = local(event.said) if event.kind in (Kind.START, Kind.END) else ""
        if self._row is not None:
            self._row.take(event, name)
            if not self._row.depth:
                self._take_row(self._row)
                self._row = None
            return True
        if event.kind is Kind.START and name == "table":
            self.settle()
            self._count, self._number, self._labels, self._beginning = self._count + 1, 0, {}, []
        if event.kind is Kind.START and name == "table-row":
            self._row = _Row(event)
            return True
        return False

    def _take_row(self, row: "_Row") -> None:
        if self._beginning is None:
            self._close(row)
            return
        self._beginning.append(row)
        if len(self._beginning) == AMONG:
            self.settle()

    def settle(self) -> None:
        """Look at the rows that waited for the head of their table."""
        rows, self._beginning = self._beginning or [], None
        texts = [{column: each[-1] for column, each in row.cells.items() if each} for row in rows]
        number = 0
        places = {}
        for row, told in zip(rows, texts, strict=True):
            places[id(told)] = self._place(number + 1)
            number += row.repeated
        for head in heads(texts):
            gone = places[id(head)] in self._inquiry.places
            if not gone and not any(carries(self._identifiers, text) for text in head.values()):
                for column, text in head.items():
                    self._labels[column] = (*self._labels.get(column, ()), text)
        for row in rows:
            self._close(row)

    def _place(self, number: int) -> str:
        return f"row {number}" if self._count < 2 else f"table {self._count}, row {number}"

    def _close(self, row: "_Row") -> None:
        self._number += 1
        place = self._place(self._number)
        told = place in self._inquiry.places
        if told:
            self._inquiry.note(*row.remarks, *(text for texts in row.cells.values() for text in texts))
        hit = (
            told
            or any(carries(self._identifiers, text) for text in row.remarks)
            or any(
                carries(self._identifiers, text, label)
                for column, texts in row.cells.items()
                for text in texts
                for label in self._labels.get(column, ("",))
            )
            or record_carries(self._identifiers, self._fields(row))
        )
        if hit and row.columns:
            cell = f'<{row.cell_name} {row.prefix}number-columns-repeated="{row.columns}"/>'
            self.edits.append(Edit(row.start, row.end, cell.encode()))
            self.locators.append(place)
            require_few(len(self.locators))
        self._number += row.repeated - 1

    def _fields(self, row: "_Row") -> Iterator[Field]:
        """What each cell shows, and the date that it is."""
        for column, texts in row.cells.items():
            label = self._labels.get(column, ("",))[-1]
            yield from ((label, text) for text in texts[:-1] if _DATE.match(text))
            yield from ((label, text) for text in texts[-1:])


class _Row:
    """A row that is being read: its texts by column, and what else it says."""

    def __init__(self, event: Event) -> None:
        self.start = self.end = event.end
        self.depth = 1
        self.prefix = event.said[: -len("table-row")]
        self.cell_name = f"{self.prefix}table-cell"
        self.repeated = _count(event, "number-rows-repeated")
        self.columns = 0
        self.cells: dict[int, list[str]] = {}
        self.remarks: list[str] = []
        self._column = 0
        self._text: list[str] = []

    def take(self, event: Event, name: str) -> None:
        if event.kind is Kind.START:
            self.depth += 1
            if name in _CELLS and self.depth == 2:
                self._column = self.columns
                self.columns += _count(event, "number-columns-repeated")
                self._text = []
                if self.columns > _COLUMNS_LIMIT:
                    raise UnsearchableError(f"it has more than {_COLUMNS_LIMIT} columns")
            said = event.attributes[1::2]
            (self.cells.setdefault(self._column, []) if self.depth == 2 else self.remarks).extend(said)
            if name not in _WITHIN:
                self._part()
            elif name in ("s", "tab", "line-break"):
                self._text.append(" ")
        elif event.kind is Kind.END:
            self.depth -= 1
            if name not in _WITHIN:
                self._part()
            if self.depth == 1:
                self.cells.setdefault(self._column, []).append("".join(self._text).strip())
            self.end = max(self.start, event.start)
        elif event.kind is Kind.TEXT:
            self._text.append(event.said)
        elif event.kind is Kind.REMARK:
            self.remarks.append(event.said)

    def _part(self) -> None:
        if self._text and self._text[-1] != "\n":
            self._text.append("\n")


def _count(event: Event, name: str) -> int:
    told = next((value for key, value in event.told if local(key) == name), "") or "1"
    if not (told.isascii() and told.isdecimal() and len(told) < 10):
        raise UnsearchableError("a repetition in it is no number")
    return int(told)
