"""XLSX and ODS: her row is emptied and stays in its place, every other cell and part is as it was."""

import datetime
import io
import re
import zipfile

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odf.opendocument import OpenDocumentSpreadsheet, load
from odf.table import Table, TableCell, TableRow
from odf.text import P
from openpyxl.comments import Comment
from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH, to_excel
from openpyxl.worksheet.table import Table as XlsxTable

from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.formats.xlsx_sheet import Days
from sftpd.erasure.identifiers import parse_identifier

JAN = parse_identifier("email=jan@example.nl")
KLANT = parse_identifier("customer=1234")
NAMESPACE = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OTHERS = st.text(st.sampled_from("abcë <&\"'@."), min_size=1, max_size=8).map(lambda text: f"x{text}y") | (
    st.sampled_from(["xjan@example.nl", "jan@example.nl.com", "Jan", "Amsterdam"])
)
HERS = st.sampled_from(["jan@example.nl", "JAN@Example.nl", "Jan <jan@example.nl>"])


def find(data: bytes, *identifiers):
    return detect(b"a.xlsx", data).find(data, Inquiry(identifiers or (JAN,), detect))


def redacted(data: bytes, *identifiers) -> bytes:
    findings = find(data, *identifiers)
    assert not findings.whole
    after = b"".join(findings.rest())
    assert find(after, *identifiers).locators == []
    return after


def saved(book: openpyxl.Workbook) -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def with_parts(data: bytes, **changed: bytes) -> bytes:
    """The archive with some parts replaced or added; `__` stands for a folder, `_0` for a dot."""
    return archived(
        {**parts(data), **{k.replace("__", "/").replace("_0", "."): v for k, v in changed.items()}}
    )


