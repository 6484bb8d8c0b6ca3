"""NDJSON: one JSON document a line; a line that carries the identifier goes."""

from collections.abc import Iterator, Sequence

from sftpd.erasure.formats.decoding import decode, may_be_in
from sftpd.erasure.formats.json import document_carries
from sftpd.erasure.formats.json_tokens import ESCAPED
from sftpd.erasure.formats.model import Data, Findings, Inquiry, Match, UnsearchableError, cut
from sftpd.erasure.identifiers import Identifier


class Ndjson:
    """Lines of JSON; blank ones are kept."""

    name = "ndjson"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the lines that carry an identifier."""
        if not (inquiry.places or may_be_in(data, inquiry.identifiers, ESCAPED)):
            return cut(self.name, data, [])
        decoded = decode(data)
        found = (
            Match(f"line {number}", start, end)
            for number, (start, end) in enumerate(_lines(decoded.text), 1)
            if _line_carries(decoded.text, start, end, number, inquiry.identifiers)
            or _is_told(decoded.text[start:end], number, inquiry)
        )
        return cut(self.name, data, list(decoded.in_bytes(found)))


def _is_told(line: str, number: int, inquiry: Inquiry) -> bool:
    told = f"line {number}" in inquiry.places
    if told:
        inquiry.note(line)
    return told


def _lines(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        newline = text.find("\n", start)
        end = len(text) if newline < 0 else newline + 1
        yield start, end
        start = end


def _line_carries(text: str, start: int, end: int, number: int, identifiers: Sequence[Identifier]) -> bool:
    if not text[start:end].strip(" \t\r\n"):
        return False
    try:
        return document_carries(text, start, end, identifiers)
    except UnsearchableError as fault:
        raise UnsearchableError(f"line {number}: {fault.what}") from fault
