"""PDF (ISO 32000): a document whose text carries the identifier goes as a whole.

Searched are the text of the pages as it would be copied, and every string of the document: properties,
remarks, form fields, links. Files attached to it are searched by their own formats. Pictures are not read.
"""

import io
import logging
from collections.abc import Iterable, Iterator
from functools import partial

import pypdf
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    IndirectObject,
    StreamObject,
    TextStringObject,
)

from sftpd.erasure.formats.html import visible
from sftpd.erasure.formats.model import Budget, Data, Findings, Inquiry, UnsearchableError, cut, whole_file
from sftpd.erasure.formats.parts import DataFile, Parts
from sftpd.erasure.formats.text import text_carries
from sftpd.erasure.identifiers import carries, fold
from sftpd.erasure.number_words import kinds_named

_PAGES_LIMIT = 20_000
_DEPTH_LIMIT = 50
_END = b"%%EOF"
_LINEARIZED = b"/Linearized"

# It tells what it met in a file, which is nobody's business.
logging.getLogger("pypdf").disabled = True


class Pdf:
    """A document."""

    name = "pdf"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the whole file or nothing. Raises UnsearchableError for what is damaged or encrypted."""
        try:
            return self._find(data, inquiry)
        except (UnsearchableError, MemoryError):
            raise
        except Exception as fault:  # whatever a library trips over in what others wrote
            raise UnsearchableError("it is a PDF that is damaged") from fault

    def _find(self, data: Data, inquiry: Inquiry) -> Findings:
        reader = pypdf.PdfReader(io.BufferedReader(DataFile(data)))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnsearchableError("it is encrypted")
        if len(reader.pages) > _PAGES_LIMIT:
            raise UnsearchableError(f"it has more than {_PAGES_LIMIT} pages")
        known = inquiry.identifiers
        if inquiry.places:
            inquiry.note(*_strings(reader), *(page.extract_text() for page in reader.pages))
            return whole_file(self.name, min(inquiry.places))
        if any(carries(known, text) for text in _strings(reader)):
            return whole_file(self.name, "properties, remarks or fields")
        unsearched: list[str] = []
        named: frozenset[str] = frozenset()
        for number, page in enumerate(reader.pages, 1):
            text = page.extract_text()
            if text_carries(known, text, named):
                return whole_file(self.name, f"page {number}")
            named |= kinds_named(fold(text))
            if not text.strip() and page.get_contents() is not None:
                unsearched.append(f"page {number}: it has no text, as pictures have")
            elif "\ufffd" in text:
                unsearched.append(f"page {number}: not all of its characters can be told")
        parts = Parts(inquiry)
        for name, attached in _attached(reader):
            if parts.look(name, partial(_content, attached)):
                return whole_file(self.name, "attachment")
        if _revisions(data) > 1:
            unsearched.append("earlier revisions that the file keeps")
        return cut(self.name, data, [], [*unsearched, *parts.unsearched])


def _content(attached: StreamObject, budget: Budget) -> bytes:
    content = attached.get_data()
    budget.charge(len(content))
    return content


def _objects(reader: pypdf.PdfReader) -> Iterator[object]:
    """Every object of the document."""
    ids = {(number, generation) for generation, table in reader.xref.items() for number in table}
    for number, generation in sorted(ids | {(number, 0) for number in reader.xref_objStm}):
        yield IndirectObject(number, generation, reader).get_object()


def _attached(reader: pypdf.PdfReader) -> Iterator[tuple[str, StreamObject]]:
    """The files attached to the document, or to a place in it, and what they are called."""
    seen: set[int] = set()
    for file in (each for value in _objects(reader) for each in _dictionaries(value, 0) if "/EF" in each):
        for content in _resolved(file["/EF"].get_object()):
            if id(content) not in seen:
                seen.add(id(content))
                yield str(file.get("/UF") or file.get("/F") or ""), content


def _dictionaries(value: object, depth: int) -> Iterator[DictionaryObject]:
    if depth > _DEPTH_LIMIT:
        raise UnsearchableError(f"it is nested deeper than {_DEPTH_LIMIT} levels")
    if isinstance(value, DictionaryObject):
        yield value
        held: Iterable[object] = dict.values(value)
    elif isinstance(value, ArrayObject):
        held = list.__iter__(value)
    else:
        return
    for each in held:
        yield from _dictionaries(each, depth + 1)


def _resolved(holder: object) -> Iterator[StreamObject]:
    """The streams that an object is, or holds."""
    held = [holder]
    if not isinstance(holder, StreamObject):
        if isinstance(holder, DictionaryObject):
            held = list(holder.values())
        elif isinstance(holder, ArrayObject):
            held = list(holder)
    for each in held:
        resolved = each.get_object() if isinstance(each, IndirectObject) else each
        if isinstance(resolved, StreamObject):
            yield resolved


def _strings(reader: pypdf.PdfReader) -> Iterator[str]:
    """Every string of the document, and the properties and the forms it has as XML."""
    for value in _objects(reader):
        yield from _strings_in(value, 0)
        for each in _dictionaries(value, 0):
            if "/XFA" in each:
                forms = (form.get_data() for form in _resolved(each["/XFA"].get_object()))
                yield visible(b"".join(forms).decode("utf-8", "replace"))


def _strings_in(value: object, depth: int) -> Iterator[str]:
    if depth > _DEPTH_LIMIT:
        raise UnsearchableError(f"it is nested deeper than {_DEPTH_LIMIT} levels")
    if isinstance(value, TextStringObject):
        yield str(value)
    elif isinstance(value, bytes):
        yield value.decode("latin-1")
    elif isinstance(value, ArrayObject):
        for each in list.__iter__(value):
            yield from _strings_in(each, depth + 1)
    elif isinstance(value, DictionaryObject):
        if isinstance(value, StreamObject) and value.get("/Type") == "/Metadata":
            yield value.get_data().decode("utf-8", "replace")
        for each in dict.values(value):
            yield from _strings_in(each, depth + 1)


def _revisions(data: Data) -> int:
    """How often the document was saved onto itself; a linearized one ends twice."""
    count = position = 0
    while (position := data.find(_END, position) + 1) > 0:
        count += 1
    return count - (_LINEARIZED in data[:2048])