def archived(content: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return out.getvalue()


def cells(data: bytes) -> list[list[list[object]]]:
    book = openpyxl.load_workbook(io.BytesIO(data))
    return [[[cell.value for cell in row] for row in sheet.iter_rows()] for sheet in book.worksheets]


@st.composite
def tables(draw):
    width = draw(st.integers(1, 4))
    rows = []
    for _ in range(draw(st.integers(1, 7))):
        hers = draw(st.booleans())
        fields = draw(st.lists(OTHERS | st.integers(0, 9999), min_size=width, max_size=width))
        if hers:
            fields[draw(st.integers(0, width - 1))] = draw(HERS)
        rows.append((fields, hers))
    return [([f"kolom {n}" for n in range(width)], False), *rows]


@settings(deadline=None, max_examples=30)
@given(tables(), tables(), st.booleans())
def test_xlsx_rows_are_emptied_and_others_stay(first, second, shared: bool) -> None:
    book = openpyxl.Workbook()
    for sheet, table in ((book.active, first), (book.create_sheet("twee"), second)):
        for fields, _ in table:
            sheet.append(fields)
    before = saved(book)
    if shared:
        before = with_shared_strings(before)
    after = redacted(before)
    expected = [
        [[None] * len(fields) if hers else fields for fields, hers in table] for table in (first, second)
    ]
    stripped = [without_tail(table) for table in cells(after)]
    assert stripped == [without_tail(table) for table in expected]
    kept = [str(value) for table in (first, second) for fields, hers in table if not hers for value in fields]
    for fields in (fields for table in (first, second) for fields, hers in table if hers):
        for value in fields:
            if isinstance(value, str) and value not in kept:
                raw = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
                texts = re.findall(r"<t[^>]*>([^<]*)</t>", "".join(map(bytes.decode, parts(after).values())))
                assert raw not in texts


def without_tail(table):
    while table and not any(value is not None for value in table[-1]):
        table = table[:-1]
    return [row + [None] * (8 - len(row)) for row in table]


def with_shared_strings(data: bytes) -> bytes:
    """The workbook with its strings where Excel keeps them."""
    strings: list[bytes] = []

    def share(found):
        if found[3] not in strings:
            strings.append(found[3])
        return b'<c %bt="s"%b><v>%d</v></c>' % (found[1], found[2], strings.index(found[3]))

    content = {
        name: re.sub(rb'<c ([^>]*)t="inlineStr"([^>]*)><is>(.*?)</is></c>', share, value, flags=re.DOTALL)
        if name.startswith("xl/worksheets/")
        else value
        for name, value in parts(data).items()
    }
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    told = b'<Override PartName="/xl/sharedStrings.xml" ContentType="%b"/></Types>' % kind
    content["[Content_Types].xml"] = content["[Content_Types].xml"].replace(b"</Types>", told)
    body = b"".join(b"<si>%b</si>" % string for string in strings)
    content["xl/sharedStrings.xml"] = b'<sst xmlns="%b">%b</sst>' % (NAMESPACE, body)
    return archived(content)


def workbook() -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (
        ["naam", "mail", "klantnr", "dubbel"],
        ["Jan de Vries", "jan@example.nl", 1234, "=C2*2"],
        ["Piet", "piet@example.nl", 99, "=C3*2"],
        ["som", None, "=SUM(C2:C3)", '=A2&""'],
    ):
        sheet.append(row)
    sheet["B2"].comment = Comment("belde op dinsdag", "Beheer")
    sheet["B3"].comment = Comment("ook over jan@example.nl", "Beheer")
    sheet["A3"].comment = Comment("niets", "Beheer")
    sheet["B2"].hyperlink = "https://crm.example.nl/1234"
    sheet["B3"].hyperlink = "mailto:piet@example.nl"
    sheet["A4"].hyperlink = "mailto:jan@example.nl"
    book.properties.creator = "jan@example.nl"
    book.properties.title = "Lijst"
    return book


@pytest.mark.parametrize("form", [bytes, with_shared_strings])
def test_what_belongs_to_her_row_goes_with_it(form) -> None:
    before = form(saved(workbook()))
    after = redacted(before)
    book = openpyxl.load_workbook(io.BytesIO(after))
    sheet = book.active
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
        ["naam", "mail", "klantnr", "dubbel"],
        [None, None, None, "=C2*2"],
        ["Piet", "piet@example.nl", 99, "=C3*2"],
        ["som", None, "=SUM(C2:C3)", '=A2&""'],
    ]
    assert "belde" not in sheet["B2"].comment.text if sheet["B2"].comment else True
    assert "jan@" not in sheet["B3"].comment.text
    assert "niets" in sheet["A3"].comment.text
    assert sheet["B2"].hyperlink is None
    assert sheet["B3"].hyperlink.target == "mailto:piet@example.nl"
    assert not book.properties.creator
    assert book.properties.title == "Lijst"
    left, old = parts(after), parts(before)
    every = b"".join(left.values())
    for word in (b"jan@example.nl", b"Jan de Vries", b"belde", b"crm.example.nl"):
        assert word in b"".join(old.values())
        assert word not in every
    same = {"[Content_Types].xml", "xl/workbook.xml", "xl/styles.xml", "xl/theme/theme1.xml", "_rels/.rels"}
    assert {name for name in left if left[name] == old[name]} >= same


def test_a_number_counts_in_a_column_that_says_whose() -> None:
    after = redacted(saved(workbook()), KLANT)
    assert [row[2] for row in cells(after)[0]] == ["klantnr", None, 99, "=SUM(C2:C3)"]
    book = openpyxl.Workbook()
    book.active.append(["bedrag"])
    book.active.append([1234])
    assert find(saved(book), KLANT).locators == []


