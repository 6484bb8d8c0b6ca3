"""NDJSON: one JSON document a line; a line that carries the identifier goes."""

from collections.abc import Iterator, Sequence

from sftpd.erasure.formats.decoding import Decoded, may_carry, traces
from sftpd.erasure.formats.json import document_carries
from sftpd.erasure.formats.json_tokens import check, documents, unescaped
from sftpd.erasure.formats.lines import likely, lines, placed, spans
from sftpd.erasure.formats.model import Data, Findings, Inquiry, Match, UnsearchableError, cut
from sftpd.erasure.identifiers import Identifier


class Ndjson:
    """Lines of JSON; blank ones are kept."""

    name = "ndjson"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the lines that carry an identifier."""
        known = inquiry.identifiers
        where = traces(data, known, unescaped)
        matches: list[Match] = []
        number = 1
        for part, end in placed(lines(data, where), len(data)) if where else ():
            if not documents(part.text):
                _check(part.text, number)
            if where.touch(part.start, end):
                matches += _matches(part, number, known)
            number += part.text.count("\n")
        return cut(self.name, data, matches)


def _check(text: str, first: int) -> None:
    """Read line by line, of which `first` is the number of the first. Raises UnsearchableError."""
    for number, (start, end) in enumerate(spans(text), first):
        if text[start:end].strip(" \t\r\n"):
            try:
                check(text[start:end])
            except UnsearchableError as fault:
                raise UnsearchableError(f"line {number}: {fault.what}") from fault


def _matches(part: Decoded, first: int, known: Sequence[Identifier]) -> Iterator[Match]:
    """The lines that carry an identifier, each of which is JSON or blank."""
    text = part.text
    places = likely(text, spans(text), first, lambda lines: may_carry(lines, known, unescaped))
    return part.in_bytes(
        Match(f"line {number}", start, end)
        for number, start, end in places
        if document_carries(text, start, end, known)
    )
