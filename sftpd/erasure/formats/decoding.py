"""From bytes to text and from spans of the text back to spans of the bytes."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sftpd.erasure.formats.model import Data, Match, UnsearchableError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
TEXT_LIMIT = 256 << 20
"""Bytes; a longer text is not read into memory."""

_BEGINNING = 8192
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
