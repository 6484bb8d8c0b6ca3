"""What every format offers: to find a person's records in a file's bytes, and the file without them."""

import hashlib
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from sftpd.erasure.identifiers import Identifier, carries
from sftpd.errors import SftpdError

Data = bytes | mmap.mmap
"""A file's content; a mapped file is read as far as a format looks at it."""

Pieces = Iterable[bytes]
"""Content in parts, in order."""

PART_LIMIT = 256 << 20
"""Bytes that one part of a file may unpack to."""
UNPACKED_LIMIT = 1 << 30
"""Bytes that all parts of a file may unpack to."""
PARTS_LIMIT = 50_000
NESTING_LIMIT = 6
MATCHES_LIMIT = 1_000_000
"""Records of one file, or part, that are found; each is in memory a few times over."""
WHOLE_DOCUMENT = "whole document"
"""The locator of a match with no record around it."""
_WHOLE = frozenset(
    (
        *(
            WHOLE_DOCUMENT,
            "whole file",
            "all members",
            "all messages",
            "signed workbook",
            "signed spreadsheet",
        ),
        *("headers", "text", "attachments"),
    )
)
"""Locators of all that a file holds."""
NAME_OF_PART = "name of part "
"""What the locator begins with of a part that goes for its name."""
RATIO_LIMIT = 250
RATIO_FREE = 4 << 20
"""Bytes up to which a part may unpack whatever its ratio."""

_PIECE = 1 << 20
_LOCATOR_LIMIT = 200
_PASSAGE = 2000
"""Characters of a text that are noted as they are."""
_DIGEST_SIZE = 8


class UnsearchableError(SftpdError):
    """The file's content cannot be read with certainty; `what` is the reason, free of the file's content."""

    code = "UNSEARCHABLE"


class BombError(UnsearchableError):
    """The file unpacks to more than is looked at; none of it is."""


class Match(NamedTuple):
    """A record that carries an identifier: where to look for it, and the span of bytes that goes with it."""

    locator: str
    start: int
    end: int


class Edit(NamedTuple):
    """A span of bytes and what is to stand in its place."""

    start: int
    end: int
    new: bytes = b""


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


Detector = Callable[[bytes, Data], Format]
"""Says of a file with this name and content which format it has. Raises UnsearchableError."""


