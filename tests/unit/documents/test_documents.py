"""Documents as pages: what is in them is there to be read, and what partners named does nothing."""

import io
import re
import subprocess
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.documents import chart, html, pdf
from sftpd.documents.model import Bar, Bars, Document, Heading, Paragraph, Table

MADE = datetime(2026, 1, 2, tzinfo=UTC)
BARS = Bars("Files", ("kept", "gone"), [Bar("Jan", [3, 1]), Bar("Feb", [0, 0]), Bar("Mar", [1, 9])])
HOSTILE = "<script>alert(1)</script>\x1b[2J\u202egnp.exe"
DOCUMENT = Document(
    "Résumé",
    "of what was",
    (
        Heading("Names"),
        Table(("a", "b"), [(HOSTILE, "é")]),
        Table(("x",), [], "Nothing."),
        BARS,
        Paragraph("End."),
    ),
)


@given(st.integers(0, 10**12))
def test_the_marks_of_an_axis_are_round_and_few(largest):
    step = chart.step_for(largest)
    assert re.fullmatch("[125]0*", str(step))
    assert step * 5 >= largest
    assert step == 1 or step * 2 < max(largest, 1)


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=2, max_size=2), max_size=60))
def test_bars_stand_within_the_drawing_on_each_other_and_in_proportion(amounts):
    drawing = chart.draw(Bars("t", ("a", "b"), [Bar("x", pair) for pair in amounts]))
    pieces = [one for one in drawing.rectangles if one.y > 20]
    base = max(rule.y for rule in drawing.rules)
    assert all(
        p.x >= 0 and p.x + p.width <= chart.WIDTH and p.y >= 40 and p.y + p.height <= base + 1e-6
        for p in pieces
    )
    heights = sorted(piece.height for piece in pieces)
    wanted = sorted(amount for pair in amounts for amount in pair if amount)
    assert len(heights) == len(wanted)
    if wanted:
        assert heights == pytest.approx([amount * heights[-1] / wanted[-1] for amount in wanted])


def test_a_page_is_well_formed_and_obeys_no_name():
    page = html.page(DOCUMENT)
    body = page[page.index("<body>") : page.index("</html>")]
    tree = ET.fromstring(body)
    assert tree.find(".//td").text == "<script>alert(1)</script>\\x1b[2J\\u202egnp.exe"
    assert tree.findall(".//script") == []
    assert "Nothing." in "".join(tree.itertext())
    assert "default-src 'none'" in page
    assert len(tree.findall(".//{http://www.w3.org/2000/svg}rect")) == 4 + 2


def test_a_picture_is_svg_by_itself():
    assert ET.fromstring(html.picture(BARS)).tag == "{http://www.w3.org/2000/svg}svg"
    assert ET.fromstring(html.picture(Bars("none", (), []))) is not None


def test_pdf_pages_hold_the_same_text(tmp_path):
    (tmp_path / "d.pdf").write_bytes(pdf.pages(DOCUMENT, MADE))
    told = subprocess.run(["pdftotext", "-layout", tmp_path / "d.pdf", "-"], capture_output=True, check=True)
    text = told.stdout.decode()
    for wanted in (
        "Résumé",
        "of what was",
        "Names",
        "<script>alert(1)</script>",
        "é",
        "Nothing.",
        "Mar",
        "End.",
    ):
        assert wanted in text
    assert re.search("1 ?/ ?1$", text.strip())


def test_the_same_document_gives_the_same_pdf():
    assert pdf.pages(DOCUMENT, MADE) == pdf.pages(DOCUMENT, MADE)


def test_a_long_table_repeats_its_head_on_each_page(tmp_path):
    rows = [(f"file-{number}", "ok") for number in range(200)]
    (tmp_path / "d.pdf").write_bytes(pdf.pages(Document("T", "", [Table(("name", "result"), rows)]), MADE))
    told = subprocess.run(["pdftotext", "-layout", tmp_path / "d.pdf", "-"], capture_output=True, check=True)
    pages = told.stdout.decode().strip("\f").split("\f")
    assert len(pages) > 2
    assert all("result" in page for page in pages)
    assert io.StringIO(told.stdout.decode()).read().count("file-") == 200
