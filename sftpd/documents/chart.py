"""The geometry of a chart of stacked bars, for whatever draws it (pure)."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from sftpd.documents.model import Bars

WIDTH, HEIGHT = 680, 260
"""The size of a drawing, in its own units; y grows downwards."""
COLOURS = ("#4c6a92", "#c98b2f", "#6f9b6a", "#9a5b6b", "#7d7d7d")
"""The colours of parts, in their order; further ones begin again."""
SMALL = 11
"""The size of the text in a drawing."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 44, 28
_GAP = 0.2
_TICKS = 5
_LABELS = 14

Anchor = Literal["start", "middle", "end"]


class Rectangle(NamedTuple):
    """A piece of a bar, or of the legend, in the colour of its part."""

    x: float
    y: float
    width: float
    height: float
    part: int


class Rule(NamedTuple):
    """A horizontal line."""

    x: float
    y: float
    width: float


class Label(NamedTuple):
    """Text on a base line; `anchor` says which of its points is at `x`."""

    x: float
    y: float
    text: str
    anchor: Anchor


class Drawing(NamedTuple):
    """All that is drawn, the lowest layer first."""

    rules: tuple[Rule, ...]
    rectangles: tuple[Rectangle, ...]
    labels: tuple[Label, ...]


def draw(chart: Bars) -> Drawing:
    """Lay a chart out."""
    step = step_for(max((sum(bar.amounts) for bar in chart.bars), default=0))
    top = max(-(-sum(bar.amounts) // step) for bar in chart.bars) * step if chart.bars else step
    scale = (HEIGHT - _TOP - _BOTTOM) / max(top, step)
    rules, labels = [], [Label(0, SMALL, chart.title, "start")]
    for value in range(0, max(top, step) + 1, step):
        y = HEIGHT - _BOTTOM - value * scale
        rules.append(Rule(_LEFT, y, WIDTH - _LEFT - _RIGHT))
        labels.append(Label(_LEFT - 6, y + SMALL / 3, f"{value:,}", "end"))
    labels += _names(chart)
    rectangles = [*_pieces(chart, scale), *_legend(chart)]
    labels += [
        Label(piece.x + SMALL + 4, piece.y + SMALL - 2, chart.parts[piece.part], "start")
        for piece in _legend(chart)
    ]
    return Drawing(tuple(rules), tuple(rectangles), tuple(labels))


def step_for(largest: int) -> int:
    """The distance of the marks on an axis up to `largest`: 1, 2 or 5 times a power of ten.

    Heckbert, "Nice numbers for graph labels", Graphics Gems (1990).
    """
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power * _TICKS >= largest:
                return digit * power
        power *= 10


def _pieces(chart: Bars, scale: float) -> Iterator[Rectangle]:
    room = _room(chart)
    for number, bar in enumerate(chart.bars):
        y: float = HEIGHT - _BOTTOM
        for part, amount in enumerate(bar.amounts):
            height = amount * scale
            y -= height
            if amount:
                yield Rectangle(_LEFT + (number + _GAP / 2) * room, y, room * (1 - _GAP), height, part)


def _legend(chart: Bars) -> Iterator[Rectangle]:
    x: float = _LEFT
    for part, name in enumerate(chart.parts):
        yield Rectangle(x, SMALL + 8, SMALL, SMALL, part)
        x += SMALL * (3 + 0.6 * len(name))


def _names(chart: Bars) -> Iterator[Label]:
    """The labels of bars; of many, every second, third and so on."""
    room, every = _room(chart), -(-len(chart.bars) // _LABELS)
    for number, bar in enumerate(chart.bars):
        if number % every == 0:
            yield Label(_LEFT + (number + 0.5) * room, HEIGHT - _BOTTOM + SMALL + 4, bar.label, "middle")


def _room(chart: Bars) -> float:
    return (WIDTH - _LEFT - _RIGHT) / max(len(chart.bars), 1)
