"""HTML has no records that we know: a file whose text or attributes carry the identifier goes as a whole."""

import re
from html import unescape

from sftpd.erasure.formats.decoding import decode
from sftpd.erasure.formats.model import Data, Findings, Inquiry, cut, whole_file
from sftpd.erasure.identifiers import carries

_WHOLE = "whole file"
_INLINE = {
    *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd"),
    *("mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr"),
}
_TAG = re.compile(r"<(?:!--|[!?]|/?([A-Za-z][A-Za-z0-9:-]*))")


class Html:
    """A page."""

    name = "html"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the whole file or nothing."""
        if inquiry.places:
            inquiry.note(visible(decode(data).text))
            return whole_file(self.name, _WHOLE)
        if carries(inquiry.identifiers, visible(decode(data).text)):
            return whole_file(self.name, _WHOLE)
        return cut(self.name, data, [])


def visible(markup: str) -> str:
    """What HTML says: text in which only blocks part words, then tags and comments, a line each.

    It takes markup as it comes, in one pass: what is not closed counts as text.
    """
    text: list[str] = []
    beside: list[str] = []
    position = 0
    while (start := markup.find("<", position)) >= 0:
        text.append(unescape(markup[position:start]))
        position = start
        tag = _TAG.match(markup, start)
        if tag is None:
            text.append("<")
            position += 1
            continue
        closing = "-->" if tag[0] == "<!--" else ">"
        end = markup.find(closing, start)
        if end < 0:
            break
        if (tag[1] or "").lower() not in _INLINE:
            text.append("\n")
        beside.append(unescape(markup[tag.end() : end]))
        position = end + len(closing)
    text.append(unescape(markup[position:]))
    return "\n".join(["".join(text), *beside])
