"""Texts of any length, read some lines at a time."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from sftpd.erasure.formats.decoding import Decoded, Traces, width
from sftpd.erasure.formats.model import Data, UnsearchableError, span

FILE_LIMIT = 16 << 30
"""Bytes of a file that is read so; a reader with a processor to itself gets through them in its time."""
LINE_LIMIT = 16 << 20
"""Bytes of a line, or of a record of more than one; it is in memory a few times over."""
LINE = "line"
"""What locators call a line."""
_STRETCH = 1 << 16
"""Characters that are looked at together before the records in them are told apart."""
_BATCH = 64
"""Records that are looked at together before each of them is."""
_RECORD = re.compile(r'(?:[^"\n]++|"[^"]*+")*+(?:\n|\Z)')
"""A record, whatever its delimiter, where every quote is closed."""


def require_size(data: Data) -> None:
    """Raise UnsearchableError above FILE_LIMIT."""
    if len(data) > FILE_LIMIT:
        raise UnsearchableError(f"it has {len(data)} bytes, more than the {FILE_LIMIT} that are searched")


def lines(data: Data, traces: Traces) -> Iterator[Decoded]:
    """Whole lines, as many at a time as a piece of the file holds; a line ends with a line feed.

    Raises UnsearchableError above FILE_LIMIT, and for a line above LINE_LIMIT.
    """
    require_size(data)
    line_feed = "\n".encode(traces.encoding)
    start = position = traces.start
    begun: list[bytes] = []
    for piece in span(data, start, len(data)):
        end = _after_last(line_feed, piece, position - traces.start)
        position += len(piece)
        if not end:
            begun.append(piece)
            if position - start > LINE_LIMIT:
                raise UnsearchableError(f"a line of it has more than {LINE_LIMIT} bytes")
            continue
        raw = b"".join((*begun, piece[:end]))
        yield Decoded(raw.decode(traces.encoding), traces.encoding, start)
        start += len(raw)
        begun = [piece[end:]]
    if rest := b"".join(begun):
        yield Decoded(rest.decode(traces.encoding), traces.encoding, start)


def _after_last(line_feed: bytes, piece: bytes, offset: int) -> int:
    """Where the last line of a piece ends that ends in it, 0 where none does; `offset` is that of the piece.

    A line feed of several bytes is one only where a character begins.
    """
    found = piece.rfind(line_feed)
    while found >= 0 and (offset + found) % len(line_feed):
        found = piece.rfind(line_feed, 0, found + len(line_feed) - 1)
    return found + len(line_feed) if found >= 0 else 0


def placed(parts: Iterator[Decoded], end: int) -> Iterator[tuple[Decoded, int]]:
    """Each part and where it ends, in bytes: where the next begins, the last at `end`."""
    before = next(parts, None)
    if before is None:
        return
    for part in parts:
        yield before, part.start
        before = part
    yield before, end


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each line starts and ends, its line feed included."""
    start = 0
    for line in text.split("\n"):
        end = min(start + len(line) + 1, len(text))
        if end > start:
            yield start, end
        start = end


def each_record(text: str) -> Iterator[tuple[int, int]]:
    """Where each record starts and ends in a text whose quotes are all closed: what they hold ends none."""
    if '"' not in text:
        return spans(text)
    return (record.span() for record in _RECORD.finditer(text) if record[0])


def likely(
    text: str,
    first: int,
    may_carry: Callable[[str], bool],
    also: frozenset[int] = frozenset(),
    *,
    quoting: bool = False,
) -> Iterator[tuple[int, int, int]]:
    """The number, start and end of each record that may carry a person, or is in `also`.

    `first` is the number of the first. Records are lines, or what `each_record` says where quotes count.
    """
    for begin, stop in _stretches(text, quoting=quoting):
        stretch = text[begin:stop]
        count = _line_feeds(stretch, quoting=quoting)
        if not also.isdisjoint(range(first, first + count + 1)) or may_carry(stretch):
            places = each_record(stretch) if quoting else spans(stretch)
            for number, start, end in _likely_among(stretch, places, first, may_carry, also):
                yield number, begin + start, begin + end
        first += count


def _likely_among(
    text: str,
    places: Iterator[tuple[int, int]],
    first: int,
    may_carry: Callable[[str], bool],
    also: frozenset[int],
) -> Iterator[tuple[int, int, int]]:
    while batch := list(islice(places, _BATCH)):
        told = not also.isdisjoint(range(first, first + len(batch)))
        if told or may_carry(text[batch[0][0] : batch[-1][1]]):
            for number, (start, end) in enumerate(batch, first):
                if number in also or may_carry(text[start:end]):
                    yield number, start, end
        first += len(batch)


def _stretches(text: str, *, quoting: bool) -> Iterator[tuple[int, int]]:
    """Where stretches of whole records start and end."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + _STRETCH)
        quotes = text.count('"', start, end) if quoting and end >= 0 else 0
        while quotes % 2:
            quote = text.find('"', end)
            end = text.find("\n", quote) if quote >= 0 else -1
            quotes = text.count('"', quote + 1, end) if end >= 0 else 0
        end = end + 1 or len(text)
        yield start, end
        start = end


def _line_feeds(text: str, *, quoting: bool) -> int:
    """How many line feeds end a record."""
    if quoting and '"' in text:
        text = "".join(text.split('"')[::2])
    return text.count("\n")


def numbers_at(places: Iterable[str], word: str) -> frozenset[int]:
    """The numbers of the records that locators tell by `word` and a number."""
    told = (place.removeprefix(f"{word} ") for place in places if place.startswith(f"{word} "))
    return frozenset(int(number) for number in told if number.isdecimal())


def records(parts: Iterator[Decoded]) -> Iterator[Decoded]:
    """Whole records from whole lines, some at a time, where a line feed between quotes ends no record.

    A quote counts wherever it stands. Raises UnsearchableError for a record above LINE_LIMIT.
    """
    begun: Decoded | None = None
    for part in parts:
        text = part.text if begun is None else begun.text + part.text
        start = part.start if begun is None else begun.start
        end = _after_last_record(text)
        if end < len(text) and len(text) - end > LINE_LIMIT:
            raise UnsearchableError(f"a quote is out of place, or a record has more than {LINE_LIMIT} bytes")
        whole, left = text[:end], text[end:]
        if whole:
            yield Decoded(whole, part.encoding, start)
        begun = Decoded(left, part.encoding, start + width(whole, part.encoding)) if left else None
    if begun is not None:
        yield begun


def _after_last_record(text: str) -> int:
    """Where the last whole record ends of lines of which the first begins a record."""
    if text.count('"') % 2 == 0:
        return len(text)
    opening = text.rfind('"')
    while opening >= 0:
        closing = text.rfind('"', 0, opening)
        line_feed = text.rfind("\n", closing + 1, opening)
        if line_feed >= 0:
            return line_feed + 1
        opening = text.rfind('"', 0, closing) if closing >= 0 else -1
    return 0
