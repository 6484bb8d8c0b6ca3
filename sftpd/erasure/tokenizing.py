"""Every token that a file could be asked for: formats are asked for somebody who notes what they are shown.

A format shows each text to each identifier it looks for. One that is no identifier, finds itself nowhere and
keeps the tokens of all it is shown, so gets those of the whole file, whatever is nested in it.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial

from sftpd.erasure.formats.csv import Csv
from sftpd.erasure.formats.decoding import beginning, decode, may_be_in
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Data, Findings, Format, Inquiry, UnsearchableError, cut
from sftpd.erasure.identifiers import Identifier, fold
from sftpd.erasure.tokens import (
    LIMIT,
    SIZE,
    entries_in,
    fields,
    labels_numbers,
    names_numbers,
    number_entries,
    tokens,
)

_BATCH = 50_000
_ROOM, _OVERHEAD = 64 << 20, 64
"""Characters of fields that are remembered so as not to look at them twice, and what each counts besides."""
_DELIMITERS = ",;\t|"
_LINE_END = r"\r?\n|\Z"
_FIRST_RECORD = re.compile(r'(?:[^"\n]|"[^"]*+")*+\n')
_COLUMNS_LIMIT = 50
_TELLING = re.compile("[@0-9]")


class Collector:
    """Keeps the tokens of what it is shown, each once a batch; `write` takes them, packed."""

    def __init__(self, key: bytes, write: Callable[[bytes], object]) -> None:
        self.written = 0
        """Tokens that were written."""
        self._key = key
        self._write = write
        self._entries: set[str] = set()
        self._seen: set[str] = set()
        self._room = _ROOM
        self.any = Identifier("any", "", self._shown, self._shown_raw)
        """Stands for every identifier there is."""

    def inquiry(self, name: bytes) -> Inquiry:
        """What a format is asked for of a file called `name`."""
        return Inquiry([self.any], self.detect, name=name)

    def detect(self, name: bytes, data: Data) -> Format:
        """As `formats.detect`, but that CSV is not taken apart where its columns need not be known."""
        form = detect(name, data)
        return _Columns(self) if isinstance(form, Csv) else form

    def take_fields(self, data: Data) -> None:
        """Take text whose fields are parted as in CSV, and what they stand under is known to not matter."""
        # Without a quote no field has a line end in it.
        shown = partial(self._shown_fields, data.find(b'"') < 0)
        may_be_in(data, [Identifier("any", "", self._shown, shown)])

    def take_numbers(self, texts: set[str], label: str) -> None:
        """Take texts under a label that tells of numbers."""
        folded = fold(label)
        for text in texts:
            self._keep(number_entries(fold(text), folded))

    def flush(self) -> None:
        """Write what is not written yet. Raises UnsearchableError above LIMIT."""
        packed = tokens(self._entries, self._key)
        self._entries.clear()
        self.written += len(packed) // SIZE
        if self.written > LIMIT:
            raise UnsearchableError(f"it has more than {LIMIT} tokens")
        self._write(packed)

    def _shown(self, text: str, label: str) -> bool:
        tells = _tells(text)
        if tells:
            self._keep(entries_in(text))
        if (tells and names_numbers(text)) or _labels(label, digits=tells):
            self._keep(number_entries(text, label))
        return False

    def _shown_raw(self, text: str) -> bool:
        """Take a text of any structure; whether that must be known depends on words for numbers in it."""
        self._keep(entries_in(self._unseen(fields(text))))
        return names_numbers(text)

    def _shown_fields(self, lines: bool, text: str) -> bool:
        unseen = self._unseen(fields(text, lines=lines))
        self._keep(entries_in(unseen))
        if names_numbers(unseen):
            self._keep(number_entries(unseen))
        return False

    def _unseen(self, shown: set[str]) -> str:
        """The fields that were not shown of late, as one text."""
        new = shown - self._seen
        text = ";".join(new)
        self._room -= len(text) + _OVERHEAD * len(new)
        if self._room < 0:
            self._seen.clear()
            self._room = _ROOM
        else:
            self._seen |= new
        return text

    def _keep(self, entries: set[str]) -> None:
        self._entries.update(entries)
        if len(self._entries) >= _BATCH:
            self.flush()


def _tells(text: str) -> bool:
    """Whether a text may have an entry: each has a digit, or is an address."""
    return _TELLING.search(text) is not None or not text.isascii()


@lru_cache(1000)
def _labels(label: str, *, digits: bool) -> bool:
    """Whether a label may make a number of what it stands over, which has digits, or has one itself."""
    return names_numbers(label) and (digits or _tells(label))


class _Columns:
    """CSV of which only the columns are taken apart that are of customer or employee numbers."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def find(self, data: Data, _inquiry: Inquiry) -> Findings:
        """Find nobody, and have the tokens collected."""
        self._collector.take_fields(data)
        if _may_label_numbers(beginning(data)):
            lines = "\n" + decode(data).text
            for label, column in _columns(lines):
                found = column.finditer(lines)
                self._collector.take_numbers({match[1] or match[2] or "" for match in found}, label)
        return cut("csv", data, [])


def _may_label_numbers(start: str) -> bool:
    """Whether the first record of what begins so may have a label of numbers."""
    # What is not ASCII may have been read in another encoding than its own.
    return names_numbers(fold(start)) or not start.isascii() or _FIRST_RECORD.match(start) is None


def _columns(lines: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """The labels of columns of numbers, and what finds the fields under each, however the text is parted.

    `lines` are the text with a line end before it. A record begins after a line end, but not every line
    begins a record: of one that does not, whatever stands in that place is taken too.
    """
    count = 0
    for delimiter in _DELIMITERS:
        content = rf'"([^"]*+(?:""[^"]*+)*+)"|([^"{delimiter}\r\n]*+)'
        field = re.compile(rf"(?:{content})([{delimiter}]|{_LINE_END})")
        skipped = rf'(?:(?:"[^"]*+(?:""[^"]*+)*+"|[^"{delimiter}\r\n]*+)[{delimiter}])'
        position, number = 1, 0
        while (found := field.match(lines, position)) is not None:
            label = found[1].replace('""', '"') if found[2] is None else found[2]
            if labels_numbers(fold(label)):
                count += 1
                if count > _COLUMNS_LIMIT:
                    raise UnsearchableError(f"more than {_COLUMNS_LIMIT} columns of it are numbers of people")
                line = rf"\n(?={skipped}{{{number}}}(?:{content})(?:[{delimiter}]|{_LINE_END}))"
                yield label, re.compile(line)
            position, number = found.end(), number + 1
            if found[3] != delimiter:
                break
