"""Plain text has no records: a file that carries the identifier goes as a whole."""

from collections.abc import Sequence

from sftpd.erasure.formats.decoding import decode
from sftpd.erasure.formats.model import CutsSpans, Match
from sftpd.erasure.identifiers import Identifier, carries


class Text(CutsSpans):
    """Text without a structure we know."""

    name = "text"

    def find(self, data: bytes, identifiers: Sequence[Identifier]) -> list[Match]:
        """Return the whole file or nothing."""
        if carries(identifiers, decode(data).text):
            return [Match("whole file", 0, len(data), whole=True)]
        return []
