"""Tables in JSON that have an array for each column: what belongs to a row goes from all of them."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from sftpd.erasure.formats.json_heads import go_together
from sftpd.erasure.formats.json_tokens import Kind, tokens
from sftpd.erasure.formats.model import Data, Match

Spans = Sequence[tuple[int, int]]

_ARRAY = re.compile(rb":\s*+\[")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


def may_hold(data: Data, start: int, end: int) -> bool:
    """Whether members of an object there may be arrays; False is certain."""
    return _ARRAY.search(data, start, end) is not None


def may_go_together(data: Data, start: int, end: int, shortened: Mapping[str, int]) -> bool:
    """Whether another member of the object there has an element for each of one of the `shortened` arrays.

    These have their lengths. False is certain; nothing is copied, however long the object is.
    """
    with memoryview(data) as whole, whole[start:end] as table:
        try:
            lengths = {key: shortened.get(key, _length(value)) for key, value in _members(table).items()}
        except (msgspec.DecodeError, UnicodeDecodeError):
            return True
    return any(key not in lengths or go_together(key, lengths) for key in shortened)


def _length(value: msgspec.Raw) -> int | None:
    """How many elements an array has; None for what is none."""
    with memoryview(value) as raw:
        return len(_elements(raw)) if bytes(raw[:1]) == b"[" else None


def columns(table: bytes, encoding: str) -> Mapping[str, Spans | None]:
    """The members of an object, each with the spans of its elements; None for one that is no array."""
    found: dict[str, list[tuple[int, int]] | None] = {}
    key, depth, start, is_array = "", 0, 0, False
    for token in tokens(table, 0, encoding):
        if token.kind is Kind.KEY and depth == 1:
            key, is_array = token.value, False
            found[key] = None
            continue
        if token.kind in (Kind.BEGIN_ARRAY, Kind.BEGIN_OBJECT):
            depth += 1
            if depth == 2 and token.kind is Kind.BEGIN_ARRAY:
                found[key], is_array = [], True
            start = token.start if depth == 3 else start
            continue
        if token.kind is Kind.END:
            depth -= 1
        if depth == 2 and is_array:
            elements = found[key]
            assert elements is not None
            elements.append((token.start if token.kind is Kind.SCALAR else start, token.end))
    return found


def without(
    elements: Spans, gone: Collection[int], locators: Mapping[int, str], before: int
) -> Iterator[Match]:
    """The cuts that take elements out with a comma each; spans begin at `before`, others have no locator."""
    for at in sorted(gone):
        start, end = elements[at]
        if any(other not in gone for other in range(at)):
            start = elements[at - 1][1]
        elif at + 1 < len(elements):
            end = elements[at + 1][0]
        yield Match(locators.get(at, ""), before + start, before + end)
