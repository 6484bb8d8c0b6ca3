"""What is passed over of a JSON document: values in which nobody is looked for, as many at a time as can be.

A pattern tells where they end, at a glance, and msgspec whether they are JSON.
"""

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from sftpd.erasure.formats.model import Data

Passes = Callable[[int, int, int], bool]
"""Says whether what stands from one place to another may be passed over: that many values of the innermost
container, or with 0 the value of the member that has begun."""

DEPTH = 8
"""Levels of what can be passed over."""
_WINDOWS = (16 << 10, 2 << 10)
"""Bytes of values that are passed over together: first as many as may be, then fewer."""
_WIDE_WINDOW = 1 << 20
"""Bytes of one value that is passed over."""

glance = msgspec.json.Decoder(msgspec.Raw).decode
"""Raises for all that is not JSON, but for its depth, and for some that is; bytes above 127 are any text."""
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
"""The same for an array, of which it returns the elements."""

_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


def _container(depth: int) -> bytes:
    """What an array or object is at a glance, up to a depth."""
    inner = rb'[^\[\]{}"]++|' + _STRING + (b"|" + _container(depth - 1) if depth > 1 else b"")
    return rb"[\[{](?:" + inner + rb")*+[\]}]"


def _listed(value: bytes) -> re.Pattern[bytes]:
    """Values with the comma behind each."""
    return re.compile(_SPACE + b"((?:(?:" + value + b")" + _SPACE + b"," + _SPACE + b")++)", re.DOTALL)


_CONTAINER = _container(DEPTH)
_ONE = re.compile(_SPACE + b"(" + _CONTAINER + b")", re.DOTALL)
_ELEMENTS = _listed(_CONTAINER + b"|" + _STRING + rb'|[^\[\]{}",\s]++')
_MEMBERS = _listed(_STRING + _SPACE + b":" + _SPACE + _CONTAINER)
"""Members that are arrays or objects: the scalars of an object count together."""


class Place(Enum):
    """Where one stands in a document: before an element, a member, or the value of a member."""

    ELEMENT = auto()
    MEMBER = auto()
    VALUE = auto()


class Run(NamedTuple):
    """Values that are passed over: where they start, where the last ends, where to read on, how many."""

    start: int
    end: int
    following: int
    values: int


class Passing:
    """Passes over what it may in `data`."""

    def __init__(self, data: Data, passes: Passes) -> None:
        self._data = data
        self._passes = passes
        self._looked_at = [0] * len(_WINDOWS)
        """For each size of window, up to where values of that many bytes may not be passed over together."""

    def run(self, position: int, place: Place) -> Run | None:
        """Several elements or members from `position` on, with the comma behind the last."""
        if place is Place.VALUE:
            return None
        for number, window in enumerate(_WINDOWS):
            if position >= self._looked_at[number]:
                run = self._listed(position, window, place)
                if run is None or self._passes(*run[:2], run.values):
                    return run
                self._looked_at[number] = run.following
        return None

    def one(self, position: int, place: Place) -> tuple[int, int] | None:
        """The array or object that starts at `position`."""
        if place is Place.MEMBER:
            return None
        found = _ONE.match(self._data, position, position + _WIDE_WINDOW)
        if found is None or not self._passes(*found.span(1), place is Place.ELEMENT):
            return None
        try:
            glance(found[1])
        except msgspec.DecodeError:
            return None
        return found.span(1)

    def _listed(self, position: int, window: int, place: Place) -> Run | None:
        pattern = _ELEMENTS if place is Place.ELEMENT else _MEMBERS
        found = pattern.match(self._data, position, position + window)
        if found is None:
            return None
        start, comma = found.start(1), found[1].rindex(b",")
        values = found[1][:comma].rstrip(b" \t\r\n")
        following = start + comma + 1
        try:
            if place is Place.ELEMENT:
                return Run(start, start + len(values), following, len(_elements(b"[%b]" % values)))
            glance(b"{%b}" % values)
        except msgspec.DecodeError:
            return None
        return Run(start, start + len(values), following, 1)
