"""XML 1.0 read strictly: elements, text and remarks, each with the span of bytes it stands in.

A document type declaration, and with it every entity of the file's own, is refused. Expat checks that tags
match; that prefixes are declared is not checked.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import NamedTuple, Protocol
from xml.parsers import expat

from sftpd.erasure.formats.model import Data, UnsearchableError, span
from sftpd.erasure.formats.xml_passing import Passing, Step, chunk

DEPTH_LIMIT = 512


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
        return paired(self.attributes)


def paired(attributes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The names and values of attributes that are told in turn."""
    return zip(attributes[::2], attributes[1::2], strict=True)


def events(data: Data, passing: Passing | None = None) -> Iterator[Event]:
    """Yield what a document consists of, but for the elements that something is `passing` over.

    Raises UnsearchableError where it is not well-formed, or is nested deeper than DEPTH_LIMIT.
    """
    reader = _Reader()
    position = 0
    with _told():
        while position < len(data):
            step = chunk(position, data) if passing is None else passing.step(position)
            reader.read(data[position : step.end], step)
            yield from reader.take()
            position = step.end
        reader.parser.Parse(b"", True)
    reader.note(Kind.OTHER, "", at=len(data))
    yield from reader.take()


class Handler(Protocol):
    """Takes what a document consists of, wherever it stands."""

    def start(self, name: str, attributes: list[str]) -> None:
        """Take the start of an element; `attributes` are names and values in turn."""
        ...

    def end(self, name: str) -> None:
        """Take its end."""
        ...

    def text(self, said: str) -> None:
        """Take text, or a piece of it."""
        ...

    def remark(self, said: str) -> None:
        """Take a comment or processing instruction."""
        ...


def handle(data: Data, handler: Handler) -> None:
    """Have a handler take what a document consists of. Raises as `events` does, but for what is too deep."""
    parser = expat.ParserCreate()
    parser.ordered_attributes = parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.text
    parser.CommentHandler = handler.remark
    parser.ProcessingInstructionHandler = lambda *said: handler.remark(" ".join(said))
    _parse(data, parser)


def check(data: Data) -> None:
    """Read a document to its end. Raises UnsearchableError as `events` does, but for what is too deep."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    _parse(data, parser)


def require_depth(depth: int) -> None:
    """Raise UnsearchableError for an element in that many others where that is too deep."""
    if depth >= DEPTH_LIMIT:
        raise UnsearchableError(f"it is nested deeper than {DEPTH_LIMIT} levels")


def _parse(data: Data, parser: expat.XMLParserType) -> None:
    with _told():
        for piece in span(data, 0, len(data)):
            parser.Parse(piece)
        parser.Parse(b"", True)


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
        self.parser.CommentHandler = lambda text: self.note(Kind.REMARK, text)
        self.parser.ProcessingInstructionHandler = lambda *said: self.note(Kind.REMARK, " ".join(said))
        self.parser.StartCdataSectionHandler = lambda: self.note(Kind.OTHER, "")
        self.parser.EndCdataSectionHandler = lambda: self.note(Kind.OTHER, "")
        self._listen()
        self._depth = 0
        self._last: tuple[Kind, str, list[str], int] | None = None
        self._ready: list[Event] = []

    def _listen(self) -> None:
        """Be told of elements and text."""
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = lambda text: self.note(Kind.TEXT, text)
        self.parser.DefaultHandler = lambda _text: self.note(Kind.OTHER, "")

    def read(self, piece: bytes, step: Step) -> None:
        """Read on; of what is passed over nothing is noted."""
        if step.is_passed:
            self.parser.StartElementHandler = self.parser.EndElementHandler = None
            self.parser.CharacterDataHandler = self.parser.DefaultHandler = None
        self.parser.Parse(piece)
        if step.is_passed:
            self._listen()
        if step.is_whole:
            self.note(Kind.OTHER, "", at=step.end)

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
        require_depth(self._depth)
        self._depth += 1
        self.note(Kind.START, name, attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self.note(Kind.END, name)


def _refuse(*_declaration: object) -> None:
    raise UnsearchableError("it has a document type declaration, which may define entities")
