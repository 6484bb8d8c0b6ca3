"""Lines with columns of a fixed width, as the configuration says: a line that carries the identifier goes.

Where the last line counts the records, as the configuration says too, it counts fewer afterwards.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sftpd.erasure.formats.decoding import Decoded, Traces, may_carry, where_to_look, width
from sftpd.erasure.formats.lines import LINE, likely, lines, numbers_at, placed, spans
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
from sftpd.erasure.layouts import Column, FixedWidth


@dataclass(slots=True)
class _Survey:
    """What is learnt of the file by reading it once."""

    filled: int = 0
    """Lines that are not blank."""
    body: int = 0
    """Where the records start, in bytes."""
    touched: list[tuple[int, int, int]] = field(default_factory=list)
    """Lines that may hold the person: where they start and end, in bytes, and the number of the first."""


class FixedLines:
    """Lines of one layout."""

    name = "fixed width"

    def __init__(self, layout: FixedWidth) -> None:
        self._layout = layout
        self._parts = _parts(layout.columns)

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the lines that carry an identifier."""
        where = where_to_look(data, inquiry)
        if not where:
            return cut(self.name, data, [], where.unsearched)
        survey, tail = self._survey(data, where)
        if survey.filled < self._layout.header + self._layout.trailer:
            raise UnsearchableError("it has fewer lines than its header and trailer have")
        end = tail[0].start if tail else len(data)
        found: list[Match] = []
        for touched in survey.touched:
            found += self._matches(data, touched, where, inquiry)
            require_few(len(found))
        for match in found:
            if not survey.body <= match.start < end:
                raise UnsearchableError(
                    f"{match.locator} is in its header or trailer, and carries the person"
                )
        return cut(
            self.name, data, found, where.unsearched, self._counted(survey.filled, tail, where, len(found))
        )

    def _survey(self, data: Data, where: Traces) -> tuple[_Survey, Sequence[Decoded]]:
        """Read the file once; returns the lines of the trailer too."""
        survey = _Survey(body=where.start)
        tail: deque[tuple[Decoded, int, int]] = deque(maxlen=self._layout.trailer)
        number = 1
        for part, end in placed(lines(data, where), len(data)):
            if where.touch(part.start, end):
                survey.touched.append((part.start, end, number))
            filled = [place for place in spans(part.text) if part.text[slice(*place)].strip()]
            for _, stop in filled[: max(0, self._layout.header - survey.filled)][-1:]:
                survey.body = part.start + width(part.text[:stop], part.encoding)
            tail.extend((part, *place) for place in filled[-self._layout.trailer :])
            survey.filled += len(filled)
            number += part.text.count("\n")
        return survey, [_line(*place) for place in tail]

    def _matches(
        self, data: Data, touched: tuple[int, int, int], where: Traces, inquiry: Inquiry
    ) -> Iterator[Match]:
        start, end, first = touched
        text, known = data[start:end].decode(where.encoding), inquiry.identifiers
        told = numbers_at(inquiry.places, LINE)
        found = []
        for number, begin, stop in likely(text, first, lambda rows: may_carry(rows, known), told):
            line = text[begin:stop].rstrip("\r\n")
            if number in told:
                inquiry.note(line)
            if number in told or self._carries(line, known):
                found.append(Match(f"{LINE} {number}", begin, stop))
        return Decoded(text, where.encoding, start).in_bytes(found)

    def _carries(self, line: str, known: Sequence[Identifier]) -> bool:
        return any(carries(known, line[part], label) for label, part in self._parts) or record_carries(
            known, [(label, line[part]) for label, part in self._parts if label]
        )

    def _counted(self, filled: int, tail: Sequence[Decoded], where: Traces, gone: int) -> list[Edit]:
        """The edit that makes the trailer count fewer.

        Raises UnsearchableError where it does not count them.
        """
        count = self._layout.count
        if count is None or not tail or not gone:
            return []
        start, text = count.start - 1, tail[-1].text
        old = text[start : start + count.width]
        digits = old.strip()
        records = filled - self._layout.header - self._layout.trailer
        if not (digits.isascii() and digits.isdigit() and int(digits) in (records, filled)):
            raise UnsearchableError(f"its last line does not count its {records} records where it should")
        left = str(int(digits) - gone)
        left = left.zfill(len(digits)) if digits.startswith("0") else left
        new = left.rjust(len(old)) if old.startswith(" ") or not old.endswith(" ") else left.ljust(len(old))
        ((_, begin, end),) = tail[-1].in_bytes([Match("", start, start + len(old))])
        return [Edit(begin, end, new.encode(where.encoding))]


def _line(part: Decoded, start: int, stop: int) -> Decoded:
    """A line without its end."""
    text = part.text[start:stop].rstrip("\r\n")
    return Decoded(text, part.encoding, part.start + width(part.text[:start], part.encoding))


def _parts(columns: Sequence[Column]) -> list[tuple[str, slice]]:
    """Each column with its name, what is in none, and the line: some do not keep to their columns."""
    named = [(column.name, slice(column.start - 1, column.start - 1 + column.width)) for column in columns]
    covered = sorted((part.start, part.stop) for _, part in named)
    others, position = [("", slice(None))], 0
    for start, stop in covered:
        if start > position:
            others.append(("", slice(position, start)))
        position = max(position, stop)
    return [*named, *others, ("", slice(position, None))]
