"""JSON: the smallest element that carries the identifier goes, with exactly one comma.

The element is the innermost element of an array around the place, or the member of an object whose very name
is the identifier; a match with no array around it takes the whole file. An array of nothing but the person's
identifiers (`"emails": [...]`) describes the element that holds it, so that one goes instead.
"""

from collections.abc import Sequence

from sftpd.erasure.formats.decoding import decode, may_be_in
from sftpd.erasure.formats.json_tokens import Kind, Token, tokens, unescaped
from sftpd.erasure.formats.model import (
    WHOLE_DOCUMENT,
    Data,
    Findings,
    Inquiry,
    Match,
    cut,
    shortened,
    whole_file,
)
from sftpd.erasure.identifiers import Identifier, carries, record_carries


class Json:
    """One JSON document."""

    name = "json"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return the elements that carry an identifier, or the whole file."""
        if not (inquiry.places or may_be_in(data, inquiry.identifiers, unescaped)):
            return cut(self.name, data, [])
        decoded = decode(data)
        survey = _Survey(inquiry.identifiers, inquiry.places)
        survey.read(decoded.text, 0, len(decoded.text))
        inquiry.note(*(decoded.text[start:end] for start, end in survey.told))
        if survey.whole or WHOLE_DOCUMENT in inquiry.places:
            if WHOLE_DOCUMENT in inquiry.places:
                inquiry.note(decoded.text)
            return whole_file(self.name, WHOLE_DOCUMENT)
        matches = sorted(survey.matches, key=lambda match: match.start)
        return cut(self.name, data, list(decoded.in_bytes(matches)))


def document_carries(text: str, start: int, end: int, identifiers: Sequence[Identifier]) -> bool:
    """Whether the document in `text[start:end]` carries an identifier anywhere."""
    survey = _Survey(identifiers)
    survey.read(text, start, end)
    return survey.whole or bool(survey.matches)


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
        self.said: list[str] = []
        """Of an object the scalars in it, as far as they are looked at together."""
        self._index = -1
        self._run: list[Match] = []

    def begin(self, start: int, key: str | None = None) -> None:
        self.start, self.hit = start, False
        self._index += 1
        self.position = str(self._index) if key is None else key.replace("~", "~0").replace("/", "~1")

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

    def read(self, text: str, start: int, end: int) -> None:
        """Walk through the document in `text[start:end]`."""
        for token in tokens(text, start, end):
            self._take(token)

    def _take(self, token: Token) -> None:
        top = self._open[-1] if self._open else None
        if token.kind is Kind.KEY and top is not None:
            top.begin(token.start, token.value)
            top.hit = carries(self._identifiers, token.value)
            return
        if token.kind is Kind.END:
            self._close(token.end)
            return
        if top is not None and top.is_array:
            top.begin(token.start)
        if token.kind is Kind.SCALAR:
            if carries(self._identifiers, token.value, self._label()):
                self._mark()
            if self._is_spread and top is not None and not top.is_array:
                top.said.append(token.value)
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
        top.drop(self._pointer(), end)

    def _is_told(self, top: _Container, end: int) -> bool:
        """Whether the element just read goes by its place."""
        told = bool(self._places) and self._pointer() in self._places
        if told:
            top.was_told = True
            self.told.append((top.start, end))
        return told

    def _pointer(self) -> str:
        return shortened("".join("/" + container.position for container in self._open))
