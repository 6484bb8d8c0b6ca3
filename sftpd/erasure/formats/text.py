"""Plain text has no records: a file that carries the identifier goes as a whole."""

from sftpd.erasure.formats.decoding import decode, may_be_in
from sftpd.erasure.formats.model import Data, Findings, Inquiry, cut, whole_file
from sftpd.erasure.identifiers import carries

_WHOLE = "whole file"


class Text:
    """Text without a structure we know."""

    name = "text"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the whole file or nothing."""
        if inquiry.places:
            inquiry.note(decode(data).text)
            return whole_file(self.name, _WHOLE)
        if not may_be_in(data, inquiry.identifiers):
            return cut(self.name, data, [])
        if carries(inquiry.identifiers, decode(data).text):
            return whole_file(self.name, _WHOLE)
        return cut(self.name, data, [])
