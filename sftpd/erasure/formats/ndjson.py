"""NDJSON: one JSON document a line; a line that carries the identifier goes."""

from collections.abc import Iterator

from sftpd.erasure.formats.decoding import Decoded, may_carry, where_to_look
from sftpd.erasure.formats.json import document_carries
from sftpd.erasure.formats.json_tokens import check, documents, unescaped
from sftpd.erasure.formats.lines import LINE, likely, lines, numbers_at, placed, spans
from sftpd.erasure.formats.model import Data, Findings, Inquiry, Match, UnsearchableError, cut, require_few


class Ndjson:
    """Lines of JSON; blank ones are kept."""

    name = "ndjson"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the lines that carry an identifier."""
        where = where_to_look(data, inquiry, unescaped)
        matches: list[Match] = []
        number = 1
        for part, end in placed(lines(data, where), len(data)) if where else ():
            if not documents(part.text):
                _check(part.text, number)
            if where.touch(part.start, end):
                matches += _matches(part, number, inquiry)
                require_few(len(matches))
            number += part.text.count("\n")
        return cut(self.name, data, matches, where.unsearched)


def _check(text: str, first: int) -> None:
    """Read line by line, of which `first` is the number of the first. Raises UnsearchableError."""
    for number, (start, end) in enumerate(spans(text), first):
        if text[start:end].strip(" \t\r\n"):
            try:
                check(text[start:end])
            except UnsearchableError as fault:
                raise UnsearchableError(f"line {number}: {fault.what}") from fault


def _matches(part: Decoded, first: int, inquiry: Inquiry) -> Iterator[Match]:
    """The lines that go, each of which is JSON or blank."""
    text, known, told = part.text, inquiry.identifiers, numbers_at(inquiry.places, LINE)
    places = likely(text, spans(text), first, lambda rows: may_carry(rows, known, unescaped), told)
    found = []
    for number, start, end in places:
        if number in told:
            inquiry.note(text[start:end])
        if number in told or document_carries(text[start:end], known):
            found.append(Match(f"{LINE} {number}", start, end))
    return part.in_bytes(found)
