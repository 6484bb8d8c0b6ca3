"""Worksheets are passed over, and indexed many cells at a time, as if each cell was looked at."""

import datetime
import io
import random
import re
import zipfile
from collections.abc import Callable, Iterable

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.comments import Comment
from openpyxl.utils.datetime import MAC_EPOCH

from sftpd.erasure import tokenizing
from sftpd.erasure.formats import xlsx, xlsx_glance
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Format, Inquiry, UnsearchableError
from sftpd.erasure.formats.zip import Zip
from sftpd.erasure.identifiers import Identifier, parse_identifier, possible
from sftpd.erasure.layouts import Numbers
from sftpd.erasure.tokenizing import Collector

TOLD = (
    *("email=jan@example.nl", "phone=0612345678", "bsn=123456782", "customer=1234"),
    *("born=Jan de Vries 1980-05-17", "name=Jan de Vries"),
)
NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
KNOWN = [parse_identifier(plain) for plain in TOLD]
EVERY = [*KNOWN, *(form for known in KNOWN for form in possible(known))]
BORN = datetime.date(1980, 5, 17)
HERS = (
    *("jan@example.nl", "Jan de Vries", "J. de Vries", "06-12345678", "jan_x0040_example.nl", 123456782),
    *(6.12345678e8, 612345678, 1234, "1234", BORN, datetime.datetime.combine(BORN, datetime.time(8, 30))),
    *('="Jan"&" de Vries"', "=A1&1234", "17 mei 1980", "jan&#64;example.nl", "de Vries", "Jan"),
)
OTHERS = (
    *("Piet", "", "<b>", 'x"y', 11, 7654321, 3.5, datetime.date(1999, 1, 31), "=SUM(A1:A3)", "a & b", None),
)
HEADS = ("naam", "voornaam", "achternaam", "klantnummer", "telefoon", "geboren", "bsn", "x")


def book(chance: random.Random) -> bytes:
    made = openpyxl.Workbook()
    made.epoch = MAC_EPOCH if chance.random() < 0.3 else made.epoch
    hers = chance.choice(((), (), ("Jan de Vries", BORN), chance.sample(HERS, 3)))
    for number in range(chance.randint(1, 2)):
        sheet = made.active if not number else made.create_sheet()
        sheet.append(chance.sample(HEADS, 4))
        for _ in range(chance.randint(1, 5)):
            cells = [chance.choice(hers if hers and chance.random() < 0.5 else OTHERS) for _ in range(4)]
            sheet.append(cells)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def sharing(data: bytes) -> bytes:
    """The workbook with its strings shared, as other programs write it, and one that nothing uses."""
    strings: list[str] = ["x"]

    def share(cell: re.Match[str]) -> str:
        if cell[2] not in strings:
            strings.append(cell[2])
        return f'<c{cell[1]} t="s"><v>{strings.index(cell[2])}</v></c>'

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.startswith("xl/worksheets/sheet"):
                content = re.sub(
                    r'<c([^>]*) t="inlineStr"><is>(.*?)</is></c>', share, content.decode(), flags=re.DOTALL
                ).encode()
            new.writestr(name, content)
        items = "".join(f"<si>{each if '<t' in each else '<t>x</t>'}</si>" for each in strings)
        new.writestr("xl/sharedStrings.xml", f'<sst xmlns="{NAMESPACE}">{items}</sst>')
    return out.getvalue()


def searched(data: bytes, known: list[Identifier]) -> object:
    try:
        findings = detect(b"a.xlsx", data).find(data, Inquiry(known, detect, name=b"a.xlsx"))
        return list(findings.locators), list(findings.unsearched)
    except UnsearchableError as fault:
        return fault.what


@pytest.mark.parametrize("known", [*([known] for known in KNOWN), EVERY], ids=[*TOLD, "all"])
def test_a_search_finds_the_same_as_one_that_reads_it_all(
    known: list[Identifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    def noted(*told: object) -> bool:
        said.append(xlsx_glance.say_nothing(*told))
        return said[-1]

    monkeypatch.setattr(xlsx, "say_nothing", noted)
    chance = random.Random(7)
    for _ in range(70):
        data = book(chance)
        data = sharing(data) if chance.random() < 0.7 else data
        glanced = searched(data, known)
        with monkeypatch.context() as without:
            without.setattr(xlsx, "say_nothing", lambda *_: False)
            assert glanced == searched(data, known)
    assert 10 < sum(said) < 70


LAYOUTS = (Numbers("voornaam", "employee"),)


def finished(data: bytes, chance: random.Random) -> bytes:
    """The workbook with what is beside rows."""
    made = openpyxl.load_workbook(io.BytesIO(data))
    sheet = made.active
    sheet.oddHeader.center.text = "&Bklant 77 &P"
    sheet["B2"].hyperlink = "mailto:piet@example.nl?klant=5"
    sheet["C2"].comment = Comment("klantnummer 88", "Jan")
    sheet["A7"] = CellRichText("jan@exa", TextBlock(InlineFont(b=True), "mple.nl"))
    sheet.append(["=1+1"] * 3)
    for _ in range(chance.choice((0, 30))):
        sheet.append([chance.choice(HERS) for _ in range(4)])
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


@pytest.mark.parametrize("seed", range(30))
def test_the_entries_are_those_of_a_reading_cell_by_cell(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: set[str] = set()

    def noted(told: Iterable[str], _key: bytes) -> bytes:
        taken.update(told)
        return b""

    def entries(form: Callable[[Collector], Format]) -> set[str]:
        taken.clear()
        collector = Collector(b"k" * 32, len, LAYOUTS)
        findings = form(collector).find(data, collector.inquiry(b"a.xlsx"))
        assert (list(findings.locators), list(findings.unsearched)) == ([], [])
        collector.flush()
        return set(taken)

    monkeypatch.setattr(tokenizing, "tokens", noted)
    monkeypatch.setattr(xlsx, "say_nothing", lambda *_: False)
    chance = random.Random(seed)
    data = finished(book(chance), chance)
    data = sharing(data) if seed % 3 else data
    closely = entries(lambda _: Zip())
    assert entries(lambda collector: collector.detect(b"a.xlsx", data)) >= closely
    assert {"customer\0" + "77", "customer\0" + "88", "customer\0" + "5", "email\0jan@example.nl"} <= closely


def test_a_damaged_book_has_no_tokens() -> None:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(sharing(book(random.Random(1))))) as old,
        zipfile.ZipFile(out, "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, b"<sst/>" if name == "xl/sharedStrings.xml" else old.read(name))
    collector = Collector(b"k" * 32, len)
    with pytest.raises(UnsearchableError, match="no such shared string"):
        collector.detect(b"a.xlsx", out.getvalue()).find(out.getvalue(), collector.inquiry(b"a.xlsx"))