@pytest.mark.parametrize("form", [bytes, with_shared_strings])
def test_results_that_repeat_what_went_go(form) -> None:
    before = form(saved(workbook()))
    sheet = parts(before)["xl/worksheets/sheet1.xml"]
    result = re.sub(
        rb'<c r="D4"[^>]*>(<f>[^<]*</f>)<v></v>', rb'<c r="D4" t="str">\1<v>Jan de Vries</v>', sheet
    )
    assert result != sheet
    result, changed = re.subn(rb"(<f>C2\*2</f>)<v></v>", rb"\1<v>2468</v>", result)
    assert changed
    after = parts(redacted(with_parts(before, xl__worksheets__sheet1_0xml=result)))
    assert b'<c r="D4" t="str"><f>A2&amp;""</f></c>' in after["xl/worksheets/sheet1.xml"]
    assert b"2468" not in after["xl/worksheets/sheet1.xml"]
    runs = b'<a:p xmlns:a="a"><a:r>jan@</a:r><a:r>example.nl</a:r></a:p>'
    cache = b'<r xmlns="x"><s v="Jan de Vries"/><s v="Piet"/>' + runs + b"</r>"
    after = parts(redacted(with_parts(before, xl__pivotCache__p_0xml=cache)))
    expected = b'<r xmlns="x"><s v=""/><s v="Piet"/><a:p xmlns:a="a"><a:r></a:r><a:r></a:r></a:p></r>'
    assert after["xl/pivotCache/p.xml"] == expected


def test_links_to_other_books_are_not_followed_and_lose_what_they_repeat(monkeypatch) -> None:
    """What would open a file or a connection fails."""
    link = (
        b'<externalLink xmlns="%b"><externalBook><sheetDataSet><row r="1">'
        b'<cell r="A1" t="str"><v>%%b</v></cell>'
        b'<cell r="B1" t="str"><v>Piet</v></cell></row></sheetDataSet></externalBook></externalLink>'
        % NAMESPACE
    )
    relations = (
        b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        b'<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
        b'externalLinkPath" Target="%b" TargetMode="External"/></Relationships>'
    )
    before = with_parts(
        saved(workbook()),
        xl__externalLinks__externalLink1_0xml=link % b"Jan de Vries",
        xl__externalLinks___rels__externalLink1_0xml_0rels=relations % b"file:////203.0.113.1/share/a.xlsx",
        xl__externalLinks___rels__externalLink2_0xml_0rels=relations % b"https://x.invalid/?jan@example.nl",
    )
    for module, name in (("socket", "socket"), ("builtins", "open"), ("os", "open")):
        monkeypatch.delattr(f"{module}.{name}")
    after = redacted(before)
    monkeypatch.undo()
    left = parts(after)
    assert left["xl/externalLinks/externalLink1.xml"] == link % b""
    assert b"203.0.113.1" in left["xl/externalLinks/_rels/externalLink1.xml.rels"]
    assert b"jan@example.nl" not in left["xl/externalLinks/_rels/externalLink2.xml.rels"]


def test_a_long_name_of_an_element_is_passed_at_once() -> None:
    name = b"n" * 300_000
    part = b'<%b x = "jan@example.nl"/>' % name
    after = parts(redacted(with_parts(saved(workbook()), docProps__custom_0xml=part)))
    assert after["docProps/custom.xml"] == part.replace(b"jan@example.nl", b"")


def test_strings_that_others_use_stay() -> None:
    book = openpyxl.Workbook()
    for row in (
        ["plaats", "mail"],
        ["Amsterdam", "jan@example.nl"],
        ["Amsterdam", "piet@example.nl"],
        ["Breda", "x"],
    ):
        book.active.append(row)
    cache = b'<r><s v="Amsterdam"/><s v="Breda"/><s v="jan@example.nl"/></r>'
    for form in (bytes, with_shared_strings):
        after = redacted(with_parts(form(saved(book)), xl__pivotCache__p_0xml=cache))
        assert cells(after)[0] == [
            ["plaats", "mail"],
            [None, None],
            ["Amsterdam", "piet@example.nl"],
            ["Breda", "x"],
        ]
        assert parts(after)["xl/pivotCache/p.xml"] == cache.replace(b"jan@example.nl", b"")


