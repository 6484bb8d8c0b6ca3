"""What every format offers: to find a person's records in a file's bytes, and the file without them."""

import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sftpd.erasure.identifiers import Identifier
from sftpd.errors import SftpdError

Data = bytes | mmap.mmap
"""A file's content; a mapped file is read as far as a format looks at it."""

Pieces = Iterable[bytes]
"""Content in parts, in order."""

_PIECE = 1 << 20


class UnsearchableError(SftpdError):
    """The file's content cannot be read with certainty; `what` is the reason, free of the file's content."""

    code = "UNSEARCHABLE"


class Match(NamedTuple):
    """A record that carries an identifier: where to look for it, and the span of bytes that goes with it."""

    locator: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What a file holds of a person."""

    format: str
    """The format's name in findings and certificates."""
    locators: Sequence[str]
    """One a record that goes: where it is."""
    rest: Callable[[], Pieces]
    """The file without these records, every other byte as it was."""
    whole: bool = False
    """Set where the record is the file itself, which then goes as a whole."""
    unsearched: Sequence[str] = ()
    """Which parts could not be read and why, free of the file's content."""


class Format(Protocol):
    """One way of laying out records in a file."""

    def find(self, data: Data, inquiry: "Inquiry") -> Findings:
        """Return what must go.

        Raises UnsearchableError where the bytes do not strictly have the format.
        """
        ...


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Who is looked for."""

    identifiers: Sequence[Identifier]


def cut(name: str, data: Data, matches: Sequence[Match], unsearched: Sequence[str] = ()) -> Findings:
    """The findings of a format whose records are spans of the file's own bytes.

    `matches` ascend and do not overlap.
    """
    locators = [match.locator for match in matches]
    return Findings(name, locators, lambda: _kept(data, matches), unsearched=unsearched)


def whole_file(name: str, locator: str) -> Findings:
    """The findings in a file that is about the person as a whole."""
    return Findings(name, [locator], lambda: (), whole=True)


def span(data: Data, start: int, end: int) -> Iterator[bytes]:
    """The bytes of `data` from `start` to `end`, in pieces."""
    for position in range(start, end, _PIECE):
        yield data[position : min(position + _PIECE, end)]


def _kept(data: Data, matches: Sequence[Match]) -> Iterator[bytes]:
    position = 0
    for match in matches:
        yield from span(data, position, match.start)
        position = match.end
    yield from span(data, position, len(data))
