"""CSV, NDJSON and text read as a whole, field by field: read piece by piece they must come to the same.

Slow, and in as much memory as the text takes several times; nothing here looks at hints, pieces or blocks.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from unittest.mock import patch

from sftpd.erasure.formats import lines, model
from sftpd.erasure.formats.csv import _carries_loosely
from sftpd.erasure.formats.csv_layout import Loose
from sftpd.erasure.formats.decoding import decode
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.heads import AMONG, heads
from sftpd.erasure.formats.json import document_carries
from sftpd.erasure.formats.model import Format, Inquiry, UnsearchableError
from sftpd.erasure.formats.text import text_carries
from sftpd.erasure.identifiers import Identifier, carries

_DELIMITERS = (",", ";", "\t", "|")
_TRAILER = re.compile(r"(?i)\W*(?:trailer|eof|einde|footer|totaal|total|aantal|count|records|rows|regels)\b")
_TRAILER_CODE = re.compile(r"(?i)\W*(?:trl?|z|9+|end)\b")
_COUNT = re.compile(r"(?<![\w.,-])[0-9]{1,12}(?![\w.,-])")
_FIELD = {
    delimiter: re.compile(
        rf'(?:"([^"]*+(?:""[^"]*+)*+)"|([^"{delimiter}\r\n]*+))([{delimiter}]|\r?\n|\Z)',
    )
    for delimiter in (*_DELIMITERS, "\0")
}


class Result(NamedTuple):
    """What is found in a file and what is left of it; `whole` where it goes as a whole."""

    locators: list[str]
    rest: bytes
    whole: bool = False


class _Record(NamedTuple):
    number: int
    start: int
    end: int
    fields: list[str]


class _Layout(NamedTuple):
    delimiter: str
    columns: int
    starts: list[int]


def compare(form: Format, data: bytes, identifiers: Sequence[Identifier], piece: int) -> None:
    """Read by a format, `piece` bytes at a time, it comes to the same.

    But for this: what certainly does not hold the person is not read any further, well-formed or not; and of
    two signs that it is no text at all, the first is told.
    """
    found = piecewise(form, data, identifiers, piece)
    try:
        wanted: Result | str = _WHOLE[form.name](data, identifiers)
    except UnsearchableError as fault:
        wanted = fault.what
    if found == Result([], data):
        assert isinstance(wanted, str) or wanted == found
    else:
        assert found == wanted or (_is_no_text(found) and _is_no_text(wanted))


def _is_no_text(result: Result | str) -> bool:
    return isinstance(result, str) and result.startswith(("it is not text in", "it holds control characters"))


def piecewise(form: Format, data: bytes, identifiers: Sequence[Identifier], piece: int) -> Result | str:
    """What a format makes of it, or why it does not."""
    few = patch.multiple(lines, _STRETCH=max(1, piece // 2), _BATCH=2)
    with patch.object(model, "_PIECE", piece), few:
        try:
            findings = form.find(data, Inquiry(identifiers, detect))
            return Result(list(findings.locators), b"".join(findings.rest()), findings.whole)
        except UnsearchableError as fault:
            return fault.what


def csv(data: bytes, identifiers: Sequence[Identifier]) -> Result:
    """Raises UnsearchableError where no delimiter reads it strictly."""
    decoded = decode(data)
    text = decoded.text
    delimiter = _layout(text).delimiter
    rows = list(records(text, delimiter))
    filled = [record for record in rows if record.fields != [""]][:AMONG]
    told = [
        names
        for names in _heads([record.fields for record in filled])
        if not any(carries(identifiers, name) for name in names)
    ]
    others = () if delimiter in text else _DELIMITERS
    lines = [text[record.start : record.end].rstrip("\r\n") for record in rows if record.fields != [""]][
        :AMONG
    ]
    loose = [
        Loose(other, _heads(parted))
        for other in others
        if (parted := [line.split(other) for line in lines if other in line])
    ]
    hers: list[_Record] = []
    for record in rows:
        for names in told if told and record.number > 1 else [[]]:
            columns = names if len(names) == len(record.fields) else [""] * len(record.fields)
            if any(carries(identifiers, *field) for field in zip(record.fields, columns, strict=True)):
                hers.append(record)
                break
        else:
            if any(_carries_loosely(record.fields[0], each, identifiers, record.number) for each in loose):
                hers.append(record)
    edits = [(record.start, record.end, "") for record in hers] + _counted(text, delimiter, hers)
    rest, position = "", 0
    for start, end, new in edits:
        rest, position = rest + text[position:start] + new, end
    rest += text[position:]
    mark = data[: decoded.start]
    return Result([f"record {record.number}" for record in hers], mark + rest.encode(decoded.encoding))


def _heads(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [list(head.values()) for head in heads([dict(enumerate(row)) for row in rows])]


def ndjson(data: bytes, identifiers: Sequence[Identifier]) -> Result:
    """Raises UnsearchableError where a line that is not blank is not a document."""
    decoded = decode(data)
    lines = re.findall(r"[^\n]*\n|[^\n]+", decoded.text)
    locators, rest = [], ""
    for number, line in enumerate(lines, 1):
        try:
            hers = bool(line.strip(" \t\r\n")) and document_carries(line, identifiers)
        except UnsearchableError as fault:
            raise UnsearchableError(f"line {number}: {fault.what}") from fault
        if hers:
            locators.append(f"line {number}")
        else:
            rest += line
    return Result(locators, data[: decoded.start] + rest.encode(decoded.encoding))


def text(data: bytes, identifiers: Sequence[Identifier]) -> Result:
    """A file that carries the person goes as a whole."""
    if text_carries(identifiers, decode(data).text):
        return Result(["whole file"], b"", whole=True)
    return Result([], data)


_WHOLE = {"csv": csv, "ndjson": ndjson, "text": text}


def _layout(text: str) -> _Layout:
    layouts: list[_Layout] = []
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
    assert all(reading.starts == best.starts for reading in layouts)
    return best


def _strict_layout(text: str, delimiter: str) -> _Layout:
    columns = 0
    starts: list[int] = []
    fault: UnsearchableError | None = None
    for record in records(text, delimiter):
        starts.append(record.start)
        if record.fields == [""]:
            continue
        if fault is not None:
            raise fault
        columns = columns or len(record.fields)
        if len(record.fields) != columns:
            fault = UnsearchableError(
                f"record {record.number} has {len(record.fields)} fields where the first has {columns}"
            )
            if not (_TRAILER.match(text, record.start) or _TRAILER_CODE.match(text, record.start)):
                raise fault
    return _Layout(delimiter, columns, starts)


def records(text: str, delimiter: str) -> Iterator[_Record]:
    fields: list[str] = []
    number = 1
    start = position = 0
    while position < len(text) or fields:
        field = _FIELD[delimiter].match(text, position)
        if field is None:
            raise UnsearchableError(f"record {number} has a quote or a carriage return out of place")
        quoted, bare, terminator = field.groups()
        fields.append(bare if quoted is None else quoted.replace('""', '"'))
        position = field.end()
        if terminator != delimiter:
            yield _Record(number, start, position, fields)
            fields, start, number = [], position, number + 1


def _counted(text: str, delimiter: str, hers: list[_Record]) -> list[tuple[int, int, str]]:
    filled = [record for record in records(text, delimiter) if record.fields != [""]]
    if not hers or filled[-1].start <= hers[-1].start:
        return []
    last = filled[-1]
    coded = len(last.fields) != len(filled[0].fields) and _TRAILER_CODE.match(text, last.start)
    if not (coded or _TRAILER.match(text, last.start)):
        return []
    counts = [
        (field.start() + number.start(), number[0])
        for field in _FIELD[delimiter].finditer(text, last.start, last.end)
        for number in _COUNT.finditer(field[0].removesuffix(delimiter))
        if int(number[0]) in (len(filled) - 1, len(filled) - 2)
    ]
    if len(counts) != 1:
        return []
    ((start, old),) = counts
    left = str(int(old) - len(hers))
    return [(start, start + len(old), left.zfill(len(old)) if old.startswith("0") else left)]
