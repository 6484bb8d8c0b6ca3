"""XML 1.0: the smallest record that carries the identifier goes, with the white space before it.

A record is an element that is one of several siblings of its name. Where such an element is a mere value
(text with one attribute at most) and its parent holds other elements beside it, as a second `<phone>` in a
`<person>`, the record is sought further out; the value alone goes where there is none. A match with no record
around it takes the whole file, and so does any match in a signed one. A comment or processing instruction
that carries the identifier goes by itself.

Nothing is written anew: a record is a span of bytes.
"""

import re
from collections import Counter
from collections.abc import Sequence

from sftpd.erasure.finder import Field
from sftpd.erasure.formats.model import (
    WHOLE_DOCUMENT,
    Data,
    Findings,
    Inquiry,
    Match,
    UnsearchableError,
    cut,
    require_few,
    shortened,
    whole_file,
)
from sftpd.erasure.formats.xml_events import Event, Kind, events
from sftpd.erasure.identifiers import carries, record_carries

_TEXT_LIMIT = 64 << 20
_PASSING_TEXT = 4096
_OVERLAP = 1024
"""Characters before a text that are looked at together with it: more than an identifier has."""

_EMBEDDED = re.compile(r"\s*+[A-Za-z0-9+/\s]{512,}+={0,2}\s*")
_NAMING = {"name", "naam", "key", "id", "type", "label", "field", "column", "schemeid", "schemename"}
"""Attributes that say what an element holds."""
_KEY_MATERIAL = {"SignatureValue", "X509Certificate"}


class Xml:
    """One XML document."""

    name = "xml"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the records that carry an identifier, or the whole file."""
        survey = _Survey(inquiry)
        matches = survey.read(data)
        if WHOLE_DOCUMENT in inquiry.places:
            inquiry.note(_text(data, 0, len(data)))
        inquiry.note(*(_text(data, start, end) for start, end in survey.told))
        if matches is None:
            return whole_file(self.name, WHOLE_DOCUMENT)
        ordered = sorted(matches, key=lambda match: match.start)
        return cut(self.name, data, ordered, survey.unsearched)


def _text(data: Data, start: int, end: int) -> str:
    """Markup as a person reads it, whatever its encoding is."""
    return data[start:end].replace(b"\0", b"").decode("utf-8", "replace")


class _Element:
    """An open element, and what is known of the elements in it."""

    def __init__(self, name: str, number: int, start: int, attributes: int) -> None:
        self.name = name
        self.number = number
        self.start = start
        self.label = name.rpartition(":")[2]
        self.attributes = attributes
        self.names: list[str] = []
        """What it is called by attributes, as a `<field name="…">` is."""
        self.has_text = False
        self.hit = False
        self.is_told = False
        self.children: Counter[str] = Counter()
        self.settled: list[Match] = []
        self.values: list[Field] = []
        """Its attributes, and the elements in it that have no others in them."""
        self.hits: list[_Hit] = []
        self._text: list[str] = []
        self._size = 0

    @property
    def is_value(self) -> bool:
        return not self.children and (not self.attributes or (self.has_text and self.attributes == 1))

    def is_described_by(self, name: str, hers: int) -> bool:
        """Whether values called `name`, `hers` of them the person's, tell of what this element is."""
        return len(self.children) > 1 or hers == self.children[name]

    @property
    def text(self) -> str:
        return "".join(self._text)

    def add(self, text: str) -> None:
        """Add text of its own or of an element in it.

        Before it has text of its own, what lies in it counts only as far as an identifier reaches.
        """
        self._text.append(text)
        self._size += len(text)
        if self._size > _PASSING_TEXT and not self.has_text:
            # The letter keeps the cut from passing for the beginning of a word.
            self._text = ["x" + self.text[-_OVERLAP:]]
            self._size = _OVERLAP + 1
        if self._size > _TEXT_LIMIT:
            raise UnsearchableError(f"an element has more than {_TEXT_LIMIT} characters of text")


class _Hit:
    """A child that carries the identifier; `instead` goes where no record is found, None is no such thing."""

    def __init__(self, element: _Element, match: Match, instead: list[Match] | None) -> None:
        self.name = element.name
        self.is_value = element.is_value
        self.match = match
        self.instead = instead


