"""CSV as it is indexed: by its fields, of which only those of customer and employee numbers have labels."""

import re
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import replace
from typing import Protocol

from sftpd.erasure.formats import csv_layout
from sftpd.erasure.formats.csv_layout import Loose, Survey
from sftpd.erasure.formats.csv_shape import Shape
from sftpd.erasure.formats.decoding import Traces, folded_at_once, traces
from sftpd.erasure.formats.lines import lines, records
from sftpd.erasure.formats.model import Data, Findings, Inquiry, UnsearchableError, cut
from sftpd.erasure.formats.odd_delimiters import IN_ADDRESSES
from sftpd.erasure.identifiers import fold

_AT_ONCE = 1 << 16
"""Characters that are taken apart together: what a processor keeps at hand."""
_LIMIT = 50
"""Columns of numbers of people."""
_QUOTED = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"')


Column = tuple[str, re.Pattern[str]]
"""The label of a column, and what finds its fields."""


class Takes(Protocol):
    """Takes what identifies somebody."""

    def take_fields(self, fields: Set[str]) -> None:
        """Take folded fields, as they stand and as they are seen, whatever they stand under."""
        ...

    def take_numbers(self, texts: Collection[str], label: str) -> None:
        """Take texts under a folded label that tells of numbers."""
        ...

    def labels_of(self, label: str) -> Sequence[str]:
        """The folded labels that tell of numbers for which a folded label stands."""
        ...


class Columns:
    """CSV of which only the columns are taken apart that are of customer or employee numbers."""

    def __init__(self, taker: Takes) -> None:
        self._taker = taker

    def find(self, data: Data, _inquiry: Inquiry) -> Findings:
        """Find nobody, and have the tokens taken. Raises UnsearchableError for what is not strictly CSV."""
        where = traces(data, ())
        if not self._take_regular(data, where):
            table = csv_layout.survey(data, where)
            self._require_strict(table.loose)
            columns = list(self._columns(table.heads, table.layout.delimiter))
            for part in records(lines(data, where)):
                self._take(part.text, table.layout.delimiter, columns)
        return cut("csv", data, [], where.unsearched)

    def _take_regular(self, data: Data, where: Traces) -> bool:
        """Take what is so regular that its beginning says how it reads. Returns whether all is."""
        delimiter, count, columns = "", 0, list[tuple[int, str]]()
        for part in lines(data, where):
            if not delimiter:
                table = Survey()
                table.read(replace(part, text=next(_pieces(part.text))))
                if not table.readings:
                    return False
                delimiter, count = layout = table.layout()
                self._require_strict(table.loose(layout))
                columns = self._numbered(table.heads(delimiter))
            if not _is_regular(part.text, delimiter, count):
                return False
            self._take_alike(part.text, delimiter, count, columns)
        return True

    def _take_alike(self, text: str, delimiter: str, count: int, columns: Sequence[tuple[int, str]]) -> None:
        """Take lines of `count` fields; `columns` are those of numbers, with their labels."""
        numbers: dict[tuple[int, str], set[str]] = {column: set() for column in columns}
        for piece in _pieces(text):
            fields = _fields(piece, delimiter)
            self._taker.take_fields(set(fields))
            for column, found in numbers.items():
                found.update(fields[column[0] :: count])
        for (_, label), found in numbers.items():
            self._taker.take_numbers(found, label)

    def _take(self, text: str, delimiter: str, columns: Sequence[Column]) -> None:
        """Take whole records."""
        for piece in _pieces(text):
            self._taker.take_fields(set(_fields(piece, delimiter)))
        for label, column in columns:
            found = column.finditer("\n" + text)
            self._taker.take_numbers({match[1] or match[2] or "" for match in found}, label)

    def _numbered(self, heads: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
        """The columns of numbers, and the label of each."""
        labelled = (
            (number, self._taker.labels_of(fold(label)))
            for head in heads
            for number, label in enumerate(head)
        )
        numbered = [(number, label) for number, labels in labelled for label in labels]
        if len(numbered) > _LIMIT:
            raise UnsearchableError(f"more than {_LIMIT} columns of it are numbers of people")
        return numbered

    def _require_strict(self, readings: Sequence[Loose]) -> None:
        """Raise UnsearchableError for lines whose columns may have numbers of people, or addresses."""
        if any(
            self._numbered(loose.heads) or any(sign in loose.delimiter for sign in IN_ADDRESSES)
            for loose in readings
        ):
            raise UnsearchableError("its columns are not strictly those of CSV")

    def _columns(self, heads: Sequence[Sequence[str]], delimiter: str) -> Iterator[Column]:
        """The labels of columns of numbers, and what finds the fields under each.

        It looks behind line ends. A record begins there, but not every line begins a record: of one that does
        not, whatever stands in that place is found too.
        """
        content = rf'"([^"]*+(?:""[^"]*+)*+)"|([^"{delimiter}\r\n]*+)'
        skipped = rf'(?:(?:"[^"]*+(?:""[^"]*+)*+"|[^"{delimiter}\r\n]*+)[{delimiter}])'
        for number, label in self._numbered(heads):
            yield label, re.compile(rf"\n(?={skipped}{{{number}}}(?:{content})(?:[{delimiter}]|\r?\n|\Z))")


def _is_regular(text: str, delimiter: str, columns: int) -> bool:
    """Whether a text is lines of so many fields, none of them quoted."""
    if '"' in text:
        return False
    if Shape(text, 1).repeats(delimiter, columns):
        return True
    field = rf"[^{delimiter}\r\n]*+"
    line = rf"{field}(?:[{delimiter}]{field}){{{columns - 1}}}(?:\r?\n|\Z)"
    return re.fullmatch(rf"(?:{line})*+", text) is not None


def _pieces(text: str) -> Iterator[str]:
    """Whole records, some at a time."""
    start = position = 0
    is_open = False
    while start < len(text):
        end = text.find("\n", position + _AT_ONCE if position == start else position) + 1 or len(text)
        is_open ^= text.count('"', position, end) % 2 == 1
        position = end
        if end == len(text) or not is_open:
            yield text[start:end]
            start = end


def _fields(piece: str, delimiter: str) -> list[str]:
    """The fields of whole records, folded, the quoted ones last; behind the last line end is another."""
    folded = folded_at_once(piece)
    text = piece if folded is None else folded
    quoted: list[str] = []
    if '"' in text:
        quoted = [field.replace('""', '"') for field in _QUOTED.findall(text)]
        text = _QUOTED.sub("", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    fields = [*text.replace("\n", delimiter).split(delimiter), *quoted]
    return fields if folded is not None else list(map(fold, fields))
