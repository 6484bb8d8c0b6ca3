"""Documents as HTML: one file that fetches nothing and runs nothing, to be read, printed or archived."""

from collections.abc import Iterator, Sequence
from html import escape

from sftpd.documents import chart
from sftpd.documents.model import Bars, Block, Document, Heading, Paragraph, Table
from sftpd.documents.text import printable

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h1 + p { color: #666; margin-top: .2rem; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #ddd; }
td { overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; }
@media print { body { margin: 0; max-width: none; } thead { display: table-header-group; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(document: Document) -> str:
    """The document as a whole page."""
    return "\n".join(
        (
            f'<!DOCTYPE html>\n<html lang="{escape(document.language)}">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{_text(document.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>{_text(document.title)}</h1>\n<p>{_text(document.about)}</p>",
            *(part for block in document.blocks for part in _block(block)),
            "</body>\n</html>\n",
        )
    )


def picture(bars: Bars) -> str:
    """A chart as SVG, to stand alone or in a page."""
    drawing = chart.draw(bars)
    size, font = f"0 0 {chart.WIDTH} {chart.HEIGHT}", f'font-family="sans-serif" font-size="{chart.SMALL}"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img" {font}>',
            f"<title>{_text(bars.title)}</title>",
            *(
                f'<path d="M{x:.1f} {y:.1f}h{width:.1f}" stroke="#ddd" fill="none"/>'
                for x, y, width in drawing.rules
            ),
            *(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
                f' fill="{chart.COLOURS[part % len(chart.COLOURS)]}"/>'
                for x, y, width, height, part in drawing.rectangles
            ),
            *(
                f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_text(text)}</text>'
                for x, y, text, anchor in drawing.labels
            ),
            "</svg>\n",
        )
    )


def _block(block: Block) -> Iterator[str]:
    match block:
        case Heading(text):
            yield f"<h2>{_text(text)}</h2>"
        case Paragraph(text):
            yield f"<p>{_text(text)}</p>"
        case Bars():
            yield picture(block)
        case Table(rows=[]):
            yield f"<p>{_text(block.empty)}</p>"
        case Table():
            yield f"<table>\n<thead><tr>{_cells('th', block.columns)}</tr></thead>\n<tbody>"
            yield from (f"<tr>{_cells('td', row)}</tr>" for row in block.rows)
            yield "</tbody>\n</table>"


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{_text(text)}</{tag}>" for text in texts)


def _text(text: str) -> str:
    return escape(printable(text))
