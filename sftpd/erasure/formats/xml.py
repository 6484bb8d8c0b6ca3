"""XML 1.0: the smallest record that carries the identifier goes, with the white space before it.

A record is an element that is one of several siblings of its name. Where such an element is a mere value
(text with one attribute at most) and its parent holds other elements beside it, as a second `<phone>` in a
`<person>`, the record is sought further out; the value alone goes where there is none. A match with no record
around it takes the whole file, and so does any match in a signed one. A comment or processing instruction
that carries the identifier goes by itself.

Nothing is written anew: a record is a span of bytes.
"""

import html
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from sftpd.erasure.finder import Field
from sftpd.erasure.formats.beside import NAMING, VALUES, Beside, role
from sftpd.erasure.formats.decoding import may_carry
from sftpd.erasure.formats.model import (
    WHOLE_DOCUMENT,
    Data,
    Findings,
    Inquiry,
    Match,
    UnsearchableError,
    cut,
    is_shortened,
    require_few,
    shortened,
    whole_file,
)
from sftpd.erasure.formats.xml_events import DEPTH_LIMIT, Event, Kind, events
from sftpd.erasure.formats.xml_glance import certainly_without, encoding_of, may_embed
from sftpd.erasure.formats.xml_passing import DEPTH, Child, Passing, children, texts
from sftpd.erasure.identifiers import carries, record_carries

_TEXT_LIMIT = 64 << 20
_PASSING_TEXT = 4096
_OVERLAP = 1024
"""Characters before a text that are looked at together with it: more than an identifier has."""

_EMBEDDED = re.compile(r"\s*+[A-Za-z0-9+/\s]{512,}+={0,2}\s*")
_NAMING = {*NAMING, "schemeid", "schemename"}
"""Attributes that say what an element holds."""
_SIGNATURE = "SignatureValue"
_KEY_MATERIAL = {_SIGNATURE, "X509Certificate"}


