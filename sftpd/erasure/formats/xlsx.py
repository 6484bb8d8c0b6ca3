"""XLSX: the cells of a row that carries the identifier are emptied; the row stays, so that references hold.

Formulas in such a row stay without their results. Shared strings that nothing else uses, comments, links,
document properties and what is cached of the strings elsewhere are emptied in their own parts; all other
parts are copied byte for byte.
"""

import posixpath
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice

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
from sftpd.erasure.formats.xlsx_glance import say_nothing
from sftpd.erasure.formats.xlsx_sheet import (
    Cell,
    Days,
    Row,
    Shared,
    Sheet,
    TakesSheets,
    days_of,
    header_text,
    shared_strings,
    usage,
)
from sftpd.erasure.formats.xml_edit import (
    BY_HAND,
    Blanker,
    Tells,
    attribute,
    local,
    require_utf8,
    with_edits,
)
from sftpd.erasure.formats.xml_events import Event, Kind, events
from sftpd.erasure.formats.xml_glance import certainly_without
from sftpd.erasure.formats.zip_archive import Archive
from sftpd.erasure.identifiers import carries, record_carries

_STRINGS = "xl/sharedStrings.xml"
_STYLES = "xl/styles.xml"
_BOOK = "xl/workbook.xml"
_SHEETS = "xl/worksheets/"
_SETTINGS = "xl/printerSettings/"
"""Parts that only say how to print."""
_CACHES = ("xl/pivotCache/", "xl/charts/", "xl/externalLinks/")
"""Parts that repeat what cells say."""
_WORD = re.compile(r"[^\W\d_].*..", re.DOTALL)
_EMPTY = b"<t/>"
_NO_LABEL = ("",)
_SIGNED = "signed workbook"
_UNUSED = "a shared string that no row uses"
_ROW = re.compile(r"\$?[A-Z]+\$?([0-9]{1,10})")


