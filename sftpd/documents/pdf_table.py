"""Tables on the pages of a PDF: fpdf2's own takes milliseconds a row, minutes for a plan."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import cast

from fpdf import FPDF
from fpdf.fonts import CoreFont

Lines = Sequence[Sequence[str]]
"""The lines of each cell of a row."""

_SIDE = 0.8
"""Millimetres left and right of the text of a cell."""
_TOLERANCE = 1e-9


class TableDrawing:
    """Draws the rows of one table under each other, and its head on top of each page."""

    def __init__(
        self, paper: FPDF, head: Sequence[str], shares: Sequence[float], *, line: float, above: float
    ) -> None:
        """`shares` of the page's width for each column; `line` height and `above` each cell, in millimetres.

        The font is the one that the paper has by now, which is one of those that every reader has.
        """
        self._paper = paper
        self._size = paper.font_size_pt
        unit = paper.epw / sum(shares)
        self._widths = [share * unit for share in shares]
        self._left = [paper.l_margin + x for x in accumulate(self._widths[:-1], initial=0.0)]
        self._line = line
        self._above = above
        self._set_bold(True)
        self._head = self._broken(head)
        self._set_bold(False)

    def draw(self, rows: Sequence[Sequence[str]]) -> None:
        """Draw the head and all rows."""
        for number, row in enumerate(rows):
            lines = self._broken(row)
            if number == 0:
                self._begin(lines)
            else:
                self._rule()
            for part in self._parts(lines):
                if self._paper.will_page_break(self._height(part)):
                    self._paper.add_page()
                    self._draw_head()
                self._draw(part)

    def _begin(self, first: Lines) -> None:
        """Draw the head where the first row, or as much of it as goes on a page, can stand below it."""
        part = next(iter(self._parts(first)))
        if self._paper.will_page_break(self._height(self._head) + self._height(part)):
            self._paper.add_page()
        self._draw_head()

    def _parts(self, lines: Lines) -> Sequence[Lines]:
        """A row, in parts where it is higher than what a page has below the head."""
        paper = self._paper
        room = paper.h - paper.t_margin - paper.b_margin - self._height(self._head) - 2 * self._above
        most = max(int(room / self._line), 1)
        highest = max(map(len, lines))
        if highest <= most:
            return [lines]
        return [[cell[at : at + most] for cell in lines] for at in range(0, highest, most)]

    def _height(self, lines: Lines) -> float:
        highest = max(map(len, lines))
        return highest * self._line + 2 * self._above if highest else self._line

    def _draw_head(self) -> None:
        self._set_bold(True)
        self._draw(self._head)
        self._rule()
        self._set_bold(False)

    def _draw(self, lines: Lines) -> None:
        paper, top = self._paper, self._paper.get_y()
        base = top + self._above + 0.5 * self._line + 0.3 * paper.font_size
        for left, cell in zip(self._left, lines, strict=True):
            for number, text in enumerate(cell):
                paper.text(left + _SIDE, base + number * self._line, text)
        paper.set_y(top + self._height(lines))

    def _rule(self) -> None:
        """Draw a line between what is above and what comes below, be it on the next page."""
        y = self._paper.get_y()
        self._paper.line(self._left[0], y, self._left[0] + sum(self._widths), y)

    def _set_bold(self, bold: bool) -> None:
        self._paper.set_font(style="B" if bold else "", size=self._size)

    def _broken(self, row: Sequence[str]) -> Lines:
        """The lines of each cell in the font of now."""
        paper = self._paper
        letters = cast("CoreFont", paper.current_font).cw
        unit = self._size / 1000 / paper.k
        # The font knows letters by their bytes.
        texts = map(paper.normalize_text, row)
        return [
            [
                line.encode("latin-1").decode(paper.core_fonts_encoding)
                for line in broken(text, (width - 2 * _SIDE) / unit, letters)
            ]
            for text, width in zip(texts, self._widths, strict=True)
        ]


def broken(text: str, width: float, letters: Mapping[str, float]) -> Sequence[str]:
    """A text in lines no wider than `width`, in the unit of the widths of `letters`.

    Breaks at spaces, one of which is left out for each, or else behind the last letter that fits.
    """
    if sum(map(letters.__getitem__, text)) <= width + _TOLERANCE:
        return [text] if text else []
    lines, start, space, used = [], 0, -1, 0.0
    at = 0
    while at < len(text):
        wide = letters[text[at]]
        if used + wide > width + _TOLERANCE and at > start:
            if text[at] == " ":
                end, at = at, at + 1
            elif space >= 0:
                end, at = space, space + 1
            else:
                end = at
            lines.append(text[start:end])
            start, space, used = at, -1, 0.0
            continue
        if text[at] == " ":
            space = at
        used += wide
        at += 1
    return [*lines, text[start:]] if start < len(text) else lines
