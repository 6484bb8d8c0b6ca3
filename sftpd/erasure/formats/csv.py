"""CSV as RFC 4180 has it, with `,`, `;`, `|` or tab: a record with the identifier goes whole.

Nothing is written anew: a record is a span of bytes, its line end included, and what stays stays as it was.
Only a trailer that counts the records, as a last line `TOTAL;12`, counts fewer.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sftpd.erasure.formats.decoding import decode, may_be_in
from sftpd.erasure.formats.model import Data, Edit, Findings, Inquiry, Match, UnsearchableError, cut
from sftpd.erasure.identifiers import carries, record_carries

_DELIMITERS = (",", ";", "\t", "|")
_TRAILER = re.compile(r"(?i)\W*(?:trailer|eof|einde|footer|totaal|total|aantal|count|records|rows|regels)\b")
_TRAILER_CODE = re.compile(r"(?i)\W*(?:trl?|z|9+|end)\b")
"""What a trailer may start with where it has another number of fields."""
_DOUBLED = re.compile(r'"()(")')
"""A quote in a quoted field."""
_COUNT = re.compile(r"(?<![\w.,-])[0-9]{1,12}(?![\w.,-])")
_FIELD = {
    delimiter: re.compile(
        rf'(?:"([^"]*+(?:""[^"]*+)*+)"|([^"{delimiter}\r\n]*+))([{delimiter}]|\r?\n|\Z)',
    )
    for delimiter in _DELIMITERS
}


class Record(NamedTuple):
    """One record: its span of characters, line end included, and its fields unquoted."""

    start: int
    end: int
    fields: list[str]


class Layout(NamedTuple):
    """How a text reads with one delimiter: its columns, and the character at which each record starts.

    A trailer, the last record, may have another number of columns.
    """

    delimiter: str
    columns: int
    starts: "array[int]"


class Csv:
    """Records separated by line ends; the first is the header unless it carries the identifier itself."""

    name = "csv"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the records that carry an identifier."""
        if not (inquiry.places or may_be_in(data, inquiry.identifiers, _DOUBLED)):
            return cut(self.name, data, [])
        decoded = decode(data)
        delimiter = layout(decoded.text).delimiter
        found = list(_matching(_records(decoded.text, delimiter), inquiry))
        trailer = _trailer(decoded.text, delimiter, found)
        *matches, last = decoded.in_bytes([*found, trailer])
        counted = Edit(last.start, last.end, trailer.locator.encode(decoded.encoding))
        return cut(self.name, data, matches, following=[counted])


def layout(text: str) -> Layout:
    """Return how `text` reads: the delimiter that gives most columns among those that read it strictly.

    Where none does, its lines are its records if that reads strictly: a quote would stand out of place.
    Raises UnsearchableError where nothing does, or where two delimiters disagree on where records start.
    """
    layouts: list[Layout] = []
    faults: list[UnsearchableError] = []
    first_line = text.partition("\n")[0]
    absent = [delimiter for delimiter in _DELIMITERS if delimiter not in text]
    present = [delimiter for delimiter in _DELIMITERS if delimiter in text]
    for delimiter in [*sorted(present, key=first_line.count, reverse=True), *absent[:1]]:
        if delimiter in absent and layouts:
            break
        try:
            layouts.append(_strict_layout(text, delimiter))
        except UnsearchableError as fault:
            faults.append(fault)
    if not layouts:
        raise faults[0]
    best = max(layouts, key=lambda reading: reading.columns)
    if any(reading.starts != best.starts for reading in layouts):
        raise UnsearchableError("its delimiter is ambiguous")
    return best


def _strict_layout(text: str, delimiter: str) -> Layout:
    columns = 0
    starts: array[int] = array("Q")
    fault: UnsearchableError | None = None
    for record in _records(text, delimiter):
        starts.append(record.start)
        if record.fields == [""]:
            continue
        if fault is not None:
            raise fault
        columns = columns or len(record.fields)
        if len(record.fields) != columns:
            fault = UnsearchableError(
                f"record {len(starts)} has {len(record.fields)} fields where the first has {columns}"
            )
            if not (_TRAILER.match(text, record.start) or _TRAILER_CODE.match(text, record.start)):
                raise fault
    return Layout(delimiter, columns, starts)


def _records(text: str, delimiter: str) -> Iterator[Record]:
    match_field = _FIELD[delimiter].match
    fields: list[str] = []
    number = 1
    start = position = 0
    while position < len(text) or fields:
        field = match_field(text, position)
        if field is None:
            raise UnsearchableError(f"record {number} has a quote or a carriage return out of place")
        quoted, bare, terminator = field.groups()
        fields.append(bare if quoted is None else quoted.replace('""', '"'))
        position = field.end()
        if terminator != delimiter:
            yield Record(start, position, fields)
            fields, start, number = [], position, number + 1


def _trailer(text: str, delimiter: str, found: Sequence[Match]) -> Match:
    """The count in a trailer and, as locator, what it is to be; an empty span where there is none.

    It counts the records without itself, with or without the header; one number alone must fit.
    """
    nothing = Match("", len(text), len(text))
    total = columns = 0
    last: Record | None = None
    for record in _records(text, delimiter) if found else ():
        if record.fields != [""]:
            total, last = total + 1, record
            columns = columns or len(record.fields)
    if last is None or last.start <= found[-1].start:
        return nothing
    coded = len(last.fields) != columns and _TRAILER_CODE.match(text, last.start)
    if not (coded or _TRAILER.match(text, last.start)):
        return nothing
    counts = [
        (start + number.start(), number[0])
        for start, field in _raw_fields(text, last, delimiter)
        for number in _COUNT.finditer(field)
        if int(number[0]) in (total - 1, total - 2)
    ]
    if len(counts) != 1:
        return nothing
    start, old = counts[0]
    left = str(int(old) - len(found))
    return Match(left.zfill(len(old)) if old.startswith("0") else left, start, start + len(old))


def _raw_fields(text: str, record: Record, delimiter: str) -> Iterator[tuple[int, str]]:
    """Where each field of a record starts and what it is, as it is written."""
    for field in _FIELD[delimiter].finditer(text, record.start, record.end):
        yield field.start(), field[0].removesuffix(delimiter)


def _matching(records: Iterator[Record], inquiry: Inquiry) -> Iterator[Match]:
    labels: list[str] = []
    for number, record in enumerate(records, 1):
        columns = labels if len(labels) == len(record.fields) else [""] * len(record.fields)
        place = f"record {number}"
        if (
            place in inquiry.places
            or any(carries(inquiry.identifiers, *field) for field in zip(record.fields, columns, strict=True))
            or record_carries(inquiry.identifiers, record.fields)
        ):
            if place in inquiry.places:
                inquiry.note(
                    *(": ".join(filter(None, pair)) for pair in zip(columns, record.fields, strict=True))
                )
            yield Match(place, record.start, record.end)
        elif number == 1:
            labels = record.fields
