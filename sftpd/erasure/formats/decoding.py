"""From bytes to text, at once or in pieces, and from spans of the text back to spans of the bytes."""

import codecs
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from sftpd.erasure.formats.model import Data, Inquiry, Match, UnsearchableError, span
from sftpd.erasure.identifiers import Identifier, fold
from sftpd.erasure.revealing import quick_bytes, revealed

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
TEXT_LIMIT = 256 << 20
"""Bytes; a longer text is not read into memory as a whole."""

Plain = Callable[[str], str]
"""Decodes what stands for other characters in a text, such as escapes, whatever its structure."""

_BEGINNINGS = ("JVBERi0", "UEsDB", "0M8R4KG", "H4sI", "PD94bWw", "PCFET0NUWVBF", "PGh0bWw", "e1xydGY")
"""Of documents in Base64: PDF, ZIP and office documents, GZIP, XML, HTML and RTF."""
_DOCUMENT = re.compile(rf"(?<![\w+/])(?:{'|'.join(_BEGINNINGS)})(?:[\w+/-]|\\[/nr]|[\r\n]){{200}}")
_RUN = b"a" * 200
_AS_RUN = bytes(
    ord("a") if byte > 0x7F or chr(byte).isalnum() or byte in b"_+/-\\\r\n" else ord(" ")
    for byte in range(256)
)
"""What may be in such a document becomes an `a`, whatever else it is: nowhere else are many together."""
_EMBEDDED = "a document that is embedded in it as Base64"
_BEGINNING = 64 << 10
"""Bytes by which a format is told; a message says so behind headers that many servers added."""
OVERLAP = 8192
"""Characters that are looked at again with those that follow: more than an identifier has."""
_WIDEST = 4
"""Bytes that a character takes at most."""
_LATIN_1 = [fold(chr(code)) for code in range(256)]
_FOLDS = "".join(folded if len(folded) == 1 and folded < "\u0100" else " " for folded in _LATIN_1).encode(
    "latin-1"
)
_GROWS = bytes(code for code, folded in enumerate(_LATIN_1) if len(folded) != 1 or folded >= "\u0100")
"""What folds to several characters of Latin-1, or to one that is not in it."""
_CONTROL = "".join(chr(code) for code in range(0x20) if chr(code) not in "\t\n\f\r")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text, and what is needed to find a place in it back among the bytes."""

    text: str
    encoding: str
    start: int
    """Where it begins, in bytes: after the byte order mark, or after what stands before this part."""

    def in_bytes(self, matches: Iterable[Match]) -> Iterator[Match]:
        """Turn matches over characters, ascending and without overlap, into matches over bytes."""
        character, byte = 0, self.start
        for match in matches:
            start = byte + self._width(character, match.start)
            character, byte = match.end, start + self._width(match.start, match.end)
            yield match._replace(start=start, end=byte)

    def _width(self, start: int, end: int) -> int:
        return width(self.text[start:end], self.encoding)


@dataclass(frozen=True, slots=True)
class Traces:
    """How a text is encoded, and where in it, whatever its structure, an identifier may be."""

    encoding: str
    start: int
    """Where the text begins, in bytes: after the byte order mark."""
    spans: Sequence[tuple[int, int]]
    """Of bytes, ascending and apart; it is certain that nothing outside them is the person's."""
    unsearched: Sequence[str] = ()
    """What in the text is not searched."""

    def __bool__(self) -> bool:
        return bool(self.spans)

    def touch(self, start: int, end: int) -> bool:
        """Whether an identifier may be among these bytes, or reach into them."""
        place = bisect_right(self.spans, start, key=itemgetter(1))
        return place < len(self.spans) and self.spans[place][0] < end


def width(text: str, encoding: str) -> int:
    """How many bytes a text takes."""
    if encoding == "cp1252" or (encoding == "utf-8" and text.isascii()):
        return len(text)
    return len(text.encode(encoding))


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
        _refuse_control(text)
        return Decoded(text, encoding, len(mark))
    raise _not_text(encodings)


