"""From bytes to text and from spans of the text back to spans of the bytes."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sftpd.erasure.formats.model import Match, UnsearchableError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
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


def decode(data: bytes) -> Decoded:
    """Read bytes as UTF-8 or UTF-16 where a mark says so, else as UTF-8, else as Windows-1252.

    Raises UnsearchableError for what is in none of them or holds control characters, as binary files do.
    """
    mark, encodings = next(
        ((mark, (encoding,)) for mark, encoding in _MARKS if data.startswith(mark)),
        (b"", ("utf-8", "cp1252")),
    )
    for encoding in encodings:
        try:
            text = data[len(mark) :].decode(encoding)
        except UnicodeDecodeError:
            continue
        if _CONTROL.search(text):
            raise UnsearchableError("it holds control characters, as binary files do")
        return Decoded(text, encoding, len(mark))
    raise UnsearchableError(f"it is not text in {' or '.join(encodings)}")
