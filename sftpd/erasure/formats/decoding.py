"""From bytes to text and from spans of the text back to spans of the bytes."""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sftpd.erasure.formats.model import Data, Match, UnsearchableError, span
from sftpd.erasure.identifiers import Identifier, fold

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
TEXT_LIMIT = 256 << 20
"""Bytes; a longer text is not read into memory."""

_BEGINNING = 8192
_OVERLAP = 8192
"""Characters that are looked at again with those that follow: more than an identifier has."""
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
"""What letters stand for where they are escaped."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text, and what is needed to find a place in it back among the bytes."""

    text: str
    encoding: str
    mark: int
    """The length of the byte order mark, in bytes."""

    def in_bytes(self, matches: Iterable[Match]) -> Iterator[Match]:
        """Turn matches over characters, ascending and without overlap, into matches over bytes."""
        character, byte = 0, self.mark
        for match in matches:
            start = byte + self._width(character, match.start)
            character, byte = match.end, start + self._width(match.start, match.end)
            yield match._replace(start=start, end=byte)

    def _width(self, start: int, end: int) -> int:
        return end - start if self.encoding == "cp1252" else len(self.text[start:end].encode(self.encoding))


def decode(data: Data) -> Decoded:
    """Read bytes as UTF-8 or UTF-16 where a mark says so, else as UTF-8, else as Windows-1252.

    Raises UnsearchableError for what is in none of them or holds control characters, as binary files do, and
    above TEXT_LIMIT.
    """
    if len(data) > TEXT_LIMIT:
        raise UnsearchableError(f"it has {len(data)} bytes, more than the {TEXT_LIMIT} that are searched")
    mark, encodings = _mark(data)
    for encoding in encodings:
        try:
            text = data[len(mark) :].decode(encoding)
        except UnicodeDecodeError:
            continue
        if _CONTROL.search(text):
            raise UnsearchableError("it holds control characters, as binary files do")
        return Decoded(text, encoding, len(mark))
    raise UnsearchableError(f"it is not text in {' or '.join(encodings)}")


def may_be_in(data: Data, identifiers: Sequence[Identifier], escaped: re.Pattern[str] | None = None) -> bool:
    """Whether text, whatever its structure, may carry an identifier; False is certain.

    It is read piece by piece, so its length does not matter. `escaped` matches what stands for a character:
    the first group is its code in hexadecimal, or the second the character. Raises UnsearchableError as
    `decode` does, but for the length.
    """
    mark, encodings = _mark(data)
    for encoding in encodings:
        try:
            return _may_be_in(_texts(data, len(mark), encoding), identifiers, escaped)
        except UnicodeDecodeError:
            continue
    raise UnsearchableError(f"it is not text in {' or '.join(encodings)}")


def _may_be_in(
    texts: Iterator[str], identifiers: Sequence[Identifier], escaped: re.Pattern[str] | None
) -> bool:
    """Read to the end in any case, since only there it is certain what the encoding is."""
    found = False
    before = ""
    for text in texts:
        if _CONTROL.search(text):
            raise UnsearchableError("it holds control characters, as binary files do")
        if not found:
            raw = before + text
            before = raw[-_OVERLAP:]
            folded = fold(_plain(raw, escaped))
            found = any(identifier.may_be_in(folded) for identifier in identifiers)
    return found


def _texts(data: Data, start: int, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for piece in span(data, start, len(data)):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def _plain(raw: str, escaped: re.Pattern[str] | None) -> str:
    """The text with its escapes decoded; two of them may make one character."""
    if escaped is None:
        return raw
    return escaped.sub(_unescaped, raw).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unescaped(found: re.Match[str]) -> str:
    code, character = found.groups()
    return chr(int(code, 16)) if code else _CONTROLS.get(character, character)


def beginning(data: Data) -> str:
    """The first characters of what may be text, without white space before them."""
    mark, encodings = _mark(data)
    return data[len(mark) : _BEGINNING].decode(encodings[-1], "replace").lstrip()


def _mark(data: Data) -> tuple[bytes, tuple[str, ...]]:
    """The byte order mark that a text begins with, and the encodings that it may be in."""
    start = data[:4]
    return next(
        ((mark, (encoding,)) for mark, encoding in _MARKS if start.startswith(mark)),
        (b"", ("utf-8", "cp1252")),
    )