def test_names_and_formulas_that_carry_her_are_left_to_people() -> None:
    named = openpyxl.Workbook()
    named.create_sheet("jan@example.nl")
    formula = openpyxl.Workbook()
    formula.active["A1"] = '=COUNTIF(B:B,"jan@example.nl")'
    column = openpyxl.Workbook()
    column.active.append(["jan@example.nl", "b"])
    column.active.append([1, 2])
    column.active.add_table(XlsxTable(displayName="T", ref="A1:B2"))
    for book in (named, formula, column):
        with pytest.raises(UnsearchableError, match="by hand"):
            find(saved(book))


def test_pictures_are_told_and_signed_books_go_whole() -> None:
    before = saved(workbook())
    findings = find(with_parts(before, xl__media__image1_0png=b"\x89PNG"))
    assert [reason.partition(": ")[2] for reason in findings.unsearched] == ["it is not XML"]
    assert find(with_parts(before, _xmlsignatures__sig1_0xml=b"<a/>")).whole


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("xl__sharedStrings_0xml", b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><sst>&x;</sst>'),
        ("xl__sharedStrings_0xml", b"<sst/>"),
        ("xl__worksheets__sheet1_0xml", b"<worksheet><sheetData><row r='x'/></sheetData></worksheet>"),
        ("xl__worksheets__sheet1_0xml", b"<worksheet><sheetData>"),
        ("xl__worksheets__sheet1_0xml", '<?xml version="1.0" encoding="utf-16"?><a/>'.encode("utf-16")),
        ("xl__worksheets__sheet1_0xml", b'<?xml version="1.0" encoding="iso-8859-1"?><a/>'),
    ],
)
def test_damaged_books_are_unsearchable(part: str, content: bytes) -> None:
    with pytest.raises(UnsearchableError):
        find(with_parts(with_shared_strings(saved(workbook())), **{part: content}))


def ods(table, **values) -> bytes:
    document = OpenDocumentSpreadsheet()
    sheet = Table(name="Blad1")
    for fields, _ in table:
        row = TableRow(**values)
        for field in fields:
            cell = TableCell(valuetype="string" if isinstance(field, str) else "float", value=str(field))
            cell.addElement(P(text=str(field)))
            row.addElement(cell)
        sheet.addElement(row)
    document.spreadsheet.addElement(sheet)
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()


def ods_cells(data: bytes) -> list[list[str]]:
    sheet = load(io.BytesIO(data)).spreadsheet
    rows = []
    for row in sheet.getElementsByType(TableRow):
        fields: list[str] = []
        for cell in row.getElementsByType(TableCell):
            fields += [str(cell)] * int(cell.getAttribute("numbercolumnsrepeated") or 1)
        rows.append(fields)
    return rows


@settings(deadline=None, max_examples=30)
@given(tables())
def test_ods_rows_are_emptied_and_others_stay(table) -> None:
    before = ods(table)
    after = redacted(before)
    assert ods_cells(after) == [[""] * len(f) if hers else [str(v) for v in f] for f, hers in table]
    old, left = parts(before), parts(after)
    assert {name for name in old if old[name] != left[name]} <= {"content.xml"}
    assert next(iter(left)) == "mimetype"


def test_ods_keeps_repetitions_and_loses_properties() -> None:
    before = ods([(["klantnr", "mail"], False), ([1234, "jan@example.nl"], True)], numberrowsrepeated=3)
    after = redacted(before)
    assert (
        b'number-rows-repeated="3"><table:table-cell table:number-columns-repeated="2"/>'
        in parts(after)["content.xml"]
    )
    assert find(before, KLANT).locators == ["row 4"]
    meta = b'<m xmlns:dc="dc"><dc:creator>jan@example.nl</dc:creator><dc:title>Lijst</dc:title></m>'
    after = parts(redacted(with_parts(before, meta_0xml=meta)))
    assert after["meta.xml"] == meta.replace(b"jan@example.nl", b"")


