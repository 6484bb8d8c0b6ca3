"""Which rows of a table say what its columns are: the first, and one below titles."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

AMONG = 20
"""Rows at the beginning of a table of which one is its head."""

_Column = TypeVar("_Column", bound=Hashable)


def heads(rows: Sequence[Mapping[_Column, str]]) -> list[Mapping[_Column, str]]:
    """Of the first AMONG rows, by column, the first; and the first of those with most words, if another."""
    among = rows[:AMONG]
    if not among:
        return []
    best = max(among, key=_words)
    return [among[0]] if best is among[0] else [among[0], best]


def _words(row: Mapping[_Column, str]) -> int:
    """How many of its texts are words alone."""
    return sum(not any(map(str.isdigit, text)) for text in row.values() if any(map(str.isalpha, text)))
