"""JSON: the smallest element that carries the identifier goes, with exactly one comma.

The element is the innermost element of an array around the place, or the member of an object whose very name
is the identifier; a match with no array around it takes the whole file. An array of nothing but the person's
identifiers (`"emails": [...]`) describes the element that holds it, so that one goes instead.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sftpd.erasure.finder import Field
from sftpd.erasure.formats.decoding import Traces, decode, may_carry, traces
from sftpd.erasure.formats.json_tokens import Kind, Token, tokens, unescaped
from sftpd.erasure.formats.lines import require_size
from sftpd.erasure.formats.model import (
    WHOLE_DOCUMENT,
    Data,
    Findings,
    Inquiry,
    Match,
    cut,
    is_shortened,
    require_few,
    shortened,
    whole_file,
)
from sftpd.erasure.identifiers import Identifier, carries, record_carries


class Json:
    """One JSON document."""

    name = "json"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the elements that carry an identifier, or the whole file.

        Of a long document only what may carry one is looked at, and no more of it is in memory.
        """
        where = traces(data, inquiry.identifiers, unescaped)
        unsearched = where.unsearched
        if not (where or inquiry.places):
            return cut(self.name, data, [], unsearched)
        text, where = _in_ascii(data, where)
        require_size(text)
        survey = _Survey(inquiry.identifiers, inquiry.places)
        survey.read(text, where)
        if WHOLE_DOCUMENT in inquiry.places:
            survey.told.append((where.start, len(text)))
        if inquiry.noted is not None:
            inquiry.note(*(text[start:end].decode(where.encoding) for start, end in survey.told))
        if survey.whole or WHOLE_DOCUMENT in inquiry.places:
            return whole_file(self.name, WHOLE_DOCUMENT)
        matches = sorted(survey.matches, key=lambda match: match.start)
        cuts = matches if text is data else _in_bytes_of(data, text, matches)
        return cut(self.name, data, cuts, unsearched)


def document_carries(text: str, identifiers: Sequence[Identifier]) -> bool:
    """Whether a document carries an identifier anywhere."""
    survey = _Survey(identifiers)
    survey.read(text.encode())
    return survey.whole or bool(survey.matches)


def _in_ascii(data: Data, where: Traces) -> tuple[Data, Traces]:
    """The document in an encoding in which ASCII is ASCII, and where to look in it: of UTF-16 everywhere."""
    if not where.encoding.startswith("utf-16"):
        return data, where
    text = decode(data).text.encode()
    return text, Traces("utf-8", 0, ((0, len(text)),))


def _in_bytes_of(data: Data, text: Data, matches: Iterable[Match]) -> list[Match]:
    """Matches in the document as it was, of which `text` is the UTF-8."""
    decoded = decode(data)

    def in_characters() -> Iterator[Match]:
        character = byte = 0
        for match in matches:
            start = character + len(text[byte : match.start].decode())
            character, byte = start + len(text[match.start : match.end].decode()), match.end
            yield match._replace(start=start, end=character)

    return list(decoded.in_bytes(in_characters()))


class _Container:
    """An open array or object: the element being read, and the cuts among its elements."""

    def __init__(self, label: str, *, is_array: bool) -> None:
        self.label = label
        self.is_array = is_array
        self.position = "0"
        self.start = 0
        self.hit = False
        self.all_scalar = True
        self.kept_end: int | None = None
        self.was_told = False
        self.said: list[Field] = []
        """Of an object the scalars in it, as far as they are looked at together."""
        self._index = -1
        self._run: list[Match] = []

    def begin(self, start: int, key: str | None = None) -> None:
        self.start, self.hit = start, False
        self._index += 1
        self.position = str(self._index) if key is None else key.replace("~", "~0").replace("/", "~1")

    def begin_run(self, start: int, count: int) -> None:
        """Begin what is several elements, as if it were one."""
        self.start, self.hit = start, False
        self._index += count

    def holds(self, following: int, told: set[str]) -> bool:
        """Whether one of the `following` elements is `told`, or with 0 the one that has begun."""
        if not following:
            return self.position in told
        if not self.is_array:
            return True
        return not told.isdisjoint(map(str, range(self._index + 1, self._index + 1 + following)))

    def drop(self, locator: str, end: int) -> None:
        """Note that the element just read goes."""
        self._run.append(Match(locator, self.start, end))

    def keep(self, end: int) -> list[Match]:
        """Note that the element just read stays; return the cuts that this settles."""
        cuts = self.cuts(self.start)
        self.kept_end = end
        return cuts

    def cuts(self, next_start: int | None) -> list[Match]:
        """Settle the dropped elements since the last kept one; `next_start` is None at the container's end.

        Each takes the comma before it, or the one after it where nothing before it stays.
        """
        run, self._run = self._run, []
        if self.kept_end is not None:
            ends = [self.kept_end, *(match.end for match in run)]
            return [match._replace(start=before) for match, before in zip(run, ends, strict=False)]
        starts = [match.start for match in run[1:]] + ([] if next_start is None else [next_start])
        return [match._replace(end=after) for match, after in zip(run, starts, strict=False)] + run[
            len(starts) :
        ]

    @property
    def dropped(self) -> int:
        """How many elements go since the last that stays."""
        return len(self._run)

    @property
    def lists_only_the_person(self) -> bool:
        """What goes by its place alone says nothing of what is around it."""
        hers = bool(self._run) and not self.was_told
        return self.is_array and self.all_scalar and self.kept_end is None and hers