def test_ods_without_a_safe_way_is_left_to_people() -> None:
    before = ods([(["a"], False)])
    content = parts(before)["content.xml"].replace(b'table:name="Blad1"', b'table:name="jan@example.nl"')
    with pytest.raises(UnsearchableError, match="by hand"):
        find(with_parts(before, content_0xml=content))
    with pytest.raises(UnsearchableError):
        find(with_parts(before, content_0xml=b"\0encrypted"))
    signed = with_parts(ods([(["jan@example.nl"], True)]), **{"META-INF__documentsignatures_0xml": b"<a/>"})
    assert find(signed).whole


BORN = parse_identifier("born=Jan de Vries 1980-05-17")


def dated(*days: datetime.date, form: str = "DD-MM-YYYY", epoch: datetime.datetime = WINDOWS_EPOCH) -> bytes:
    """A workbook in which people called Jan de Vries were born on these days, in numbers shown as dates."""
    book = openpyxl.Workbook()
    book.epoch = epoch
    book.active.append(["voornaam", "achternaam", "geboren"])
    for day in days:
        book.active.append(["Jan", "de Vries", day])
        book.active.cell(book.active.max_row, 3).number_format = form
    return saved(book)


@pytest.mark.parametrize("epoch", [WINDOWS_EPOCH, MAC_EPOCH])
@pytest.mark.parametrize("form", ["DD-MM-YYYY", "mm-dd-yy", 'd" van "mmmm', "[$-413]d mmmm yyyy;@", "yy"])
def test_a_number_that_is_shown_as_a_date_is_that_date(form: str, epoch: datetime.datetime) -> None:
    other, hers = datetime.date(1980, 5, 18), datetime.date(1980, 5, 17)
    after = redacted(dated(hers, other, form=form, epoch=epoch), BORN)
    sheet = openpyxl.load_workbook(io.BytesIO(after)).active
    assert [row[0].value for row in sheet.iter_rows(min_row=2)] == [None, "Jan"]


@pytest.mark.parametrize("form", ["General", "0.00", '0" dagen"', "[Red]0", "@", "0\\d"])
def test_a_number_that_is_shown_as_one_is_no_date(form: str) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Jan de Vries", 29358])
    book.active.cell(1, 2).number_format = form
    assert find(saved(book), BORN).locators == []


@given(st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)), st.booleans())
def test_days_are_counted_as_a_reader_of_workbooks_counts_them(day: datetime.date, mac: bool) -> None:
    epoch = MAC_EPOCH if mac else WINDOWS_EPOCH
    if mac and day.year < 1904:
        return
    first = datetime.date(1904, 1, 1) if mac else datetime.date(1899, 12, 30)
    assert Days(frozenset((3,)), first).shown("3", str(int(to_excel(day, epoch)))) == day.isoformat()


@pytest.mark.parametrize("number", ["-1", "2958466", "99999999999", "1e3", ""])
def test_what_is_no_day_is_no_date(number: str) -> None:
    assert Days(frozenset((3,))).shown("3", number) is None


def test_in_ods_a_date_is_what_the_cell_holds_however_it_is_shown() -> None:
    document = OpenDocumentSpreadsheet()
    table = Table(name="een")
    for value in ("1980-05-18", "1980-05-17T00:00:00"):
        row = TableRow()
        for cell, shown in (
            (TableCell(valuetype="string"), "Jan"),
            (TableCell(valuetype="string"), "de Vries"),
            (TableCell(valuetype="date", datevalue=value), "in mei"),
        ):
            cell.addElement(P(text=shown))
            row.addElement(cell)
        table.addElement(row)
    document.spreadsheet.addElement(table)
    out = io.BytesIO()
    document.write(out)
    assert find(out.getvalue(), BORN).locators == ["row 2"]
