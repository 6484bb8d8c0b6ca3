"""Every token that a file could be asked for: formats are asked for somebody who notes what they are shown.

A format shows each text to each identifier it looks for. One that is no identifier, finds itself nowhere and
keeps the tokens of all it is shown, so gets those of the whole file, whatever is nested in it.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import replace
from functools import lru_cache

from sftpd.erasure.columns import Columns
from sftpd.erasure.elements import Elements
from sftpd.erasure.entries import (
    entries_in,
    entries_of,
    labelled_entries,
    labels_numbers,
    number_entries,
)
from sftpd.erasure.formats.csv import Csv
from sftpd.erasure.formats.decoding import folded_all
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.fixed_width import FixedLines
from sftpd.erasure.formats.json import Json
from sftpd.erasure.formats.model import Data, Findings, Format, Inquiry, UnsearchableError
from sftpd.erasure.formats.ndjson import Ndjson
from sftpd.erasure.formats.xlsx import Xlsx
from sftpd.erasure.formats.xml import Xml
from sftpd.erasure.formats.zip import Zip
from sftpd.erasure.identifiers import Identifier, carries, fold, names_of, readings, telling
from sftpd.erasure.layouts import Layout, kinds_by_label
from sftpd.erasure.members import Members
from sftpd.erasure.number_words import APART, keyed, lines_that_name_numbers, names_numbers
from sftpd.erasure.revealing import revealed
from sftpd.erasure.sheets import Sheets
from sftpd.erasure.tokens import LIMIT, SIZE, tokens

_BATCH = 50_000
_AT_ONCE, _OVERLAP = 1 << 16, 1024
"""Characters of a text that are looked at together, as a processor keeps them at hand, and those twice."""
_TELLING = re.compile("[@0-9]")


class Collector:
    """Keeps the tokens of what it is shown, each once a batch; `write` takes them, packed."""

    def __init__(self, key: bytes, write: Callable[[bytes], object], layouts: Sequence[Layout] = ()) -> None:
        """`key` has 16 to 64 bytes; `layouts` are told of files by hand."""
        self.written = 0
        """Tokens that were written."""
        self._key = key
        self._write = write
        self._layouts = layouts
        self._kinds = {fold(label): kind for label, kind in kinds_by_label(layouts).items()}
        self._entries: set[str] = set()
        self._members = Members(self)
        self.any = Identifier("any", "", self._shown, self._shown_raw)
        """Stands for every identifier there is."""

    def inquiry(self, name: bytes) -> Inquiry:
        """What a format is asked for of a file called `name`."""
        return Inquiry([self.any], self.detect, name=name)

    def detect(self, name: bytes, data: Data) -> Format:
        """As `formats.detect`, but that CSV is not taken apart where its columns need not be known."""
        form = detect(name, data, self._layouts)
        if isinstance(form, FixedLines):
            return _Lines(form, Identifier("any", "", self._shown, lambda _text: True))
        if isinstance(form, Csv):
            return Columns(self)
        if isinstance(form, Xml):
            return Elements(self)
        if isinstance(form, Zip):
            return Zip(Xlsx(Sheets(self)))
        if isinstance(form, Json):
            return Json(self._members.take)
        return Ndjson(self._members.take_lines) if isinstance(form, Ndjson) else form

    def labels_of(self, label: str) -> list[str]:
        """What a folded label stands for that tells of numbers: itself, or a word for what is told of it."""
        kinds = {self._kinds[name] for name in names_of(label) if name in self._kinds}
        return [*([label] if labels_numbers(label) else []), *map(telling, kinds)]

    def take_fields(self, fields: Set[str]) -> None:
        """Take folded texts, as they stand and as they are seen, whatever they stand under."""
        seen = revealed("\n".join(fields))
        self._keep(entries_of(fields if seen is None else fields | {fold(seen)}))

    def tells(self, text: str) -> bool:
        """Whether a folded text or label may tell of numbers; False is certain."""
        return names_numbers(text) or any(word in text for word in self._kinds)

    def telling_lines(self, text: str) -> Iterator[str]:
        """The lines of a folded text that may."""
        return lines_that_name_numbers(text, tuple(self._kinds))

    def take_name(self, name: str) -> None:
        """Take the name of a member or element by itself."""
        carries([self.any], name)

    def take_numbers(self, texts: Collection[str], label: str) -> None:
        """Take texts under a folded label that tells of numbers."""
        told = folded_all(texts)
        if revealed("\n".join(told)) is not None:
            told = {each for text in told for each in readings(text)}
        self._keep(labelled_entries(told, label))

    def flush(self) -> None:
        """Write what is not written yet. Raises UnsearchableError above LIMIT."""
        self._members.flush()
        self._write_out()

    def _write_out(self) -> None:
        packed = tokens(self._entries, self._key)
        self._entries.clear()
        self.written += len(packed) // SIZE
        if self.written > LIMIT:
            raise UnsearchableError(f"it has more than {LIMIT} tokens")
        self._write(packed)

    def _shown(self, text: str, label: str) -> bool:
        if label == APART:
            self._keep(keyed(text.split("\n")))
            return False
        tells = _tells(text)
        if tells:
            self._keep(entries_in(text))
        if (tells and names_numbers(text)) or _labels(label, digits=tells):
            self._keep(number_entries(text, label))
        if tells and self._kinds:
            for told in self.labels_of(label):
                self._keep(number_entries(text, told))
        return False

    def _shown_raw(self, text: str) -> bool:
        """Take a text of any structure; whether that must be known depends on words for numbers in it."""
        for start in range(0, len(text), _AT_ONCE):
            self._keep(entries_in(text[start : start + _AT_ONCE + _OVERLAP]))
        return self.tells(text)

    def _keep(self, entries: set[str]) -> None:
        self._entries.update(entries)
        if len(self._entries) >= _BATCH:
            self._write_out()


class _Lines:
    """Lines of which all are taken apart: their text does not tell what they stand under."""

    def __init__(self, form: FixedLines, anybody: Identifier) -> None:
        self._form = form
        self._anybody = anybody

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Find nobody, and have the tokens kept."""
        return self._form.find(data, replace(inquiry, identifiers=[self._anybody]))


def _tells(text: str) -> bool:
    """Whether a text may have an entry: each has a digit, or is an address."""
    return _TELLING.search(text) is not None or not text.isascii()


@lru_cache(1000)
def _labels(label: str, *, digits: bool) -> bool:
    """Whether a label may make a number of what it stands over, which has digits, or has one itself."""
    return (names_numbers(label) or labels_numbers(label)) and (digits or _tells(label))
