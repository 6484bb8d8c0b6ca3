"""JSON: the smallest element that carries the identifier goes, with exactly one comma.

The element is the innermost element of an array around the place, or the member of an object whose very name
is the identifier; a match with no array around it takes the whole file. An array of nothing but the person's
identifiers (`"emails": [...]`) describes the element that holds it, so that one goes instead. A row below
heads goes whole, and so does one of a table that has its columns in an array each.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from sftpd.erasure.formats import json_columns, json_heads
from sftpd.erasure.formats.beside import Beside, role
from sftpd.erasure.formats.decoding import Traces, decode, may_carry, traces
from sftpd.erasure.formats.json_container import Container, Heads, below, escaped, pointer
from sftpd.erasure.formats.json_tokens import Kind, Token, tokens, unescaped
from sftpd.erasure.formats.lines import require_size
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
from sftpd.erasure.identifiers import Identifier, carries, record_carries

Takes = Callable[[str, str], bool]
"""Takes JSON under a label from who wants to know no more of it; False where it must be read closely."""


class Json:
    """One JSON document."""

    name = "json"

    def __init__(self, takes: Takes | None = None) -> None:
        """Of a document that is told once for all, `takes` gets what may carry somebody."""
        self._takes = takes

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
        survey = _Survey(inquiry.identifiers, inquiry.places, takes=self._takes)
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


def document_carries(
    text: str, identifiers: Sequence[Identifier], heads: Sequence[Sequence[str]] = ()
) -> bool:
    """Whether a document carries an identifier anywhere; `heads` say what it has where it is a row."""
    survey = _Survey(identifiers, heads=heads)
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


_TABLE_LIMIT = 64 << 20
"""Bytes of an object that has a table by its columns."""


class _Survey:
    """The walk over one document's tokens that collects what must go."""

    def __init__(
        self,
        identifiers: Sequence[Identifier],
        places: frozenset[str] = frozenset(),
        heads: Heads = (),
        takes: Takes | None = None,
    ) -> None:
        self.matches: list[Match] = []
        self.whole = False
        self.told: list[tuple[int, int]] = []
        """What goes by its place, keys left out."""
        self._identifiers = identifiers
        self._places = places
        self._is_spread = any(identifier.is_spread for identifier in identifiers)
        self._open: list[Container] = []
        self._found = 0
        self._told_in = _by_container(places)
        self._heads = heads
        self._takes = takes
        self._data: Data = b""
        self._encoding = "utf-8"
        self._lists = json_heads.Lists(b"", "utf-8")
        self._listed: Heads | None = None
        self._tells: dict[str, bool] = {}

    def read(self, data: Data, where: Traces | None = None) -> None:
        """Walk through a document; past what is certainly not the person's, where something says `where`."""
        self._data = data
        self._encoding = self._encoding if where is None else where.encoding
        self._lists = json_heads.Lists(data, self._encoding)
        if where is None:
            for token in tokens(data):
                self._take(token)
            return

        def passes(start: int, end: int, count: int) -> bool:
            top = self._open[-1]
            label = top.label if count or top.is_array else self._label()
            tells = self._label_tells(label)
            if (tells and self._takes is None) or self._holds_told(count) or self._heads_tell(start, end):
                return False
            if not (tells or where.touch(start, end)):
                return True
            text = data[start:end].decode(where.encoding)
            if self._takes is not None:
                return self._takes(_enclosed(text, top, count), label)
            return not may_carry(text, self._identifiers, unescaped)

        for token in tokens(data, where.start, where.encoding, passes):
            self._take(token)

    def _label_tells(self, label: str) -> bool:
        """Whether a label may make the person's of what stands under it."""
        if label not in self._tells:
            self._tells[label] = may_carry(label, self._identifiers)
        return self._tells[label]

    def _heads_tell(self, start: int, end: int) -> bool:
        """Whether what is told apart from rows there may make the person's of what is not so by itself."""
        top = self._open[-1]
        if top.heads:
            return True
        heads: list[Sequence[str]] = []
        if top.is_array and self._data[start : start + 1] == b"[":
            heads += self._heads_in(top)
        elif (listed := self._lists_in(top)) and json_heads.ROWS.search(self._data, start, end):
            heads += listed
        if self._takes is not None and json_heads.ROWS.search(self._data, start, end):
            heads += self._lists.around(start, end)
        return bool(heads) and may_carry(
            "\n".join(name for head in heads for name in head), self._identifiers
        )

    def _heads_in(self, array: Container) -> Heads:
        """What the elements of the rows are called that an array has."""
        if array.heads_below is None:
            rows = json_heads.rows_heads(self._data, array.opened + 1, self._encoding)
            around = next((each for each in reversed(self._open) if not each.is_array), array)
            array.heads_below = [*rows, *self._lists_in(around)]
        return array.heads_below

    def _lists_in(self, container: Container) -> Heads:
        """The lists of what columns are called in a container, or at the end of the document."""
        if self._listed is None:
            self._listed = self._lists.at_the_end()
        if container.listed is None:
            container.listed = [*self._lists.around(container.opened, container.opened), *self._listed]
        return container.listed

    def _holds_told(self, following: int) -> bool:
        """Whether something goes by its place in the values that follow, or the one that has begun."""
        if not self._told_in:
            return self._told_in is None
        told = self._told_in.get(pointer(self._open[:-1]))
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
            top.arrays += not top.is_array and json_columns.may_hold(self._data, token.start, token.end)
            self.matches += top.keep(token.end)
            return
        if top is not None and top.is_array:
            top.begin(token.start)
        if token.kind is Kind.SCALAR:
            if carries(self._identifiers, token.value, self._label()):
                self._mark()
            if self._is_spread and top is not None and not top.is_array:
                top.said.append((self._label(), token.value))
            if top is not None and top.heads:
                top.row.append((top.index, token.value))
            elif top is not None and not top.is_array and (part := role(top.key)) is not None:
                self._take_beside(top, part, token.value)
            self._element_done(token.end)
        elif token.kind is Kind.PASSED and top is not None:
            top.all_scalar = False
            top.arrays += self._data[token.start : token.start + 1] == b"["
            self._element_done(token.end)
        else:
            is_array = token.kind is Kind.BEGIN_ARRAY
            heads: Heads = () if top else self._heads
            if is_array and top is not None and top.is_array:
                heads = self._heads_in(top)
            self._open.append(Container(self._label(), token.start, is_array=is_array, heads=heads))

    def _take_beside(self, top: Container, part: str, value: str) -> None:
        """Look at a value under what a member beside it says, or at those beside it under what it says."""
        top.beside = top.beside or Beside()
        for label, text, is_one in top.beside.take(part, value):
            if carries(self._identifiers, text, label):
                top.named_hers = True
                top.is_one = top.is_one or is_one

    def _label(self) -> str:
        """The key that the next value stands under, with the key around it."""
        if not self._open:
            return ""
        top = self._open[-1]
        return top.label if top.is_array else below(top.label, top.first, top.key)

    def _mark(self, *, outwards: bool = False) -> None:
        """Note that the innermost array element around here, or one further out, carries the identifier."""
        arrays = [container for container in reversed(self._open) if container.is_array]
        if not arrays:
            self.whole = True
        else:
            arrays[1 if outwards and len(arrays) > 1 else 0].hit = True

    def _close(self, end: int) -> None:
        container = self._open.pop()
        if container.lists_only_the_person and any(outer.is_array for outer in self._open):
            self._mark()
            self._found -= container.dropped
        else:
            self.matches += container.cuts(None)
            self._settle(container, end)
        if container.said and record_carries(self._identifiers, container.said):
            self._mark()
        if container.named_hers:
            self._mark(outwards=container.is_one and bool(self._open) and self._open[-1].is_array)
        if self._open:
            self._open[-1].all_scalar = False
            self._open[-1].arrays += container.is_array
        self._element_done(end)

    def _settle(self, container: Container, end: int) -> None:
        """See that what goes together goes: a row below heads, and what columns have of it."""
        if self._row_carries(container):
            self._mark()
        elif container.is_array and container.gone and self._open and not self._open[-1].is_array:
            self._open[-1].shorten(container)
        elif container.shortened and container.arrays > 1:
            self._shorten(container, end)

    def _row_carries(self, row: Container) -> bool:
        """Whether a row below heads is the person's. Raises UnsearchableError where it has not as many."""
        fitting = [head for head in row.heads if len(head) == row.index + 1]
        if fitting and row.gone:
            return True
        for head in row.heads:
            told = [
                (label, text) for at, text in row.row for label in _labels(head, at, fits=head in fitting)
            ]
            carried = any(
                carries(self._identifiers, text, label) and not carries(self._identifiers, text, row.label)
                for label, text in told
            )
            if head in fitting and (carried or record_carries(self._identifiers, told)):
                return True
            if carried and not fitting:
                raise UnsearchableError(
                    f"a row of it has {row.index + 1} elements where the one with their names has {len(head)}"
                )
        return False

    def _shorten(self, table: Container, end: int) -> None:
        """Have the elements go of other arrays that belong to those that go. Raises UnsearchableError."""
        if not json_columns.may_go_together(self._data, table.opened, end, table.lengths):
            return
        if end - table.opened > _TABLE_LIMIT:
            raise UnsearchableError(f"a table by its columns has more than {_TABLE_LIMIT} bytes")
        told = json_columns.columns(self._data[table.opened : end], self._encoding)
        lengths = {key: None if each is None else len(each) for key, each in told.items()}
        gone = {key: dict.fromkeys(indexes, "") for key, indexes in table.shortened.items()}
        for key, indexes in table.shortened.items():
            for other in json_heads.go_together(key, lengths):
                gone.setdefault(other, {}).update(dict.fromkeys(indexes, ""))
        place = pointer(self._open)
        for key, each in gone.items():
            spans, hers = told[key] or [], table.shortened.get(key, ())
            if len(each) > len(hers):
                first, last = (table.opened + at for at in (spans[0][0], spans[-1][1]))
                self.matches = [match for match in self.matches if not first <= match.start < last]
                told_at = {at: shortened(f"{place}/{escaped(key)}/{at}") for at in hers}
                self.matches += json_columns.without(spans, each, told_at, table.opened)

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

    def _is_told(self, top: Container, end: int) -> bool:
        """Whether the element just read goes by its place."""
        told = bool(self._places) and self._pointer() in self._places
        if told:
            top.was_told = True
            self.told.append((top.start, end))
        return told

    def _pointer(self) -> str:
        return shortened(pointer(self._open))


def _enclosed(text: str, top: Container, count: int) -> str:
    """JSON of the values that follow in a container, or of the one that has begun."""
    if not count:
        return text
    if top.is_array:
        return f"[{text}]"
    begun = f"{json.dumps(top.first)}: null, " if top.index >= 0 else ""
    return f"{{{begun}{text}}}"


def _labels(head: Sequence[str], at: int, *, fits: bool) -> Sequence[str]:
    """What the element there may be called."""
    return [head[at]] if fits else head


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