class _Survey:
    """The walk over one document's tokens that collects what must go."""

    def __init__(self, identifiers: Sequence[Identifier], places: frozenset[str] = frozenset()) -> None:
        self.matches: list[Match] = []
        self.whole = False
        self.told: list[tuple[int, int]] = []
        """What goes by its place, keys left out."""
        self._identifiers = identifiers
        self._places = places
        self._is_spread = any(identifier.is_spread for identifier in identifiers)
        self._open: list[_Container] = []
        self._found = 0
        self._told_in = _by_container(places)

    def read(self, data: Data, where: Traces | None = None) -> None:
        """Walk through a document; past what is certainly not the person's, where something says `where`."""
        if where is None:
            for token in tokens(data):
                self._take(token)
            return

        def passes(start: int, end: int, count: int) -> bool:
            if self._holds_told(count):
                return False
            return not where.touch(start, end) or not may_carry(
                data[start:end].decode(where.encoding), self._identifiers, unescaped
            )

        for token in tokens(data, where.start, where.encoding, passes):
            self._take(token)

    def _holds_told(self, following: int) -> bool:
        """Whether something goes by its place in the values that follow, or the one that has begun."""
        if not self._told_in:
            return self._told_in is None
        told = self._told_in.get(_pointer(self._open[:-1]))
        return told is not None and self._open[-1].holds(following, told)

    def _take(self, token: Token) -> None:
        top = self._open[-1] if self._open else None
        if token.kind is Kind.KEY and top is not None:
            top.begin(token.start, token.value)
            top.hit = carries(self._identifiers, token.value)
            return
        if token.kind is Kind.END:
            self._close(token.end)
            return
        if token.kind is Kind.RUN and top is not None:
            top.begin_run(token.start, token.values)
            self.matches += top.keep(token.end)
            return
        if top is not None and top.is_array:
            top.begin(token.start)
        if token.kind is Kind.SCALAR:
            if carries(self._identifiers, token.value, self._label()):
                self._mark()
            if self._is_spread and top is not None and not top.is_array:
                top.said.append((self._label(), token.value))
            self._element_done(token.end)
        elif token.kind is Kind.PASSED and top is not None:
            top.all_scalar = False
            self._element_done(token.end)
        else:
            self._open.append(_Container(self._label(), is_array=token.kind is Kind.BEGIN_ARRAY))

    def _label(self) -> str:
        """The key that the next value stands under, with the key around it."""
        if not self._open:
            return ""
        top = self._open[-1]
        if top.is_array:
            return top.label
        return f"{top.label.rpartition('.')[2]}.{top.position}"

    def _mark(self) -> None:
        """Note that the innermost array element around here carries the identifier."""
        for container in reversed(self._open):
            if container.is_array:
                container.hit = True
                return
        self.whole = True

    def _close(self, end: int) -> None:
        container = self._open.pop()
        if container.lists_only_the_person and any(outer.is_array for outer in self._open):
            self._mark()
            self._found -= container.dropped
        else:
            self.matches += container.cuts(None)
        if container.said and record_carries(self._identifiers, container.said):
            self._mark()
        if self._open:
            self._open[-1].all_scalar = False
        self._element_done(end)

    def _element_done(self, end: int) -> None:
        if not self._open:
            return
        top = self._open[-1]
        if not (top.hit or self._is_told(top, end)):
            self.matches += top.keep(end)
            return
        while self.matches and self.matches[-1].start >= top.start:
            self.matches.pop()
            self._found -= 1
        top.drop(self._pointer(), end)
        self._found += 1
        require_few(self._found)

    def _is_told(self, top: _Container, end: int) -> bool:
        """Whether the element just read goes by its place."""
        told = bool(self._places) and self._pointer() in self._places
        if told:
            top.was_told = True
            self.told.append((top.start, end))
        return told

    def _pointer(self) -> str:
        return shortened(_pointer(self._open))


def _pointer(containers: Iterable[_Container]) -> str:
    return "".join("/" + container.position for container in containers)


def _by_container(places: Iterable[str]) -> Mapping[str, set[str]] | None:
    """What goes by its place, or holds what does, by the pointer of what it is in.

    None where not all of a place is told.
    """
    inside: dict[str, set[str]] = {}
    for place in places:
        if place != WHOLE_DOCUMENT and is_shortened(place):
            return None
        around = place
        while around.startswith("/"):
            around, _, last = around.rpartition("/")
            inside.setdefault(around, set()).add(last)
    return inside
