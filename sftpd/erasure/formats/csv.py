"""CSV as RFC 4180 has it, with `,`, `;`, `|` or tab: a record with the identifier goes whole.

Other delimiters are looked for within lines, which are records then.

Nothing is written anew: a record is a span of bytes, its line end included, and what stays stays as it was.
Only a trailer that counts the records, as a last line `TOTAL;12`, counts fewer. A table is read three times,
in little memory: for where the person may be, for how it reads, and for the records there.
"""

import re
from collections.abc import Iterator, Sequence

from sftpd.erasure.formats import csv_layout
from sftpd.erasure.formats.csv_layout import TRAILER, TRAILER_CODE, Loose, Table
from sftpd.erasure.formats.decoding import Decoded, may_carry, where_to_look
from sftpd.erasure.formats.lines import likely, numbers_at
from sftpd.erasure.formats.model import (
    Data,
    Edit,
    Findings,
    Inquiry,
    Match,
    UnsearchableError,
    cut,
    require_few,
)
from sftpd.erasure.identifiers import Identifier, carries, record_carries

_RECORD = "record"
"""What locators call a record."""
_COUNT = re.compile(r"(?<![\w.,-])[0-9]{1,12}(?![\w.,-])")


class Csv:
    """Records separated by line ends; the first is the header unless it carries the identifier itself."""

    name = "csv"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the records that carry an identifier."""
        known = inquiry.identifiers
        where = where_to_look(data, inquiry, _plain)
        if not where:
            return cut(self.name, data, [], where.unsearched)
        table = csv_layout.survey(data, where)
        first_goes = f"{_RECORD} 1" in inquiry.places
        told = table.heads[1:] if first_goes else table.heads
        heads = [head for head in told if not _carries(head, [], known)]
        found: list[Match] = []
        for block in table.touched:
            part = Decoded(data[block.start : block.end].decode(where.encoding), where.encoding, block.start)
            matches = _matches(part.text, block.first, table, heads, inquiry)
            found += part.in_bytes(matches)
            require_few(len(found))
        return cut(self.name, data, found, where.unsearched, _counted(table, found))


def _plain(raw: str) -> str:
    """The text with each quote in a quoted field as it is meant."""
    return raw.replace('""', '"') if '"' in raw else raw


def _matches(
    text: str, first: int, table: Table, heads: Sequence[Sequence[str]], inquiry: Inquiry
) -> Iterator[Match]:
    """The records that go, in a text of whole records; the first has the number `first`."""
    known, told = inquiry.identifiers, numbers_at(inquiry.places, _RECORD)

    def is_likely(rows: str) -> bool:
        return may_carry(rows, known, _plain)

    for number, start, end in likely(text, first, is_likely, told, quoting=True):
        fields = next(csv_layout.fields(text[start:end], table.layout.delimiter)).fields
        line = fields[0] if len(fields) == 1 else text[start:end].rstrip("\r\n")
        columns = (heads if number > 1 else []) or [[]]
        if number in told:
            inquiry.note(*(": ".join(filter(None, pair)) for pair in _labelled(fields, columns[-1])))
        if (
            number in told
            or any(_carries(fields, labels, known) for labels in columns)
            or any(_carries_loosely(line, loose, known, number) for loose in table.loose)
        ):
            yield Match(f"{_RECORD} {number}", start, end)


def _carries(fields: Sequence[str], labels: Sequence[str], known: Sequence[Identifier]) -> bool:
    """Whether a field does, or several together; nobody is in an empty one."""
    return any(
        carries(known, field, label) for label, field in _labelled(fields, labels) if field
    ) or record_carries(known, _labelled(fields, labels))


def _carries_loosely(line: str, loose: Loose, known: Sequence[Identifier], number: int) -> bool:
    """Whether a line does where a delimiter parts it, under labels that only some lines have as many of.

    Raises UnsearchableError where that depends on which of the labels its fields stand under.
    """
    fields = loose.parts(line)
    for head in loose.heads if len(fields) > 1 else ():
        least = min(len(fields), len(head))
        carried = _carries(fields[:least], head[:least], known)
        if carried and not any((*fields[least:], *head[least:])):
            return True
        if carried or _carries(fields[-least:], head[-least:], known):
            raise UnsearchableError(
                f"record {number} has {len(fields)} fields where the one with their names has {len(head)}"
            )
    return False


def _labelled(fields: Sequence[str], labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each field behind its label, where there are as many."""
    return zip(labels if len(labels) == len(fields) else [""] * len(fields), fields, strict=True)


def _counted(table: Table, found: Sequence[Match]) -> list[Edit]:
    """The edit that makes a trailer count fewer; none where there is no trailer that counts.

    It counts the records without itself, with or without the header; one number alone must fit.
    """
    if not found or table.tail is None or table.tail.start <= found[-1].start:
        return []
    text, delimiter = table.tail.text, table.layout.delimiter
    last = next(csv_layout.fields(text, delimiter))
    coded = len(last.fields) != table.layout.columns and TRAILER_CODE.match(text)
    if not (coded or TRAILER.match(text)):
        return []
    counts = [
        Match(number[0], start + number.start(), start + number.end())
        for start, field in csv_layout.raw_fields(text, last, delimiter)
        for number in _COUNT.finditer(field)
        if int(number[0]) in (table.total - 1, table.total - 2)
    ]
    if len(counts) != 1:
        return []
    ((old, start, end),) = table.tail.in_bytes(counts)
    left = str(int(old) - len(found))
    new = left.zfill(len(old)) if old.startswith("0") else left
    return [Edit(start, end, new.encode(table.tail.encoding))]
