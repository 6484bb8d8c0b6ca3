"""HTML has no records that we know: a file whose text or attributes carry the identifier goes as a whole."""

from html.parser import HTMLParser

from sftpd.erasure.formats.decoding import decode
from sftpd.erasure.formats.model import Data, Findings, Inquiry, cut, whole_file
from sftpd.erasure.identifiers import carries

_INLINE = {
    *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd"),
    *("mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr"),
}


class Html:
    """A page."""

    name = "html"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the whole file or nothing."""
        if carries(inquiry.identifiers, visible(decode(data).text)):
            return whole_file(self.name, "whole file")
        return cut(self.name, data, [])


def visible(markup: str) -> str:
    """What HTML says: text in which only blocks part words, then attributes and comments, a line each."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return "\n".join(["".join(reader.text), *reader.beside])


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.beside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_endtag(tag)
        self.beside += (value for _, value in attrs if value)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _INLINE:
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.beside.append(data)

    def handle_decl(self, decl: str) -> None:
        self.beside.append(decl)

    def handle_pi(self, data: str) -> None:
        self.beside.append(data)

    def unknown_decl(self, data: str) -> None:
        self.beside.append(data)
