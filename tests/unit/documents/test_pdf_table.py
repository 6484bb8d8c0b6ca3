"""Tables on pages: where each word stands, beside the tables of fpdf2, which take many times as long."""

import cProfile
import html
import pstats
import random
import re
import subprocess
from datetime import UTC, datetime

import pytest

from sftpd.documents import pdf
from sftpd.documents.model import Document, Heading, Paragraph, Table

MADE = datetime(2026, 1, 2, tzinfo=UTC)
WORD = re.compile(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*?)</word>')


def slowly(paper, block):
    """A table as fpdf2 draws it."""
    size = pdf._CELL * paper.letters
    paper.set_font(pdf._FONT, size=size)
    paper.set_draw_color(pdf._PALE)
    with paper.table(
        col_widths=pdf._widths(block),
        line_height=size * pdf._LINE * pdf._MM_PER_POINT,
        borders_layout="HORIZONTAL_LINES",
        text_align="LEFT",
        v_align="TOP",
    ) as table:
        for cells in (block.columns, *block.rows):
            row = table.row()
            for cell in cells:
                row.cell(pdf._text(cell), padding=(0.6 * paper.letters, 0.8))


def words(tmp_path, document):
    """Each page's words and where they stand, in points."""
    (tmp_path / "d.pdf").write_bytes(pdf.pages(document, MADE))
    done = subprocess.run(["pdftotext", "-bbox", tmp_path / "d.pdf", "-"], capture_output=True, check=True)
    return [
        [(html.unescape(text), *map(float, box)) for *box, text in WORD.findall(page)]
        for page in done.stdout.decode().split("<page ")[1:]
    ]


def made_up(seed, rows, columns):
    """A table of names, paths and sentences of any length."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEÉøß()\\/-_.,;0123456789@'\"<&…€’œ"

    def word():
        return "".join(chance.choice(letters) for _ in range(chance.choice((1, 3, 8, 20, 70))))

    def cell():
        return chance.choice((" ", " ", "  ")).join(word() for _ in range(chance.choice((0, 1, 1, 2, 9))))

    return Table([word() for _ in range(columns)], [[cell() for _ in range(columns)] for _ in range(rows)])


@pytest.mark.parametrize(
    ("seed", "rows", "columns", "one_page"),
    [
        (1, 1, 5, False),
        (2, 30, 1, False),
        (3, 25, 4, False),
        (4, 12, 8, False),
        (5, 6, 3, True),
        (6, 60, 2, False),
    ],
)
def test_each_word_stands_where_it_would_in_a_table_of_the_library(
    tmp_path, monkeypatch, seed, rows, columns, one_page
):
    table = made_up(seed, rows, columns)
    blocks = (Heading("Files"), table, Paragraph("End."), made_up(seed, 3, 3))
    document = Document("T", "about", blocks, one_page=one_page)
    mine = words(tmp_path, document)
    monkeypatch.setitem(pdf._DRAWN, Table, slowly)
    theirs = words(tmp_path, document)
    assert len(mine) == len(theirs)
    for page, other in zip(mine, theirs, strict=True):
        assert [word for word, *_ in page] == [word for word, *_ in other]
        for (_, *box), (_, *wanted) in zip(page, other, strict=True):
            assert box == pytest.approx(wanted, abs=0.05)


def test_a_cell_costs_few_steps():
    rows = [
        (f"demo/inbound/orders-{n:06}.csv", "dispose", f"kept {n} days", "2026-11-28") for n in range(500)
    ]
    document = Document("T", "", [Table(("path", "action", "reason", "due"), rows)])
    profile = cProfile.Profile()
    profile.runcall(pdf.pages, document, MADE)
    assert pstats.Stats(profile).total_calls < 100 * 4 * len(rows)


def test_a_row_that_is_higher_than_a_page_goes_on_on_the_next(tmp_path):
    long = " ".join(f"word{n}" for n in range(2500))
    pages = words(tmp_path, Document("T", "", [Table(("name", "text"), [("a", long), ("b", "last")])]))
    told = [word for page in pages for word, *_ in page if word.startswith("word")]
    assert told == long.split()
    assert len(pages) > 2
    assert all(box[3] < 842 - 40 for page in pages for word, *box in page if word.startswith("word"))
