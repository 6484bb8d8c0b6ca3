"""Documents as PDF, on A4 pages."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fpdf import FPDF

from sftpd.documents import chart
from sftpd.documents.model import Bars, Document, Heading, Paragraph, Table
from sftpd.documents.pdf_table import TableDrawing
from sftpd.documents.text import printable

_FONT = "Helvetica"
_TITLE, _HEADING, _TEXT, _CELL, _FOOT = 18, 13, 10, 8, 8
_LINE = 1.35
_NARROWEST, _WIDEST = 11, 40
_MM_PER_POINT = 25.4 / 72
_GAP = 3
_SCALES = (1.0, 0.9, 0.8, 0.7, 0.6)
"""What the letters are scaled by until a document of one page fits on it."""
_GREY, _PALE, _BLACK = 120, 205, 0


def pages(document: Document, made: datetime) -> bytes:
    r"""The document as a PDF file that says it was `made` then; the same ones give the same bytes.

    Its font, which every reader has, knows the letters of Windows-1252; others read `\u0142`.
    """
    paper = _drawn(document, _SCALES[0])
    for scale in _SCALES[1:]:
        if not document.one_page or paper.page_no() == 1:
            break
        paper = _drawn(document, scale)
    paper.set_creation_date(made)
    return bytes(paper.output())


def _drawn(document: Document, scale: float) -> "_Paper":
    paper = _Paper(document.title, scale)
    paper.set_title(_text(document.title))
    paper.set_lang(document.language)
    paper.add_page()
    paper.write_lines(document.title, _TITLE, bold=True)
    paper.set_text_color(_GREY)
    paper.write_lines(document.about, _TEXT)
    paper.set_text_color(_BLACK)
    for block in document.blocks:
        paper.ln(_GAP * scale)
        _DRAWN[type(block)](paper, block)
    return paper


class _Paper(FPDF):
    """Pages that carry the title and their number at the foot; `scale` is that of the letters."""

    def __init__(self, title: str, scale: float) -> None:
        super().__init__(format="A4")
        self._title = title
        self.letters = scale
        self.core_fonts_encoding = "cp1252"
        self.set_margins(18, 16)
        self.set_auto_page_break(True, 18)
        self.alias_nb_pages()

    def footer(self) -> None:
        """Print the foot of a page; called by the library."""
        self.set_y(-14)
        self.set_font(_FONT, size=_FOOT)
        self.set_text_color(_GREY)
        self.cell(self.epw / 2, 5, _text(self._title))
        self.cell(self.epw / 2, 5, f"{self.page_no()} / {{nb}}", align="R")
        self.set_text_color(_BLACK)

    def write_lines(self, text: str, size: int, *, bold: bool = False) -> None:
        """Write text, broken into lines."""
        scaled = size * self.letters
        self.set_font(_FONT, "B" if bold else "", scaled)
        self.multi_cell(
            0, scaled * _LINE * _MM_PER_POINT, _text(text), align="L", new_x="LMARGIN", new_y="NEXT"
        )


def _heading(paper: _Paper, block: Heading) -> None:
    paper.write_lines(block.text, _HEADING, bold=True)


def _paragraph(paper: _Paper, block: Paragraph) -> None:
    paper.write_lines(block.text, _TEXT)


def _table(paper: _Paper, block: Table) -> None:
    if not block.rows:
        paper.write_lines(block.empty, _TEXT)
        return
    size = _CELL * paper.letters
    paper.set_font(_FONT, size=size)
    widths = _widths(block)
    paper.set_draw_color(_PALE)
    head, *rows = ([_text(cell) for cell in cells] for cells in (block.columns, *block.rows))
    line = size * _LINE * _MM_PER_POINT
    TableDrawing(paper, head, widths, line=line, above=0.6 * paper.letters).draw(rows)


def _widths(block: Table) -> tuple[int, ...]:
    """The shares of the columns: the longest text of each counts, within bounds."""
    rows = (block.columns, *block.rows)
    longest = (max(len(row[at]) for row in rows) for at in range(len(block.columns)))
    return tuple(min(max(length + 2, _NARROWEST), _WIDEST) for length in longest)


def _bars(paper: _Paper, block: Bars) -> None:
    drawing, unit = chart.draw(block), paper.epw / chart.WIDTH
    if paper.will_page_break(chart.HEIGHT * unit):
        paper.add_page()
    left, top = paper.l_margin, paper.get_y()
    paper.set_draw_color(_PALE)
    for x, y, width in drawing.rules:
        paper.line(left + x * unit, top + y * unit, left + (x + width) * unit, top + y * unit)
    for x, y, width, height, part in drawing.rectangles:
        paper.set_fill_color(chart.COLOURS[part % len(chart.COLOURS)])
        paper.rect(left + x * unit, top + y * unit, width * unit, height * unit, style="F")
    paper.set_font(_FONT, size=round(chart.SMALL * unit / _MM_PER_POINT))
    for x, y, text, anchor in drawing.labels:
        shown = _text(text)
        before = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * paper.get_string_width(shown)
        paper.text(left + x * unit - before, top + y * unit, shown)
    paper.set_y(top + chart.HEIGHT * unit)


_DRAWN: Mapping[type, Callable[[_Paper, Any], None]] = {
    Heading: _heading,
    Paragraph: _paragraph,
    Table: _table,
    Bars: _bars,
}


def _text(text: str) -> str:
    return printable(text).encode("cp1252", "backslashreplace").decode("cp1252")
