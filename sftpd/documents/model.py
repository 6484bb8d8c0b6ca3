"""What a document holds, whatever form it is printed in (plain data)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of what follows it."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many cells as there are columns; `empty` stands where there is no row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str = "None."


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart: its label, and how much each part of the chart's `parts` has in it."""

    label: str
    amounts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart of stacked bars from left to right."""

    title: str
    parts: Sequence[str]
    bars: Sequence[Bar]


Block: TypeAlias = Heading | Paragraph | Table | Bars


@dataclass(frozen=True, slots=True)
class Document:
    """A title, what it is about, and its blocks in their order."""

    title: str
    about: str
    blocks: Sequence[Block]
    language: str = "en"
    """Of its texts (BCP 47)."""
    one_page: bool = False
    """Whether it is printed in smaller letters rather than on a second page."""