class Budget:
    """What one file may unpack to, all that is nested in it together."""

    def __init__(self) -> None:
        self._parts = PARTS_LIMIT
        self._bytes = UNPACKED_LIMIT

    def enter(self) -> None:
        """Take a part on. Raises BombError."""
        self._parts -= 1
        if self._parts < 0:
            raise BombError(f"it holds more than {PARTS_LIMIT} parts")

    def unpack(self, size: int, packed: int) -> None:
        """Take on a part of `size` bytes that `packed` bytes unpack to. Raises BombError."""
        self.check(size, packed)
        self.charge(size)

    def check(self, size: int, packed: int) -> None:
        """See whether a part may have `size` bytes where it is packed in `packed`. Raises BombError."""
        if size > PART_LIMIT:
            raise BombError(f"a part of it unpacks to more than {PART_LIMIT} bytes")
        if size > RATIO_FREE and size > packed * RATIO_LIMIT:
            raise BombError(f"a part of it unpacks to more than {RATIO_LIMIT} times its size")

    def charge(self, size: int) -> None:
        """Take on `size` bytes more. Raises BombError."""
        self._bytes -= size
        if self._bytes < 0:
            raise BombError(f"it unpacks to more than {UNPACKED_LIMIT} bytes")


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Who is looked for, and how far one may go into what is nested in a file."""

    identifiers: Sequence[Identifier]
    detect: Detector
    budget: Budget = field(default_factory=Budget)
    name: bytes = b""
    """What the file or part that is looked into is called."""
    depth: int = 0
    places: frozenset[str] = frozenset()
    """Locators, as a search of the same content gave them, of records that go whatever they carry."""
    possible: Sequence[Identifier] = ()
    """Identifiers that count at `places` alone, where a locator is of no record but of a part of the file."""
    apart: bool = False
    """Whether records are told one by one also where there are no others, and nothing goes as a whole."""
    noted: list[str] | None = None
    """Takes what the records at `places` say, where somebody wants to read it."""

    def into(self, name: bytes, data: Data, told: str) -> Findings:
        """Return what must go of a part of the file, by its own format.

        The locators of the file are those of the part behind `told`. Raises UnsearchableError.
        """
        if self.depth == NESTING_LIMIT:
            raise UnsearchableError(f"it is nested deeper than {NESTING_LIMIT} levels")
        return self.detect(name, data).find(data, replace(self.within(told), name=name, depth=self.depth + 1))

    def within(self, told: str) -> "Inquiry":
        """The same for a part whose locators stand behind `told`."""
        if not self.places:
            return self
        inner = (place.removeprefix(told) for place in self.places if place.startswith(told))
        return replace(self, places=frozenset(inner))

    def note(self, *texts: str) -> None:
        """Have what a record at one of the places says; of a long text the passages with a possible form."""
        if self.noted is not None:
            for text in texts:
                self.noted.extend([text] if len(text) <= _PASSAGE else self._passages(text))

    def _passages(self, text: str) -> Iterator[str]:
        for start in range(0, len(text), _PASSAGE // 2):
            passage = text[start : start + _PASSAGE]
            if carries(self.possible, passage):
                yield f"… {passage} …"

    def known_at(self, place: str) -> Sequence[Identifier]:
        """The identifiers that count where the locator is `place`."""
        return [*self.identifiers, *self.possible] if place in self.places else self.identifiers

    def again(self) -> "Inquiry":
        """The same from here on, as if nothing had been unpacked yet."""
        return replace(self, budget=Budget())


def require_few(found: int) -> None:
    """Raise UnsearchableError for more records than MATCHES_LIMIT."""
    if found > MATCHES_LIMIT:
        raise UnsearchableError(f"more than {MATCHES_LIMIT} records in it are found")


def is_gone(place: str, locators: Set[str]) -> bool:
    """Whether the record at `place` goes where those at `locators` do: it is one of them, or in one."""
    parts = place.split(": ")
    around = [": ".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    whole = [f"{part}: {word}" for part in around[:-1] for word in _WHOLE]
    above = (place[:end] for end, sign in enumerate(place) if sign == "/")
    return any(each in locators for each in (*_WHOLE, *around, *whole, *above))


def is_shortened(locator: str) -> bool:
    """Whether a locator is one of those of which only a digest tells the rest."""
    return len(locator) > _LOCATOR_LIMIT


def shortened(locator: str) -> str:
    """A locator of bounded length; a digest keeps long ones apart."""
    if len(locator) <= _LOCATOR_LIMIT:
        return locator
    raw = locator.encode("utf-8", "surrogatepass")
    return f"{locator[:_LOCATOR_LIMIT]}…{hashlib.blake2b(raw, digest_size=_DIGEST_SIZE).hexdigest()}"


def cut(
    name: str,
    data: Data,
    matches: Sequence[Match],
    unsearched: Sequence[str] = (),
    following: Sequence[Edit] = (),
) -> Findings:
    """The findings of a format whose records are spans of the file's own bytes.

    `matches` and then the edits `following` from them ascend and do not overlap. What goes along with a match
    has no locator.
    """
    locators = [match.locator for match in matches if match.locator]
    edits = [*(Edit(match.start, match.end) for match in matches), *following]
    return Findings(name, locators, lambda: edited(data, edits), unsearched=unsearched)


def edited(data: Data, edits: Sequence[Edit]) -> Iterator[bytes]:
    """The data with edits made that ascend and do not overlap."""
    position = 0
    for edit in edits:
        yield from span(data, position, edit.start)
        yield edit.new
        position = edit.end
    yield from span(data, position, len(data))


def whole_file(name: str, locator: str) -> Findings:
    """The findings in a file that is about the person as a whole."""
    return Findings(name, [locator], lambda: (), whole=True)


def span(data: Data, start: int, end: int) -> Iterator[bytes]:
    """The bytes of `data` from `start` to `end`, in pieces."""
    for position in range(start, end, _PIECE):
        yield data[position : min(position + _PIECE, end)]


def is_zero(data: Data, start: int) -> bool:
    """Whether there is nothing but zero bytes from `start` on."""
    return not any(any(piece) for piece in span(data, start, len(data)))
