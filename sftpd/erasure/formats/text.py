"""Plain text has no records: a file that carries the identifier goes as a whole."""

from collections.abc import Iterator

from sftpd.erasure.formats.decoding import OVERLAP, Traces, decode, traces
from sftpd.erasure.formats.lines import lines, placed
from sftpd.erasure.formats.model import Data, Findings, Inquiry, cut, whole_file
from sftpd.erasure.identifiers import carries

_WHOLE = "whole file"


class Text:
    """Text without a structure we know."""

    name = "text"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the whole file or nothing."""
        if inquiry.places:
            if inquiry.noted is not None:
                inquiry.note(decode(data).text)
            return whole_file(self.name, _WHOLE)
        where = traces(data, inquiry.identifiers)
        if where and any(carries(inquiry.identifiers, text) for text in _passages(data, where)):
            return whole_file(self.name, _WHOLE)
        return cut(self.name, data, [])


def _passages(data: Data, where: Traces) -> Iterator[str]:
    """What may hold the person: whole lines, since what says whose an identifier is does not reach over one.

    An identifier itself may, so each passage begins with lines of the one before.
    """
    before = ""
    for part, end in placed(lines(data, where), len(data)):
        passage = before + part.text
        if where.touch(part.start, end):
            yield passage
        before = passage[passage.rfind("\n", 0, max(0, len(passage) - OVERLAP)) + 1 :]