def traces(data: Data, identifiers: Sequence[Identifier], plain: Plain = str) -> Traces:
    """Say where an identifier may be in a text.

    It is read piece by piece, so its length does not matter. Raises UnsearchableError as `decode` does, but
    for the length.
    """
    mark, encodings = _mark(data)
    for encoding in encodings:
        nothing = Traces(encoding, len(mark), ())
        try:
            spans, embeds = _spans(nothing, data, identifiers, plain)
            return replace(nothing, spans=spans, unsearched=[_EMBEDDED] if embeds else [])
        except UnicodeDecodeError:
            continue
    raise _not_text(encodings)


def where_to_look(data: Data, inquiry: Inquiry, plain: Plain = str) -> Traces:
    """As `traces`; everywhere, where records go for their places too."""
    found = traces(data, inquiry.identifiers, plain)
    return replace(found, spans=((found.start, len(data)),)) if inquiry.places else found


def may_be_in(data: Data, identifiers: Sequence[Identifier], plain: Plain = str) -> bool:
    """Whether a text may carry an identifier anywhere; False is certain. Raises as `traces` does."""
    return bool(traces(data, identifiers, plain))


def may_carry(text: str, identifiers: Sequence[Identifier], plain: Plain = str) -> bool:
    """Whether a text, such as a record, may carry an identifier; False is certain."""
    folded = _folded(plain(text))
    if any(identifier.may_be_in(folded) for identifier in identifiers):
        return True
    seen = revealed(folded)
    return seen is not None and may_carry(seen, identifiers)


def texts(data: Data, where: Traces) -> Iterator[tuple[int, str]]:
    """A text in pieces, each with the place where it ends, in bytes. Raises UnicodeDecodeError."""
    decoder = codecs.getincrementaldecoder(where.encoding)()
    position = where.start
    for piece in span(data, position, len(data)):
        position += len(piece)
        if text := decoder.decode(piece, final=position == len(data)):
            yield position, text


def _spans(
    text: Traces, data: Data, identifiers: Sequence[Identifier], plain: Plain
) -> tuple[list[tuple[int, int]], bool]:
    """Where an identifier may be, and whether the text embeds a document.

    It is read to the end in any case, since only there it is certain what the encoding is.
    """
    spans: list[tuple[int, int]] = []
    embeds = False
    before = ""
    ended = text.start
    for end, piece in texts(data, text):
        _refuse_control(piece)
        both = before + piece
        if identifiers and may_carry(both, identifiers, plain):
            start = max(text.start, ended - (OVERLAP + 1) * _WIDEST)
            if spans and spans[-1][1] >= start:
                start = spans.pop()[0]
            spans.append((start, end))
        embeds = embeds or _embeds(both)
        before, ended = both[-OVERLAP:], end
    return spans, embeds


def _embeds(text: str) -> bool:
    """Whether a text has a document in it as Base64."""
    if _RUN not in quick_bytes(text).translate(_AS_RUN):
        return False
    return any(map(text.__contains__, _BEGINNINGS)) and _DOCUMENT.search(text) is not None


def _refuse_control(text: str) -> None:
    if any(map(text.__contains__, _CONTROL)):
        raise UnsearchableError("it holds control characters, as binary files do")


def folded_at_once(text: str) -> str | None:
    """As `fold`, and faster, character by character; None where that is not the same.

    No character of Latin-1 combines with another.
    """
    if text.isascii():
        return fold(text)
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return None if any(map(raw.__contains__, _GROWS)) else raw.translate(_FOLDS).decode("latin-1")


def folded_all(texts: Collection[str]) -> set[str]:
    """Texts as `fold` makes them, and faster where there are many."""
    folded = folded_at_once("\n".join(texts))
    lines = [] if folded is None else folded.split("\n")
    return set(lines) if len(lines) == len(texts) else set(map(fold, texts))


def _folded(text: str) -> str:
    """As `fold`, at worst line by line, over the end of which it does not reach."""
    folded = folded_at_once(text)
    return "\n".join(map(fold, text.split("\n"))) if folded is None else folded


def _not_text(encodings: tuple[str, ...]) -> UnsearchableError:
    return UnsearchableError(f"it is not text in {' or '.join(encodings)}")


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
