"""XML 1.0 read strictly: elements, text and remarks, each with the span of bytes it stands in.

A document type declaration, and with it every entity of the file's own, is refused. Expat checks that tags
match; that prefixes are declared is not checked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import NamedTuple
from xml.parsers import expat

from sftpd.erasure.formats.model import Data, UnsearchableError

DEPTH_LIMIT = 512

_CHUNK = 1 << 16


class Kind(Enum):
    """What an event is; `OTHER` are declarations, marks of CDATA sections and space beside the root."""

    START = auto()
    END = auto()
    TEXT = auto()
    REMARK = auto()
    OTHER = auto()


class Event(NamedTuple):
    """A piece of markup or text: an element's name or what a text or remark says, and its span of bytes.

    Of an empty element `<a/>` the start is empty and the end is the tag. A text may come in several pieces.
    """

    kind: Kind
    said: str
    attributes: list[str]
    """Of a start: names and values in turn."""
    start: int
    end: int

    @property
    def told(self) -> Iterator[tuple[str, str]]:
        """The names and values of a start."""
        return zip(self.attributes[::2], self.attributes[1::2], strict=True)


def events(data: Data) -> Iterator[Event]:
    """Yield what a document consists of.

    Raises UnsearchableError where it is not well-formed, or is nested deeper than DEPTH_LIMIT.
    """
    reader = _Reader()
    with _told():
        for position in range(0, len(data), _CHUNK):
            reader.parser.Parse(data[position : position + _CHUNK])
            yield from reader.take()
        reader.parser.Parse(b"", True)
    reader.note(Kind.OTHER, "", at=len(data))
    yield from reader.take()


def check(data: bytes) -> None:
    """Read a document to its end. Raises UnsearchableError as `events` does, but for the depth."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    with _told():
        parser.Parse(data, True)


@contextmanager
def _told() -> Iterator[None]:
    """Raise what expat raises as it is told of files."""
    try:
        yield
    except expat.ExpatError as fault:
        raise UnsearchableError(f"it is not well-formed XML at line {fault.lineno}") from fault
    except (LookupError, ValueError) as fault:
        raise UnsearchableError("it is XML in an encoding that is not read") from fault


class _Reader:
    """What expat tells; an event ends where the next one starts."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.ordered_attributes = True
        self.parser.StartDoctypeDeclHandler = _refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = lambda text: self.note(Kind.TEXT, text)
        self.parser.CommentHandler = lambda text: self.note(Kind.REMARK, text)
        self.parser.ProcessingInstructionHandler = lambda *said: self.note(Kind.REMARK, " ".join(said))
        self.parser.StartCdataSectionHandler = lambda: self.note(Kind.OTHER, "")
        self.parser.EndCdataSectionHandler = lambda: self.note(Kind.OTHER, "")
        self.parser.DefaultHandler = lambda _text: self.note(Kind.OTHER, "")
        self._depth = 0
        self._last: tuple[Kind, str, list[str], int] | None = None
        self._ready: list[Event] = []

    def take(self) -> list[Event]:
        """The events whose end is known, once each."""
        ready, self._ready = self._ready, []
        return ready

    def note(self, kind: Kind, said: str, attributes: list[str] | None = None, at: int | None = None) -> None:
        """Note what starts at the parser's place, or `at` another."""
        start = self.parser.CurrentByteIndex if at is None else at
        if self._last is not None:
            self._ready.append(Event(*self._last, start))
        self._last = (kind, said, attributes or [], start)

    def _start(self, name: str, attributes: list[str]) -> None:
        if self._depth == DEPTH_LIMIT:
            raise UnsearchableError(f"it is nested deeper than {DEPTH_LIMIT} levels")
        self._depth += 1
        self.note(Kind.START, name, attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self.note(Kind.END, name)


def _refuse(*_declaration: object) -> None:
    raise UnsearchableError("it has a document type declaration, which may define entities")
