"""What every format offers: to find a person's records in a file's bytes, and to cut them out."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from sftpd.erasure.identifiers import Identifier
from sftpd.errors import SftpdError


class UnsearchableError(SftpdError):
    """The file's content cannot be read with certainty; `what` is the reason, free of the file's content."""

    code = "UNSEARCHABLE"


class Match(NamedTuple):
    """A record that carries an identifier: where to look for it, and the span of bytes that goes with it."""

    locator: str
    start: int
    end: int
    whole: bool = False
    """Set where the record is the file itself, which then goes as a whole."""


class Format(Protocol):
    """One way of laying out records in a file."""

    @property
    def name(self) -> str:
        """The format's name in findings and certificates."""
        ...

    def find(self, data: bytes, identifiers: Sequence[Identifier]) -> list[Match]:
        """Return what must go, in ascending order and without overlap.

        Raises UnsearchableError where the bytes do not strictly have the format.
        """
        ...

    def redact(self, data: bytes, matches: Sequence[Match]) -> bytes:
        """Return `data` without all that `find` returned for it, every other byte as it was."""
        ...


class CutsSpans:
    """The redaction of formats whose records are spans of the file's own bytes."""

    def redact(self, data: bytes, matches: Sequence[Match]) -> bytes:
        """Return `data` without the spans of `matches`."""
        return b"".join(_kept(memoryview(data), matches))


def _kept(data: memoryview, matches: Sequence[Match]) -> Iterable[memoryview]:
    position = 0
    for match in matches:
        yield data[position : match.start]
        position = match.end
    yield data[position:]
