"""NDJSON: one JSON document a line; a line that carries the identifier goes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from sftpd.erasure.formats.decoding import Decoded, may_carry, where_to_look
from sftpd.erasure.formats.json import document_carries
from sftpd.erasure.formats.json_heads import rows_heads
from sftpd.erasure.formats.json_tokens import check, documents, unescaped
from sftpd.erasure.formats.lines import LINE, likely, lines, numbers_at, placed, spans
from sftpd.erasure.formats.model import Data, Findings, Inquiry, Match, UnsearchableError, cut, require_few


class Ndjson:
    """Lines of JSON; blank ones are kept."""

    name = "ndjson"

    def __init__(self, takes: Callable[[str], bool] | None = None) -> None:
        """Of lines that are told once for all, `takes` gets those that may carry somebody.

        It returns False for those that must be read closely.
        """
        self._takes = takes

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the lines that carry an identifier."""
        where = where_to_look(data, inquiry, unescaped)
        heads = rows_heads(data, where.start, where.encoding) if where else []
        if any(may_carry(name, inquiry.identifiers) for head in heads for name in head):
            where = replace(where, spans=((where.start, len(data)),))
        matches: list[Match] = []
        number = 1
        for part, end in placed(lines(data, where), len(data)) if where else ():
            if not documents(part.text):
                _check(part.text, number)
            if where.touch(part.start, end):
                matches += self._matches(part, number, inquiry, heads)
                require_few(len(matches))
            number += part.text.count("\n")
        return cut(self.name, data, matches, where.unsearched)

    def _matches(
        self, part: Decoded, first: int, inquiry: Inquiry, heads: Sequence[Sequence[str]]
    ) -> Iterator[Match]:
        """The lines that go, each of which is JSON or blank; `heads` say what the elements of rows are."""
        text, known, told = part.text, inquiry.identifiers, numbers_at(inquiry.places, LINE)
        above = "".join(f"{name}\n" for head in heads for name in head)
        found = []

        def is_likely(rows: str) -> bool:
            if self._takes is not None and not heads:
                return not self._takes(rows)
            return may_carry(above + rows, known, unescaped)

        for number, start, end in likely(text, first, is_likely, told):
            if number in told:
                inquiry.note(text[start:end])
            if number in told or document_carries(text[start:end], known, heads):
                found.append(Match(f"{LINE} {number}", start, end))
        return part.in_bytes(found)


def _check(text: str, first: int) -> None:
    """Read line by line, of which `first` is the number of the first. Raises UnsearchableError."""
    for number, (start, end) in enumerate(spans(text), first):
        if text[start:end].strip(" \t\r\n"):
            try:
                check(text[start:end])
            except UnsearchableError as fault:
                raise UnsearchableError(f"line {number}: {fault.what}") from fault
