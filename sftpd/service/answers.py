"""What operations answer, as JSON: what an iterator gives is written as it comes, and never all held."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

_AT_ONCE = 500
"""Elements that are written together."""


def written(result: Any) -> Iterator[str]:
    """A result as JSON, in parts; it may be an iterator, or a mapping with some among its values or below."""
    if isinstance(result, Iterator):
        yield from _listed(result)
    elif _has_iterators(result):
        for number, (name, value) in enumerate(result.items()):
            yield f"{',' if number else '{'}{json.dumps(name)}:"
            yield from written(value)
        yield "}"
    else:
        yield json.dumps(result)


def settled(result: Any) -> Any:
    """The same with lists in place of iterators."""
    if isinstance(result, Iterator):
        return list(result)
    return {name: settled(value) for name, value in result.items()} if _has_iterators(result) else result


def _has_iterators(result: Any) -> bool:
    return isinstance(result, Mapping) and any(
        isinstance(value, Iterator) or _has_iterators(value) for value in result.values()
    )


def _listed(elements: Iterator[Any]) -> Iterator[str]:
    before = "["
    while some := list(islice(elements, _AT_ONCE)):
        yield before + json.dumps(some)[1:-1]
        before = ","
    yield "[]" if before == "[" else "]"
