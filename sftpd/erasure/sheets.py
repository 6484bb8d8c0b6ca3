"""Worksheets as they are indexed: what their cells say, under what their columns are called."""

from collections.abc import Iterable, Mapping, Sequence

from sftpd.erasure.formats.heads import AMONG, heads
from sftpd.erasure.formats.xlsx_sheet import Days, Shared, column_of, header_text, row_number, shared_at
from sftpd.erasure.formats.xml_edit import Blanker, local
from sftpd.erasure.formats.xml_events import Event, Kind, handle, paired
from sftpd.erasure.gathering import TakesTexts, Texts

_Row = dict[str, list[str]]
"""The texts of cells, by their columns."""


class Sheets:
    """Takes what worksheets say, and the strings that they share."""

    def __init__(self, taker: TakesTexts) -> None:
        self._taker = taker

    def take(self, strings: Sequence[Shared], sheets: Iterable[bytes], days: Days) -> None:
        """Take all of a workbook's. Raises UnsearchableError."""
        said = Texts(self._taker)
        for string in strings:
            said.add(string.text, "")
            said.add(string.spoken, "")
        for sheet in sheets:
            walk = _Walk(said, strings, days)
            handle(sheet, walk)
            walk.finish()
        said.flush()


class _Walk:
    """The walk through one worksheet."""

    def __init__(self, said: Texts, strings: Sequence[Shared], days: Days) -> None:
        self._said = said
        self._strings = strings
        self._days = days
        self._beside = Blanker(b"", self._tells)
        """What is in no row."""
        self._number = 0
        self._row: _Row | None = None
        self._first: list[_Row] = []
        """The rows among which the heads are; none once these are known."""
        self._labels: Mapping[str, Sequence[str]] | None = None
        self._cell: _Cell | None = None

    def start(self, name: str, attributes: list[str]) -> None:
        """Take the start of an element."""
        kind = local(name)
        if self._row is None:
            if kind == "row":
                self._number, self._row = row_number(dict(paired(attributes)), self._number), {}
            else:
                self._beside.take(Event(Kind.START, name, attributes, 0, 0))
        elif kind == "c":
            self._cell = _Cell(dict(paired(attributes)), len(self._row))
        elif self._cell is not None:
            self._cell.inside = kind
            self._cell.is_spoken = self._cell.is_spoken or kind == "rPh"

    def end(self, name: str) -> None:
        """Take its end."""
        kind = local(name)
        if self._row is None:
            self._beside.take(Event(Kind.END, name, [], 0, 0))
        elif kind == "row":
            self._take_row(self._row)
            self._row = None
        elif self._cell is not None and kind == "c":
            self._row.setdefault(self._cell.column, []).extend(self._cell.texts(self._strings, self._days))
            self._said.add("".join(self._cell.said["f"]), "")
            self._cell = None
        elif self._cell is not None:
            self._cell.inside = ""
            self._cell.is_spoken = self._cell.is_spoken and kind != "rPh"

    def text(self, said: str) -> None:
        """Take text."""
        if self._row is None:
            self._beside.take(Event(Kind.TEXT, said, [], 0, 0))
        elif self._cell is not None and self._cell.inside in self._cell.said:
            self._cell.said["rPh" if self._cell.is_spoken else self._cell.inside].append(said)

    def remark(self, said: str) -> None:
        """Take a comment or processing instruction."""
        self._said.add(said, "")

    def finish(self) -> None:
        """Take what is held back until the heads are known."""
        if self._labels is None:
            self._labels = self._read_heads()
            for row in self._first:
                self._take_row(row)

    def _take_row(self, row: _Row) -> None:
        if self._labels is None:
            self._first.append(row)
            if len(self._first) == AMONG:
                self.finish()
            return
        for column, texts in row.items():
            for label in self._labels.get(column, ("",)):
                for text in texts:
                    self._said.add(text, label)

    def _read_heads(self) -> Mapping[str, Sequence[str]]:
        labels: dict[str, tuple[str, ...]] = {}
        for head in heads([{column: texts[-1] for column, texts in row.items()} for row in self._first]):
            for column, text in head.items():
                labels[column] = (*labels.get(column, ()), text)
        return labels

    def _tells(self, text: str, label: str) -> bool:
        self._said.add(text, label)
        self._said.add(header_text(text, label), label)
        return False


class _Cell:
    """A cell that is being read."""

    __slots__ = ("_kind", "_style", "column", "inside", "is_spoken", "said")

    def __init__(self, told: Mapping[str, str], position: int) -> None:
        self.column = column_of(told, position)
        self.inside = ""
        self.is_spoken = False
        self.said: dict[str, list[str]] = {"v": [], "t": [], "f": [], "rPh": []}
        self._kind = told.get("t", "n")
        self._style = told.get("s", "0")

    def texts(self, strings: Sequence[Shared], days: Days) -> list[str]:
        """How it is pronounced, the date that it shows, and what it says. Raises UnsearchableError."""
        text = "".join(self.said["v"]) or "".join(self.said["t"])
        spoken = "".join(self.said["rPh"])
        if self._kind == "s" and text:
            string = strings[shared_at(text, strings)]
            text, spoken = string.text, string.spoken
        day = days.shown(self._style, text) if self._kind == "n" else None
        return [*([spoken] if spoken else []), *([day] if day else []), text]
