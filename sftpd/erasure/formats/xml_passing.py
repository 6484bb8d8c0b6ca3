"""What is passed over of an XML document: elements that say nothing of the person, many at a time.

Patterns tell where elements begin and end; expat, which reads them as well, whether they are well-formed.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sftpd.erasure.formats.model import Data

Passes = Callable[[int, int], bool]
"""Says whether the elements from one place to another, all of them whole, are passed over."""

DEPTH = 8
"""Levels of what can be passed over."""
_WINDOWS = (16 << 10, 2 << 10)
"""Bytes of elements that are passed over together: first as many as may be, then fewer."""
_PIECES = (1 << 10, 1 << 16, 1 << 22)
"""Bytes in which markup is looked for, first in few."""
_CHUNK = 1 << 16

_NAME = r"""[^\s<>/!?"'=&][^\s<>/]*+"""
_ATTRIBUTES = r"""(?:[^<>"'/]++|"[^"<]*+"|'[^'<]*+'|/(?!>))*+"""
_END = r"</[^<>]*+>"


def _content(depth: int) -> str:
    """Text and elements, up to a depth, that are in an element."""
    inner = f"|<{_NAME}{_ATTRIBUTES}(?:/>|>{_content(depth - 1)}{_END})" if depth > 1 else ""
    return f"(?:[^<]++{inner})*+"


_ELEMENT = f"<{_NAME}{_ATTRIBUTES}(?:/>|>{_content(DEPTH)}{_END})"
_RUN = re.compile(rf"(?:[ \t\r\n]*+{_ELEMENT})++".encode())
_CHILD = re.compile(
    rf"([ \t\r\n]*+)<({_NAME})({_ATTRIBUTES})(?:/>|>(?:([^<]*+){_END}|({_content(DEPTH)}){_END}))"
)
_MARKUP = re.compile(
    rb"""[^<]*+<(?:!--.*?-->|!\[CDATA\[.*?\]\]>|\?.*?\?>|(?!!--|!\[CDATA\[|\?)(?:[^<>"']++|"[^"]*+"|'[^']*+')*+>)""",
    re.DOTALL,
)
"""Text, and the tag, comment, section of CDATA or instruction behind it."""
_TAG = re.compile(r"""<(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")
_MIXED = re.compile(r">\s*+[^\s<][^<]*+<[^/]|/[^<>]*+>\s*+[^\s<]")
"""Text with an element behind or before it."""
_ATTRIBUTE = re.compile(r"""(?<!\S)([^\s=]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""")
_REFERENCE = re.compile(r"&(?:#([0-9]++)|#x([0-9A-Fa-f]++)|(lt|gt|amp|quot|apos));")
_BLANKS = str.maketrans("\t\n", "  ")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class Step(NamedTuple):
    """How far to read on: `whole` markup, which may be passed over; else any bytes."""

    end: int
    is_whole: bool = False
    is_passed: bool = False


class Passing:
    """Goes through a document in an encoding with the signs of ASCII, and passes over what it may."""

    def __init__(self, data: Data, passes: Passes) -> None:
        self._data = data
        self._passes = passes
        self._looked_at = [0] * len(_WINDOWS)
        """For each size of window, up to where so many bytes of elements may not be passed over together."""
        self._gave_up = False

    def step(self, position: int) -> Step:
        """How far to read on from a place, all markup before which was read, and taken."""
        if self._gave_up:
            return chunk(position, self._data)
        for number, window in enumerate(_WINDOWS):
            if position < self._looked_at[number]:
                continue
            found = _RUN.match(self._data, position, position + window)
            if found is None:
                break  # nor is there any in fewer bytes
            if self._passes(position, found.end()):
                return Step(found.end(), is_whole=True, is_passed=True)
            self._looked_at[number] = found.end()
            if number == len(_WINDOWS) - 1:
                return Step(found.end(), is_whole=True)
        return self._markup(position)

    def _markup(self, position: int) -> Step:
        for size in _PIECES:
            found = _MARKUP.match(self._data, position, position + size)
            if found is not None:
                return Step(found.end(), is_whole=True)
        self._gave_up = True
        return chunk(position, self._data)


def chunk(position: int, data: Data) -> Step:
    """Any bytes from a place on, whatever they are."""
    return Step(min(position + _CHUNK, len(data)))


class Child(NamedTuple):
    """An element that is passed over, with the white space before it; `attributes` as they are written."""

    lead: str
    name: str
    attributes: str
    text: str
    is_leaf: bool
    """Whether no element is in it."""

    def values(self, wanted: Callable[[str], bool]) -> list[str]:
        """The values of those of its attributes whose names are wanted."""
        found = _ATTRIBUTE.findall(self.attributes) if self.attributes else ()
        return [plain((double or single).translate(_BLANKS)) for key, double, single in found if wanted(key)]


def children(markup: str) -> Iterator[Child]:
    """The elements of which a run consists."""
    for lead, name, attributes, text, inner in _CHILD.findall(markup):
        yield Child(lead, name, attributes, plain(text or _TAG.sub("", inner)), not inner)


def texts(markup: str) -> str:
    """The text of elements, where there is some that tags part; that between two tags is in the markup."""
    return _TAG.sub("", markup) if _MIXED.search(markup) else ""


def plain(text: str) -> str:
    """Text without references to characters."""
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    decimal, hexadecimal, name = found.groups()
    return _NAMED[name] if name else chr(int(decimal) if decimal else int(hexadecimal, 16))
