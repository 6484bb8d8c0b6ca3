"""A strict JSON reader (RFC 8259) that says of each token where it stands."""

import json
import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from sftpd.erasure.formats.json_passing import DEPTH, Passes, Passing, Place, Run, glance
from sftpd.erasure.formats.model import Data, UnsearchableError, span

DEPTH_LIMIT = 512
TEXT_LIMIT = 64 << 20
"""Bytes of a string; it is in memory a few times over."""

_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
"""An escape in a string: the code of a character, or the character."""
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_TOKEN = re.compile(
    rb"[ \t\r\n]*+(?:"
    rb'(?P<string>"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+")'
    rb"|(?P<scalar>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null)"
    rb"|(?P<mark>[\[\]{},:])"
    rb"|(?P<end>\Z))"
)
_CONTINUING = bytes(range(0x80, 0xC0))
"""What begins no character of UTF-8."""


def unescaped(text: str) -> str:
    """A text with all escapes in it decoded, whatever its structure; two of them may make one character."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(_unescape, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unescape(found: re.Match[str]) -> str:
    code, character = found.groups()
    return chr(int(code, 16)) if code else _CONTROLS.get(character, str(character))


def documents(text: str) -> bool:
    """Whether each line of `text` that is not empty is a document; False does not say that one is not."""
    lines = [line for line in text.encode().split(b"\n") if line and line != b"\r"]
    if any(line.count(b"[") + line.count(b"{") > DEPTH_LIMIT for line in lines if len(line) > DEPTH_LIMIT):
        return False
    try:
        for line in lines:
            glance(line)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def check(text: str) -> None:
    """Read the one document that a line is. Raises UnsearchableError where it is none."""
    if not documents(text.removesuffix("\n")):
        for _ in tokens(text.encode()):
            pass


class Kind(Enum):
    """What a token is."""

    BEGIN_ARRAY = auto()
    BEGIN_OBJECT = auto()
    END = auto()
    KEY = auto()
    SCALAR = auto()
    PASSED = auto()
    """An array or object that is passed over."""
    RUN = auto()
    """Several elements, or members, that are passed over."""


class Token(NamedTuple):
    """A token, its span of bytes, what a key or scalar says, escapes decoded, and how long a run is."""

    kind: Kind
    start: int
    end: int
    value: str = ""
    values: int = 0


class _Expected(Enum):
    VALUE = auto()
    FIRST_VALUE = auto()
    KEY = auto()
    FIRST_KEY = auto()
    COLON = auto()
    COMMA = auto()
    NOTHING = auto()


_OPENS = {
    "[": (Kind.BEGIN_ARRAY, _Expected.FIRST_VALUE, "]"),
    "{": (Kind.BEGIN_OBJECT, _Expected.FIRST_KEY, "}"),
}
_MAY_CLOSE = {_Expected.COMMA: "]}", _Expected.FIRST_VALUE: "]", _Expected.FIRST_KEY: "}"}
_TAKES_VALUE = (_Expected.VALUE, _Expected.FIRST_VALUE)
_TAKES_KEY = (_Expected.KEY, _Expected.FIRST_KEY)


def tokens(
    data: Data, start: int = 0, encoding: str = "utf-8", passes: Passes | None = None
) -> Iterator[Token]:
    """Yield the tokens of the one document in `data` from `start` on, but for those that `passes` lets pass.

    Of `encoding` is asked that ASCII is ASCII in it. Raises UnsearchableError where it is not JSON, is nested
    deeper than DEPTH_LIMIT or has a text above TEXT_LIMIT.
    """
    reader = _Reader(encoding)
    passing = None if passes is None else Passing(data, passes)
    position = start
    while position < len(data) or not reader.complete:
        if passing is not None and (place := reader.place) is not None:
            if (run := passing.run(position, place)) is not None:
                position = run.following
                yield reader.take_run(run)
                continue
            if (one := passing.one(position, place)) is not None:
                position = one[1]
                yield reader.take_passed(*one)
                continue
        found = _TOKEN.match(data, position)
        if found is None or found.lastgroup is None or not reader.accepts(found.lastgroup, found):
            read = _characters(data, start, position, encoding)
            raise UnsearchableError(f"it is not JSON at character {read + 1}")
        position = found.end()
        if reader.token is not None:
            yield reader.token


def _characters(data: Data, start: int, end: int, encoding: str) -> int:
    """How many characters there are in a span of bytes."""
    continuing = _CONTINUING if encoding == "utf-8" else b""
    return sum(len(piece.translate(None, continuing)) for piece in span(data, start, end))


class _Reader:
    """The grammar: what may come next, and which containers are open."""

    def __init__(self, encoding: str) -> None:
        self.token: Token | None = None
        self._encoding = encoding
        self._expected = _Expected.VALUE
        self._closers: list[str] = []

    @property
    def complete(self) -> bool:
        return self._expected is _Expected.NOTHING

    @property
    def place(self) -> Place | None:
        """What may come next, where something may be passed over."""
        if not self._closers or len(self._closers) + DEPTH > DEPTH_LIMIT:
            return None
        if self._expected in _TAKES_KEY:
            return Place.MEMBER
        if self._expected not in _TAKES_VALUE:
            return None
        return Place.ELEMENT if self._closers[-1] == "]" else Place.VALUE

    def take_run(self, run: Run) -> Token:
        """Take several values, and the comma behind them."""
        self._expected = _Expected.VALUE if self._closers[-1] == "]" else _Expected.KEY
        return Token(Kind.RUN, run.start, run.end, values=run.values)

    def take_passed(self, start: int, end: int) -> Token:
        """Take one value."""
        self._value_done()
        return Token(Kind.PASSED, start, end)

    def accepts(self, group: str, found: re.Match[bytes]) -> bool:
        """Take one token; `token` then holds it unless it is a mere separator."""
        self.token = None
        start, end = found.span(group)
        if group == "end":
            return self.complete
        if end - start > TEXT_LIMIT:
            raise UnsearchableError(f"a text in it has more than {TEXT_LIMIT} bytes")
        raw = found.group(group).decode(self._encoding)
        if group == "mark":
            return self._mark(raw, start, end)
        value = _decoded(raw) if group == "string" else raw
        if group == "string" and self._expected in _TAKES_KEY:
            self.token, self._expected = Token(Kind.KEY, start, end, value), _Expected.COLON
            return True
        if self._expected not in _TAKES_VALUE:
            return False
        self.token = Token(Kind.SCALAR, start, end, value)
        self._value_done()
        return True

    def _mark(self, mark: str, start: int, end: int) -> bool:
        if mark in _OPENS and self._expected in _TAKES_VALUE:
            return self._open(mark, start, end)
        if self._closers and mark == self._closers[-1] and mark in _MAY_CLOSE.get(self._expected, ""):
            self._closers.pop()
            self.token = Token(Kind.END, start, end)
            self._value_done()
            return True
        if mark == ":" and self._expected is _Expected.COLON:
            self._expected = _Expected.VALUE
            return True
        if mark == "," and self._expected is _Expected.COMMA:
            self._expected = _Expected.VALUE if self._closers[-1] == "]" else _Expected.KEY
            return True
        return False

    def _open(self, mark: str, start: int, end: int) -> bool:
        if len(self._closers) == DEPTH_LIMIT:
            raise UnsearchableError(f"it is nested deeper than {DEPTH_LIMIT} levels")
        kind, self._expected, closer = _OPENS[mark]
        self._closers.append(closer)
        self.token = Token(kind, start, end)
        return True

    def _value_done(self) -> None:
        self._expected = _Expected.COMMA if self._closers else _Expected.NOTHING


def _decoded(raw: str) -> str:
    return str(json.loads(raw)) if "\\" in raw else raw[1:-1]