class Xml:
    """One XML document."""

    name = "xml"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the records that carry an identifier, or the whole file."""
        if not inquiry.places and certainly_without(data, inquiry.identifiers):
            return cut(self.name, data, [])
        survey = _Survey(inquiry)
        matches = survey.read(data)
        if WHOLE_DOCUMENT in inquiry.places:
            inquiry.note(_text(data, 0, len(data)))
        inquiry.note(*(_text(data, start, end) for start, end in survey.told))
        if matches is None:
            return whole_file(self.name, WHOLE_DOCUMENT)
        ordered = sorted(matches, key=lambda match: match.start)
        return cut(self.name, data, ordered, survey.unsearched)


def embeds(label: str, text: str) -> bool:
    """Whether an element so called, with such text and no others in it, is a document in Base64."""
    return label not in _KEY_MATERIAL and _EMBEDDED.fullmatch(text) is not None


@lru_cache(4096)
def is_name(key: str) -> bool:
    """Whether an attribute so called says what its element is."""
    return key.rpartition(":")[2].lower() in _NAMING


def _text(data: Data, start: int, end: int) -> str:
    """Markup as a person reads it, whatever its encoding is."""
    return data[start:end].replace(b"\0", b"").decode("utf-8", "replace")


class Passage:
    """The text of an open element, with that of the elements in it.

    Before it has text of its own, what lies in it counts only as far as an identifier reaches.
    """

    __slots__ = ("_size", "_text", "has_text")

    def __init__(self) -> None:
        self.has_text = False
        """Whether it has text of its own."""
        self._text: list[str] = []
        self._size = 0

    @property
    def text(self) -> str:
        """All of it that counts."""
        return "".join(self._text)

    def add(self, text: str) -> None:
        """Add text of its own or of an element in it. Raises UnsearchableError where it is too much."""
        self._text.append(text)
        self._size += len(text)
        if self._size > _PASSING_TEXT and not self.has_text:
            # The letter keeps the cut from passing for the beginning of a word.
            self._text = ["x" + self.text[-_OVERLAP:]]
            self._size = _OVERLAP + 1
        if self._size > _TEXT_LIMIT:
            raise UnsearchableError(f"an element has more than {_TEXT_LIMIT} characters of text")


class _Element(Passage):
    """An open element, and what is known of the elements in it."""

    def __init__(self, name: str, number: int, start: int, attributes: int) -> None:
        super().__init__()
        self.name = name
        self.number = number
        self.start = start
        self.label = name.rpartition(":")[2]
        self.attributes = attributes
        self.names: list[str] = []
        """What it is called by attributes, as a `<field name="…">` is."""
        self.hit = False
        self.is_told = False
        self.children: Counter[str] = Counter()
        self.settled: list[Match] = []
        self.values: list[Field] = []
        """Its attributes, and the elements in it that have no others in them."""
        self.beside = Beside()
        self.hits: list[_Hit] = []
        self.told_in: set[str] | None = None
        """Which of the elements in it hold something that goes by its place, once that was looked for."""

    @property
    def is_value(self) -> bool:
        return not self.children and (not self.attributes or (self.has_text and self.attributes == 1))

    def is_described_by(self, name: str, hers: int) -> bool:
        """Whether values called `name`, `hers` of them the person's, tell of what this element is."""
        return len(self.children) > 1 or hers == self.children[name]


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
        encoding = encoding_of(data[:_OVERLAP])
        passing = None

        if encoding is not None and not any(map(is_shortened, self._places)):

            def passes(start: int, end: int) -> bool:
                text = data[start:end].decode(encoding, "replace")
                return self._passes(text.replace("\r\n", "\n").replace("\r", "\n"), end)

            passing = Passing(data, passes)
        take = {
            Kind.START: self._start,
            Kind.END: self._end,
            Kind.TEXT: self._characters,
            Kind.REMARK: self._remark,
        }
        for event in events(data, passing):
            if event.kind is not Kind.OTHER:
                take[event.kind](event)
        return None if self._whole or (self._signed and self._matches) else self._matches

    def _passes(self, markup: str, end: int) -> bool:
        """Whether elements up to `end` say nothing of the person; then they count as if they were read."""
        if not self._open or len(self._open) + DEPTH > DEPTH_LIMIT or _SIGNATURE in markup:
            return False
        if may_embed(markup) or may_carry(f"{markup}\n{texts(markup)}", self._identifiers, html.unescape):
            return False
        top, passed = self._open[-1], list(children(markup))
        if any(len(child.text) > _PASSING_TEXT for child in passed) or self._holds_told(top, passed):
            return False
        for child in passed:
            top.children[child.name] += 1
            if child.lead:
                top.add(child.lead)
            top.add(child.text)
            if child.is_leaf:
                label = child.name.rpartition(":")[2]
                self._stand_beside(top, label, child.values(is_name), child.text)
        self._blank_from = end
        return True

    def _holds_told(self, top: _Element, passed: Sequence[Child]) -> bool:
        """Whether something goes by its place in elements that follow in the innermost open one."""
        if not self._places:
            return False
        if top.told_in is None:
            around = self._path(self._open) + "/"
            inner = (place.removeprefix(around) for place in self._places if place.startswith(around))
            top.told_in = {place.partition("/")[0] for place in inner}
        count = Counter(top.children)
        for child in passed:
            count[child.name] += 1
            if f"{child.name}[{count[child.name]}]" in top.told_in:
                return True
        return False

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
        self._signed = self._signed or element.label == _SIGNATURE
        element.hit = self._name_carries(element.label) or any(
            self._name_carries(key) or carries(self._identifiers, value, f"{element.label}.{key}")
            for key, value in event.told
        )
        element.names = [value for key, value in event.told if is_name(key)]
        if event.attributes:
            self._take_attributes(element, event)

    def _take_attributes(self, element: _Element, event: Event) -> None:
        """Look at attributes that are what another, or the element, is called."""
        told, beside = [(key.rpartition(":")[2], value) for key, value in event.told], Beside()
        roles = [(part, value) for key, value in told if (part := role(key)) is not None]
        pairs = [(label, text) for each in roles for label, text, _ in beside.take(*each)]
        pairs += [(element.label, text) for key, text in told if key.lower() in VALUES]
        element.hit = element.hit or any(carries(self._identifiers, text, label) for label, text in pairs)
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
            if not element.children:
                self._stand_beside(self._open[-2], element.label, element.names, element.text)
        self._close(event.end)

    def _stand_beside(self, around: _Element, label: str, names: Sequence[str], text: str) -> None:
        """Have a value, which has no elements in it, count with those beside it."""
        if (part := role(label)) is not None:
            beside = around.beside.take(part, text)
            around.hit = any(carries(self._identifiers, said, name) for name, said, _ in beside) or around.hit
        if self._is_spread:
            around.values.append(((names or [label])[0], text))

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
        if not element.children and embeds(element.label, text):
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