class Xlsx:
    """A workbook."""

    name = "xlsx"

    def __init__(self, taker: TakesSheets | None = None) -> None:
        """Of a workbook that is told once for all, `taker` gets the worksheets."""
        self._taker = taker

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the rows that are emptied, and the other places where the person is found."""
        book = _Workbook(Archive(data), inquiry)
        book.look(self._taker)
        changes = {number: Change(partial(_once, content)) for number, content in book.changed.items()}
        signed = any(name.startswith("_xmlsignatures/") for name in book.names)
        if (changes and signed) or _SIGNED in inquiry.places:
            return whole_file(self.name, _SIGNED)
        return Findings(
            self.name,
            book.locators,
            lambda: book.archive.rewritten(changes, book.archive.comment),
            unsearched=book.unsearched,
        )


@dataclass(slots=True)
class _Read:
    """What is known of a worksheet once its rows are read."""

    content: bytes
    edits: list[Edit] = field(default_factory=list)
    cleared: set[int] = field(default_factory=set)
    results: list[tuple[Cell, tuple[str, ...]]] = field(default_factory=list)
    """Cells of formulas that are kept, with their results, and the labels of each."""
    beside: list[Event] = field(default_factory=list)


class _Workbook:
    """The parts of a workbook: strings, sheets, then what belongs to sheets or repeats them."""

    def __init__(self, archive: Archive, inquiry: Inquiry) -> None:
        self.archive = archive
        self.names = {member.name: number for number, member in enumerate(archive.members)}
        if len(self.names) != len(archive.members):
            raise UnsearchableError("two parts of it have the same name")
        self.locators: list[str] = []
        self.unsearched: list[str] = []
        self.changed: dict[int, bytes] = {}
        self._inquiry = inquiry
        self._strings: list[Shared] = []
        self._days = Days()
        self._gone: set[str] = set()
        """Strings that stood in emptied rows and stand in no other."""
        self._kept: set[int] = set()
        """Hashes of the strings in other rows."""

    def look(self, taker: TakesSheets | None) -> None:
        """Look at every part. Raises UnsearchableError."""
        strings = self._load(_STRINGS) if _STRINGS in self.names else b""
        self._strings = shared_strings(strings) if strings else []
        self._days = self._read_days()
        sheets = {name: self._load(name) for name in self.names if _is_sheet(name)}
        comments: Mapping[str, set[int]] = {}
        if taker is not None:
            taker.take(self._strings, sheets.values(), self._days)
        elif self._inquiry.places or not say_nothing(
            strings, sheets.values(), self._days, self._inquiry.identifiers
        ):
            comments = self._look_at_sheets(strings, sheets)
        for name in self.names.keys() - sheets.keys() - {_STRINGS}:
            if self.names[name] not in self.changed and not name.startswith(_SETTINGS):
                self._look_at_other(name, comments.get(name, set()))

    def _look_at_sheets(self, strings: bytes, sheets: Mapping[str, bytes]) -> Mapping[str, set[int]]:
        """Look at the rows of all sheets; returns the parts with comments, and on which emptied rows."""
        used, dropped = usage(self._strings), usage(self._strings)
        read = {name: self._read_sheet(name, content, used, dropped) for name, content in sheets.items()}
        self._clear_strings(strings, used, dropped)
        comments: dict[str, set[int]] = {}
        for name, sheet in read.items():
            comments.update(self._relations(name, sheet))
            self._finish_sheet(name, sheet)
        return comments

    def _read_days(self) -> Days:
        """How dates are shown; where that cannot be read, what says it is listed as unsearchable itself."""
        if _STYLES not in self.names or _BOOK not in self.names:
            return Days()
        try:
            return days_of(self._load(_STYLES), self._load(_BOOK))
        except BombError:
            raise
        except UnsearchableError:
            return Days()

    def _load(self, name: str) -> bytes:
        number = self.names[name]
        content = self.archive.read(self.archive.members[number], self._inquiry.budget)
        require_utf8(content)
        self._inquiry.budget.enter()
        return content

    def _change(self, name: str, content: bytes, edits: list[Edit]) -> None:
        if edits:
            self.changed[self.names[name]] = with_edits(content, edits)

    def _carries(self, text: str, label: str = "") -> bool:
        return carries(self._inquiry.identifiers, text, label)

    def _tells_at(self, place: str, *, repeated: bool = False) -> Tells:
        """What tells of the person in a part of that place; `repeated` strings of emptied rows do too."""
        known = self._inquiry.known_at(place)
        gone = self._gone if repeated else ()

        def tells(text: str, label: str) -> bool:
            return text in gone or carries(known, header_text(text, label), label)

        return tells

    def _read_sheet(self, name: str, content: bytes, used: "array[int]", dropped: "array[int]") -> _Read:
        """Read the rows, note which shared strings they use and which of them go."""
        sheet = _Read(content)
        walk = Sheet(sheet.content, self._strings, self._days)
        rows = walk.rows()
        first = list(islice(rows, AMONG))
        labels = self._labels(name, first)
        for row in chain(first, rows):
            told = _row_place(name, row) in self._inquiry.places
            if told:
                self._inquiry.note(*(cell.texts[-1] for cell in row.cells))
            hit = (
                told
                or any(self._cell_carries(cell, labels) for cell in row.cells if cell.formula is None)
                or record_carries(
                    self._inquiry.identifiers,
                    (
                        (labels.get(cell.column, _NO_LABEL)[-1], text)
                        for cell in row.cells
                        for text in cell.texts
                    ),
                )
            )
            for cell in row.cells:
                if cell.shared is not None:
                    used[cell.shared] += 1
                    dropped[cell.shared] += hit
                if cell.is_string and cell.formula is None:
                    if hit:
                        self._gone.add(cell.text)
                    else:
                        self._kept.add(hash(cell.text))
            if hit:
                self._clear_row(name, sheet, row)
            else:
                sheet.results += (
                    (cell, labels.get(cell.column, _NO_LABEL))
                    for cell in row.cells
                    if cell.formula is not None
                )
        sheet.beside = walk.beside
        return sheet

    def _labels(self, name: str, rows: Sequence[Row]) -> Mapping[str, tuple[str, ...]]:
        """What the columns are called, by the heads among these rows that do not go themselves."""
        labels: dict[str, tuple[str, ...]] = {}
        texts = [{cell.column: cell.text for cell in row.cells} for row in rows]
        places = [_row_place(name, row) for row in rows]
        for head in heads(texts):
            place = next(place for place, told in zip(places, texts, strict=True) if told is head)
            if place not in self._inquiry.places and not any(map(self._carries, head.values())):
                for column, text in head.items():
                    labels[column] = (*labels.get(column, ()), text)
        return labels

    def _cell_carries(self, cell: Cell, labels: Mapping[str, tuple[str, ...]]) -> bool:
        return any(
            self._carries(text, label) for text in cell.texts for label in labels.get(cell.column, _NO_LABEL)
        )

    def _clear_row(self, name: str, sheet: _Read, row: Row) -> None:
        formulas = [cell for cell in row.cells if cell.formula is not None]
        if any(self._carries(cell.formula or "") for cell in formulas):
            raise UnsearchableError(BY_HAND)
        kept = b"".join(cell.without_result(sheet.content) for cell in formulas)
        sheet.edits.append(Edit(row.start, row.end, kept))
        sheet.cleared.add(row.number)
        self.locators.append(_row_place(name, row))
        require_few(len(self.locators))

    def _clear_strings(self, content: bytes, used: "array[int]", dropped: "array[int]") -> None:
        edits = []
        known = self._inquiry.known_at(_UNUSED)
        for string, uses, drops in zip(self._strings, used, dropped, strict=True):
            if (drops and drops == uses) or carries(
                known if not uses else self._inquiry.identifiers, f"{string.text}\n{string.spoken}"
            ):
                edits.append(Edit(string.start, string.end, _EMPTY))
                if not drops:
                    self.locators.append(_UNUSED)
        self._change(_STRINGS, content, edits)
        self._gone = {text for text in self._gone if _WORD.search(text) and hash(text) not in self._kept}

    def _finish_sheet(self, name: str, sheet: _Read) -> None:
        """Empty the results that repeat what went, and what tells of the person beside the rows."""
        base = posixpath.basename(name)
        result, beside = f"{base}: a result", f"{base}: beside its rows"
        tells = self._tells_at(result, repeated=True)
        results = [
            cell.cached
            for cell, labels in sheet.results
            if cell.cached is not None and any(tells(cell.text, label) for label in labels)
        ]
        blanker = Blanker(sheet.content, self._tells_at(beside))
        for event in sheet.beside:
            blanker.take(event)
        sheet.edits += _links(sheet)
        self.locators += [result] * len(results)
        self.locators += [beside] * blanker.found
        self._change(name, sheet.content, [*sheet.edits, *results, *blanker.edits])
        if any(self._carries(cell.formula or "") for cell, _ in sheet.results):
            raise UnsearchableError(BY_HAND)

    def _relations(self, name: str, sheet: _Read) -> dict[str, set[int]]:
        """Empty the links of emptied rows; return the parts with comments, and on which rows those go."""
        folder, base = posixpath.split(name)
        relations = f"{folder}/_rels/{base}.rels"
        if relations not in self.names or not sheet.cleared:
            return {}
        linked = {
            value
            for event in sheet.beside
            if event.kind is Kind.START and local(event.said) == "hyperlink"
            for told in [dict(event.told)]
            if _row(told.get("ref", "")) in sheet.cleared
            for key, value in told.items()
            if local(key) == "id"
        }
        content = self._load(relations)
        edits = []
        comments = {}
        for event in events(content):
            told = dict(event.told)
            if told.get("Id") in linked or ("Target" in told and self._carries(told["Target"])):
                edits.append(attribute(content, event.start, "Target", b"about:blank"))
            elif told.get("Type", "").endswith(("/comments", "/threadedComment")):
                part = posixpath.normpath(posixpath.join("/", folder, told.get("Target", "")))
                comments[part.lstrip("/")] = sheet.cleared
        self._change(relations, content, edits)
        return comments

    def _look_at_other(self, name: str, rows: set[int]) -> None:
        """Empty what tells of the person in a part that is no sheet; comments on `rows` do."""
        try:
            if not name.endswith((".xml", ".rels", ".vml")):
                raise UnsearchableError("it is not XML")
            content, repeats = self._load(name), name.startswith(_CACHES)
            known = self._inquiry.known_at(name)
            if not (rows or (repeats and self._gone)) and certainly_without(content, known):
                return
            tells = self._tells_at(name, repeated=repeats)
            blanker = _Comments(content, tells, rows)
            for event in events(content):
                blanker.take(event)
        except BombError:
            raise
        except UnsearchableError as fault:
            if fault.what == BY_HAND:
                raise
            self.unsearched.append(f"part {self.names[name] + 1}: {fault.what}")
            return
        self.locators += [name] * blanker.found
        self._change(name, content, blanker.edits)


def _links(sheet: _Read) -> list[Edit]:
    """The edits that take the links of emptied rows out, and the list of links where none is left."""
    edits: list[Edit] = []
    kept = start = 0
    open_link = -1
    for event in sheet.beside:
        name = local(event.said) if event.kind in (Kind.START, Kind.END) else ""
        if name == "hyperlinks" and event.kind is Kind.START:
            start = event.start
        elif name == "hyperlink" and event.kind is Kind.START:
            gone = _row(dict(event.told).get("ref", "")) in sheet.cleared
            open_link = event.start if gone else -1
            kept += not gone
        elif name == "hyperlink" and open_link >= 0:
            edits.append(Edit(open_link, event.end))
        elif name == "hyperlinks" and edits and not kept:
            edits = [Edit(start, event.end)]
    return edits


class _Comments(Blanker):
    """Empties comments on some rows whatever they say; of other parts it is the same."""

    def __init__(self, data: bytes, tells: Tells, rows: set[int]) -> None:
        super().__init__(data, tells)
        self._rows = rows
        self._hers = False

    def take(self, event: Event) -> None:
        """Look at the next event."""
        if event.kind in (Kind.START, Kind.END) and local(event.said) in ("comment", "threadedComment"):
            self._hers = event.kind is Kind.START and _row(dict(event.told).get("ref", "")) in self._rows
            self.found += self._hers
        if self._hers and event.kind is Kind.TEXT:
            self.edits.append(Edit(event.start, event.end))
        else:
            super().take(event)


def _is_sheet(name: str) -> bool:
    return posixpath.dirname(name) + "/" == _SHEETS and name.endswith(".xml")


def _row_place(sheet: str, row: Row) -> str:
    return f"{posixpath.basename(sheet)}: row {row.number}"


def _row(reference: str) -> int:
    """The first row of a reference such as `B5:C6`; 0 where it has none."""
    found = _ROW.match(reference)
    return int(found[1]) if found else 0


def _once(content: bytes) -> list[bytes]:
    return [content]