class _Survey:
    """The walk over a document that collects what must go."""

    def __init__(self, inquiry: Inquiry) -> None:
        self.unsearched: list[str] = []
        self.told: list[tuple[int, int]] = []
        """Records that go by their place."""
        self._identifiers = inquiry.identifiers
        self._places = inquiry.places
        self._is_spread = any(identifier.is_spread for identifier in inquiry.identifiers)
        self._remarks = 0
        self._open: list[_Element] = []
        self._matches: list[Match] = []
        self._whole = WHOLE_DOCUMENT in inquiry.places
        self._signed = False
        self._names: dict[str, bool] = {}
        self._found = 0
        self._blank_from: int | None = None
        """Where the white space before the next markup starts; None where text stands before it."""

    def read(self, data: Data) -> list[Match] | None:
        """Walk through the document and return what goes, None for the whole of it.

        Raises UnsearchableError where it is not well-formed.
        """
        take = {
            Kind.START: self._start,
            Kind.END: self._end,
            Kind.TEXT: self._characters,
            Kind.REMARK: self._remark,
        }
        for event in events(data):
            if event.kind is not Kind.OTHER:
                take[event.kind](event)
        return None if self._whole or (self._signed and self._matches) else self._matches

    def _lead(self, event: Event) -> int:
        """Where markup starts, with the white space before it."""
        lead = event.start if self._blank_from is None else self._blank_from
        self._blank_from = event.end
        return lead

    def _start(self, event: Event) -> None:
        name = event.said
        number = 1
        if self._open:
            children = self._open[-1].children
            number = children[name] = children[name] + 1
        element = _Element(name, number, self._lead(event), len(event.attributes) // 2)
        self._open.append(element)
        self._signed = self._signed or element.label == "SignatureValue"
        element.hit = self._name_carries(element.label) or any(
            self._name_carries(key) or carries(self._identifiers, value, f"{element.label}.{key}")
            for key, value in event.told
        )
        element.names = [value for key, value in event.told if key.rpartition(":")[2].lower() in _NAMING]
        if self._is_spread:
            element.values += ((f"{element.label}.{key}", value) for key, value in event.told)

    def _end(self, event: Event) -> None:
        self._blank_from = event.end
        element = self._open[-1]
        if element.has_text or not element.children:
            self._look_at_text(element)
        if not element.has_text and element.values:
            element.hit = element.hit or record_carries(self._identifiers, element.values)
        if len(self._open) > 1:
            found = element.hit or element.hits or element.settled
            element.is_told = bool(self._places) and self._path(self._open) in self._places
            # What is found in an element is not found in the text around it once more.
            self._open[-2].add(" " if found or element.is_told else element.text)
            if self._is_spread and not element.children:
                self._open[-2].values.append(((element.names or [element.label])[0], element.text))
        self._close(event.end)

    def _characters(self, event: Event) -> None:
        element = self._open[-1]
        if not event.said.isspace():
            self._blank_from = None
            element.has_text = True
        element.add(event.said)

    def _remark(self, event: Event) -> None:
        start = self._lead(event)
        self._remarks += 1
        place = f"comment {self._remarks}"
        if place in self._places or carries(self._identifiers, event.said):
            settled = self._open[-1].settled if self._open else self._matches
            settled.append(Match(place, start, event.end))
            self.told += [(start, event.end)] if place in self._places else []

    def _look_at_text(self, element: _Element) -> None:
        """Text that elements part counts as one; what lies in separate elements does not."""
        label = ".".join(around.label for around in self._open[-2:])
        text = element.text
        element.hit = element.hit or any(
            carries(self._identifiers, text, each) for each in (label, *element.names)
        )
        if not element.children and element.label not in _KEY_MATERIAL and _EMBEDDED.fullmatch(text):
            self.unsearched.append(f"what is embedded at byte {element.start}")

    def _name_carries(self, name: str) -> bool:
        if name not in self._names:
            self._names[name] = carries(self._identifiers, name)
        return self._names[name]

    def _close(self, end: int) -> None:
        """Decide which children of an element go; hand what is undecided to its parent."""
        element = self._open.pop()
        if element.is_told:
            place = self._path([*self._open, element])
            self._open[-1].settled.append(Match(place, element.start, end))
            self.told.append((element.start, end))
            return
        instead: list[Match] | None = None if element.hit else []
        hers = Counter(hit.name for hit in element.hits)
        for hit in element.hits:
            repeated = element.children[hit.name] > 1
            if repeated and not (hit.is_value and element.is_described_by(hit.name, hers[hit.name])):
                element.settled.append(hit.match)
                continue
            element.hit = True
            weak = [hit.match] if repeated else hit.instead
            instead = None if instead is None or weak is None else instead + weak
        left = element.settled if instead is None or not element.hit else instead + element.settled
        if not self._open:
            self._matches += left
            self._whole = self._whole or (element.hit and instead is None)
        elif element.hit:
            match = Match(self._path([*self._open, element]), element.start, end)
            self._found += 1
            require_few(self._found)
            self._open[-1].hits.append(_Hit(element, match, None if instead is None else left))
        else:
            self._open[-1].settled += left

    def _path(self, around: Sequence[_Element]) -> str:
        return shortened("".join(f"/{each.name}[{each.number}]" for each in around))
