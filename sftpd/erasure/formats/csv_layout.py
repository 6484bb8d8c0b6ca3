"""How a table reads: which delimiter parts its fields, strictly, told from a text of any length.

Whole records are not taken apart field by field: their shape tells how many fields each has.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from typing import NamedTuple

from sftpd.erasure.formats.csv_shape import DELIMITERS, NO_DELIMITER, Shape
from sftpd.erasure.formats.decoding import Decoded, Traces, width
from sftpd.erasure.formats.heads import AMONG, heads
from sftpd.erasure.formats.lines import lines, placed, records
from sftpd.erasure.formats.model import Data, UnsearchableError
from sftpd.erasure.formats.odd_delimiters import odd_delimiters, parted

_TELLING = 3
"""Columns of which it is told that a text is a table; two will do where no comma parts them."""
TRAILER = re.compile(r"(?i)\W*(?:trailer|eof|einde|footer|totaal|total|aantal|count|records|rows|regels)\b")
TRAILER_CODE = re.compile(r"(?i)\W*(?:trl?|z|9+|end)\b")
"""What a trailer may start with where it has another number of fields."""

_FIELD = {
    delimiter: re.compile(
        rf'(?:"([^"]*+(?:""[^"]*+)*+)"|([^"{delimiter}\r\n]*+))([{delimiter}]|\r?\n|\Z)',
    )
    for delimiter in (*DELIMITERS, NO_DELIMITER)
}


class Record(NamedTuple):
    """One record: its span of characters, line end included, and its fields unquoted."""

    start: int
    end: int
    fields: list[str]


class Layout(NamedTuple):
    """How a table reads: with which delimiter, and how many columns it has."""

    delimiter: str
    columns: int


class Loose(NamedTuple):
    """A delimiter with which some lines have fields, and those that say what the columns are."""

    delimiter: str
    heads: Sequence[Sequence[str]]

    def parts(self, line: str) -> list[str]:
        """The fields of a line."""
        return line.split(self.delimiter) if self.delimiter in DELIMITERS else parted(line, self.delimiter)


class Block(NamedTuple):
    """Whole records: where they begin and end, in bytes, and the number of the first."""

    start: int
    end: int
    first: int


class Table(NamedTuple):
    """What must be known of a whole table to take records from it."""

    layout: Layout
    touched: Sequence[Block]
    """What may hold the person."""
    heads: Sequence[Sequence[str]]
    """The fields of the records that say what the columns are."""
    loose: Sequence["Loose"]
    """How lines read that are records as a whole, since with no delimiter all of them are strict."""
    total: int
    """How many records are not blank."""
    tail: Decoded | None
    """From the start of the last record that is not blank."""


class Reading:
    """How a table reads with one delimiter, block after block."""

    def __init__(self, delimiter: str) -> None:
        self.delimiter = delimiter
        self.columns = 0
        self.fault: UnsearchableError | None = None
        """Why it does not read so."""
        self._odd: UnsearchableError | None = None
        """What is wrong with the last record, which may be a trailer as long as none follows."""

    def read(self, shape: Shape) -> None:
        """Go on with the next block."""
        if self._odd is None and shape.repeats(self.delimiter, self.columns):
            return
        try:
            if shape.is_strict(self.delimiter):
                self._count(shape)
            else:
                # It is known that there is a fault, and only here which is the first.
                for index, record in enumerate(fields(shape.text, self.delimiter, shape.first)):
                    if not shape.is_blank(index):
                        self._take(len(record.fields), shape, index, record.start)
        except UnsearchableError as fault:
            self.fault = fault

    def _count(self, shape: Shape) -> None:
        if self.columns == 1 and self.delimiter not in shape.skeleton and self._odd is None:
            return
        numbers = set(map(str.count, shape.lines, repeat(self.delimiter)))
        if numbers == {self.columns - 1} and self._odd is None:
            return
        for index, line in enumerate(shape.lines):
            number = line.count(self.delimiter) + 1
            if (self._odd or number != self.columns) and not shape.is_blank(index):
                self._take(number, shape, index, None)

    def _take(self, number: int, shape: Shape, index: int, start: int | None) -> None:
        """Take on a record that is not blank, of a number of fields."""
        if self._odd is not None:
            raise self._odd
        self.columns = self.columns or number
        if number == self.columns:
            return
        self._odd = UnsearchableError(
            f"record {shape.first + index} has {number} fields where the first has {self.columns}"
        )
        place = shape.start(index) if start is None else start
        if not (TRAILER.match(shape.text, place) or TRAILER_CODE.match(shape.text, place)):
            raise self._odd


class Survey:
    """What is learnt of a table by reading it once: with which delimiters it is strict."""

    def __init__(self) -> None:
        self.number = 1
        """Of the next record."""
        self.total = 0
        """Records that are not blank."""
        self.beginning: list[str] = []
        """The first records that are not blank, as they are written."""
        self._last: tuple[Shape, Decoded] | None = None
        self._readings = {delimiter: Reading(delimiter) for delimiter in (*DELIMITERS, NO_DELIMITER)}
        self._present: set[str] = set()
        self._first_line: str | None = None

    @property
    def readings(self) -> list[Reading]:
        """Those that have been strict so far."""
        return [reading for reading in self._readings.values() if reading.fault is None]

    def read(self, part: Decoded) -> None:
        """Go on with the next whole records."""
        if self._first_line is None:
            self._first_line = part.text.partition("\n")[0]
        self._present.update(delimiter for delimiter in DELIMITERS if delimiter in part.text)
        if not self.readings:
            return
        shape = Shape(part.text, self.number)
        for reading in self.readings:
            reading.read(shape)
        if not self.readings:
            return
        if len(self.beginning) < AMONG:
            told = (index for index in range(len(shape.lines)) if not shape.is_blank(index))
            self.beginning += map(shape.record, islice(told, AMONG - len(self.beginning)))
        if filled := shape.records - shape.blanks:
            self.total += filled
            self._last = shape, part
        self.number += shape.records

    @property
    def tail(self) -> Decoded | None:
        """The text from the start of the last record that is not blank; None where all are."""
        if self._last is None:
            return None
        shape, part = self._last
        index = next(index for index in reversed(range(len(shape.lines))) if not shape.is_blank(index))
        start = shape.start(index)
        return Decoded(part.text[start:], part.encoding, part.start + width(part.text[:start], part.encoding))

    def layout(self) -> Layout:
        """How the table reads: with the delimiter that gives most columns among those that are strict.

        Where none is, its lines are its records if that is strict: a quote would stand out of place. Two that
        are strict agree on where records start, for then every quoted field is a record by itself. Raises
        UnsearchableError where nothing is strict.
        """
        present = [self._readings[delimiter] for delimiter in DELIMITERS if delimiter in self._present]
        first_line = self._first_line or ""
        present.sort(key=lambda reading: first_line.count(reading.delimiter), reverse=True)
        lines_alone = [self._readings[NO_DELIMITER]] if len(present) < len(DELIMITERS) else []
        strict = [reading for reading in present if reading.fault is None] or [
            reading for reading in lines_alone if reading.fault is None
        ]
        if not strict:
            faults = (reading.fault for reading in (*present, *lines_alone) if reading.fault is not None)
            raise next(faults)
        best = max(strict, key=lambda reading: reading.columns)
        return Layout(best.delimiter, best.columns)

    def heads(self, delimiter: str) -> list[list[str]]:
        """The fields of the records that say what the columns are, read with a delimiter."""
        rows = [next(fields(record, delimiter)).fields for record in self.beginning]
        return _heads(rows)

    def loose(self, layout: Layout) -> list[Loose]:
        """How else lines read that are records as a whole, and all with an odd delimiter that says more."""
        lines = [record.rstrip("\r\n") for record in self.beginning]
        usual = [
            Loose(other, _heads(rows))
            for other in (DELIMITERS if layout.delimiter == NO_DELIMITER else ())
            if (rows := [line.split(other) for line in lines if other in line])
        ]
        return usual + [
            Loose(sign, named)
            for sign, named in odd_delimiters(lines)
            if layout.delimiter in (*sign, NO_DELIMITER)
            or ('"' not in "".join(lines) and max(map(len, named)) > 2 * layout.columns)
        ]

    def is_odd(self) -> bool:
        """Whether an odd delimiter parts the first records into as many columns each, enough to tell."""
        lines = [record.rstrip("\r\n") for record in self.beginning]
        return any(
            {len(parted(line, sign)) for line in lines} == {len(named[0])} and len(named[0]) >= _TELLING
            for sign, named in odd_delimiters(lines)
        )


def _heads(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [list(head.values()) for head in heads([dict(enumerate(row)) for row in rows])]


def survey(data: Data, traces: Traces) -> Table:
    """Read a table once, in little memory. Raises UnsearchableError where it is not strict."""
    table = Survey()
    touched: list[Block] = []
    for part, end in placed(records(lines(data, traces)), len(data)):
        if traces.touch(part.start, end):
            touched.append(Block(part.start, end, table.number))
        table.read(part)
    layout = table.layout()
    heads, loose = table.heads(layout.delimiter), table.loose(layout)
    return Table(layout, touched, heads, loose, table.total, table.tail)


def is_table(data: Data, traces: Traces) -> bool:
    """Whether text of no telling name is a table: three columns or more in two records or more."""
    table = Survey()
    try:
        for part in records(lines(data, traces)):
            table.read(part)
            if table.total and not any(map(_tells, table.readings)) and not table.is_odd():
                return False
        return (_tells(table.layout()) or table.is_odd()) and table.number > 2
    except UnsearchableError:
        return False


def _tells(table: "Reading | Layout") -> bool:
    return table.columns >= _TELLING or (table.columns > 1 and table.delimiter != ",")


def fields(text: str, delimiter: str, number: int = 1) -> Iterator[Record]:
    """The records of a text with their fields; `number` is that of the first.

    Raises UnsearchableError where a quote or carriage return is out of place.
    """
    match_field = _FIELD[delimiter].match
    values: list[str] = []
    start = position = 0
    while position < len(text) or values:
        field = match_field(text, position)
        if field is None:
            raise UnsearchableError(f"record {number} has a quote or a carriage return out of place")
        quoted, bare, terminator = field.groups()
        values.append(bare if quoted is None else quoted.replace('""', '"'))
        position = field.end()
        if terminator != delimiter:
            yield Record(start, position, values)
            values, start, number = [], position, number + 1


def raw_fields(text: str, record: Record, delimiter: str) -> Iterator[tuple[int, str]]:
    """Where each field of a record starts and what it is, as it is written."""
    for field in _FIELD[delimiter].finditer(text, record.start, record.end):
        yield field.start(), field[0].removesuffix(delimiter)
