"""Changing XML in its own bytes: spans replaced, text and attributes emptied that tell of a person."""

import re
from collections.abc import Callable, Iterable

from sftpd.erasure.formats.model import Edit, UnsearchableError, edited
from sftpd.erasure.formats.xml_events import Event, Kind

_ATTRIBUTE = re.compile(rb"""(?<=\s)([^\s=<>/"']++)\s*+=\s*+(?:"([^"]*)"|'([^']*)')""")
_DECLARED = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([^"']*)""")
_UTF8 = {b"utf-8", b"us-ascii", b"ascii"}
_PARAGRAPHS = {"p", "text"}
"""Elements whose text may be spread over runs and is one all the same."""
_EFFECTIVE = {
    *("f", "formula", "formula1", "formula2", "definedName", "sheet", "table", "tableColumn", "pivotField"),
    *("named-range", "named-expression", "database-range"),
}
"""Elements that others refer to or reckon with, which blanking would break."""

BY_HAND = "the person is in a formula or a name that others refer to: change it by hand"

Tells = Callable[[str, str], bool]
"""Says whether a text, under a label, tells of the person."""


def with_edits(data: bytes, edits: Iterable[Edit]) -> bytes:
    """The bytes with the edits made; one that lies within another counts for nothing."""
    outer: list[Edit] = []
    for edit in sorted(edits, key=lambda each: (each.start, -each.end)):
        if not outer or edit.start >= outer[-1].end:
            outer.append(edit)
    return b"".join(edited(data, outer))


def require_utf8(data: bytes) -> None:
    """Raise UnsearchableError where a part is in an encoding whose markup is not plain ASCII."""
    declared = _DECLARED.match(data.removeprefix(b"\xef\xbb\xbf")[:200])
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or (declared and declared[1].lower() not in _UTF8):
        raise UnsearchableError("a part of it is not in UTF-8")


def attribute(data: bytes, tag_start: int, name: str, new: bytes) -> Edit:
    """The edit that gives an attribute of the tag at `tag_start` another value."""
    end = tag_start + 1
    for found in _ATTRIBUTE.finditer(data, tag_start):
        if b"<" in data[end : found.start()] or b">" in data[end : found.start()]:
            break
        end = found.end()
        if found[1] == name.encode():
            return Edit(*found.span(2 if found[2] is not None else 3), new)
    raise UnsearchableError("an attribute of it is not where it is told")


def local(name: str) -> str:
    """A name without its prefix."""
    return name.rpartition(":")[2]


class Blanker:
    """Collects the edits that leave text and attributes empty which tell of the person."""

    def __init__(self, data: bytes, tells: Tells) -> None:
        self.edits: list[Edit] = []
        self.found = 0
        """Elements, attributes and remarks that tell of the person."""
        self._data = data
        self._tells = tells
        self._open: list[_Open] = []

    def take(self, event: Event) -> None:
        """Look at the next event. Raises UnsearchableError where blanking would break what refers to it."""
        if event.kind is Kind.START:
            self._start(event)
        elif event.kind is Kind.TEXT and self._open:
            self._open[-1].add(event)
        elif event.kind is Kind.END and self._open:
            self._end()
        elif event.kind is Kind.REMARK and self._tells(event.said, ""):
            self.edits.append(Edit(event.start, event.end))
            self.found += 1

    def _start(self, event: Event) -> None:
        name = local(event.said)
        if self._open:
            self._open[-1].is_leaf = False
        self._open.append(_Open(name))
        for key, value in event.told:
            if self._tells(value, f"{name}.{local(key)}"):
                self._refuse_effective(name)
                new = b"about:blank" if (name, key) == ("Relationship", "Target") else b""
                self.edits.append(attribute(self._data, event.start, key, new))
                self.found += 1

    def _end(self) -> None:
        element = self._open.pop()
        one = element.is_leaf or element.name in _PARAGRAPHS
        if one and not element.told and self._tells("".join(element.text), element.name):
            self._refuse_effective(element.name)
            self.edits += [Edit(start, end) for start, end in element.spans]
            element.told = True
            self.found += 1
        if self._open:
            self._open[-1].take_in(element)

    def _refuse_effective(self, name: str) -> None:
        if name in _EFFECTIVE:
            raise UnsearchableError(BY_HAND)


class _Open:
    """An open element and the text in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_leaf = True
        self.told = False
        self.text: list[str] = []
        self.spans: list[tuple[int, int]] = []

    def add(self, event: Event) -> None:
        self.text.append(event.said)
        self.spans.append((event.start, event.end))

    def take_in(self, inner: "_Open") -> None:
        """Text counts further out as far as a paragraph goes."""
        if inner.name not in _PARAGRAPHS:
            self.told = self.told or inner.told
            if len(self.spans) < 1000:
                self.text += inner.text
                self.spans += inner.spans
