"""HTML has no records that we know: a file whose text or attributes carry the identifier goes as a whole."""

import re
from collections.abc import Iterator
from html import unescape

from sftpd.erasure.formats.beside import Beside, role
from sftpd.erasure.formats.decoding import decode
from sftpd.erasure.formats.heads import heads
from sftpd.erasure.formats.model import Data, Findings, Inquiry, cut, whole_file
from sftpd.erasure.identifiers import carries

_WHOLE = "whole file"
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "body", "br", "button", "caption", "center", "col"),
    *("colgroup", "dd", "details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure"),
    *("footer", "form", "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hgroup"),
    *("hr", "html", "iframe", "img", "input", "legend", "li", "link", "listing", "main", "menu", "meta"),
    *("nav", "object", "ol", "optgroup", "option", "p", "plaintext", "pre", "rp", "rt", "script", "search"),
    *("section", "select", "style", "summary", "table", "tbody", "td", "textarea", "tfoot", "th", "thead"),
    *("title", "tr", "ul", "video", "xmp"),
}
"""Elements that part words; text goes on over all others, also those that nobody knows."""
_TAG = re.compile(r"<(?:!--|[!?]|(/?)([A-Za-z][A-Za-z0-9:-]*))")
_ATTRIBUTE = re.compile(r"""(?<!\S)([^\s=]++)\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s"']++))""")
_CELLS = ("td", "th")
_SHOWN = 300
"""Characters of a cell, at most, that is shown beside others of its row, or with its label."""


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
    """What HTML says: text in which only blocks part words, then rows, tags and comments, a line each.

    It takes markup as it comes, in one pass: what is not closed counts as text.
    """
    text: list[str] = []
    beside: list[str] = []
    tables = _Tables(text)
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
        name = (tag[2] or "").lower()
        if name in _BLOCKS:
            text.append("\n")
            tables.take(name, is_end=bool(tag[1]))
        said = markup[tag.end() : end]
        beside += (unescape(said), *_named(said))
        position = end + len(closing)
    text.append(unescape(markup[position:]))
    return "\n".join(["".join(text), *tables.lines(), *beside])


def _named(attributes: str) -> Iterator[str]:
    """Attributes with digits behind what others of their tag call them: `<input name="nr" value="1234">`."""
    beside = Beside()
    for key, *values in _ATTRIBUTE.findall(attributes):
        if (part := role(key)) is not None:
            named = beside.take(part, unescape("".join(values)))
            yield from (f"{label}: {text}" for label, text, _ in named if any(map(str.isdigit, text)))


class _Tables:
    """The rows of tables, taken out of the text as it grows."""

    def __init__(self, text: list[str]) -> None:
        self._text = text
        self._done: list[list[list[str]]] = []
        self._open: list[list[list[str]]] = []
        self._cell: int | None = None
        """Where the text of the cell begins that is read."""

    def take(self, name: str, *, is_end: bool) -> None:
        """Take a tag of a block."""
        if name in (*_CELLS, "tr", "table"):
            self._close_cell()
        if name == "table" and not is_end:
            self._open.append([])
        elif name == "table" and self._open:
            self._done.append(self._open.pop())
        elif self._open and not is_end and name == "tr":
            self._open[-1].append([])
        elif self._open and not is_end and name in _CELLS and self._open[-1]:
            self._cell = len(self._text)

    def lines(self) -> Iterator[str]:
        """Each row as a line, and cells with digits behind what their column is called."""
        self._close_cell()
        for rows in (*self._done, *self._open):
            names = heads([dict(enumerate(row)) for row in rows])
            for row in rows:
                yield " | ".join(cell for cell in row if len(cell) <= _SHOWN)
                for name in names:
                    yield from (
                        f"{name[at]}: {cell}"
                        for at, cell in enumerate(row)
                        if at in name and len(name[at]) + len(cell) <= _SHOWN and any(map(str.isdigit, cell))
                    )

    def _close_cell(self) -> None:
        if self._cell is not None:
            self._open[-1][-1].append(" ".join("".join(self._text[self._cell :]).split()))
            self._cell = None
