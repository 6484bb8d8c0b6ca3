"""A person is found in what a reader of the format shows, however the bytes hide it; so is the token."""

import io
import json
import zipfile

import pypdf
import pytest
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, TextStringObject

from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.identifiers import Identifier, carries, parse_identifier
from sftpd.erasure.matches import find_both
from sftpd.erasure.tokenizing import Collector
from sftpd.erasure.tokens import wanted

KEY = b"k" * 32
EMAIL, BSN, IBAN = "email=jan@example.nl", "bsn=111222333", "iban=NL91ABNA0417164300"
CUSTOMER, NAME, BJORN = "customer=1234", "name=Jan de Vries", "name=Björn O'Brien"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def xlsx(rows: str, strings: str = "", after: str = "") -> bytes:
    """A workbook of one sheet as other programs than openpyxl write it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        book.writestr("[Content_Types].xml", "<Types/>")
        book.writestr("xl/workbook.xml", f'<workbook xmlns="{MAIN}"/>')
        book.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{strings}</sst>')
        sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData>{after}</worksheet>'
        book.writestr("xl/worksheets/sheet1.xml", sheet)
    return out.getvalue()


def row(*texts: str) -> str:
    cells = (
        f'<c r="{chr(65 + at)}1" t="inlineStr"><is><t>{text}</t></is></c>' for at, text in enumerate(texts)
    )
    return f"<row>{''.join(cells)}</row>"


def ods(*rows: str) -> bytes:
    """A spreadsheet of one table; a row is what stands in its cells, `|` between them."""
    cells = (
        "".join(f"<table:table-cell>{cell}</table:table-cell>" for cell in each.split("|")) for each in rows
    )
    told = "".join(f"<table:table-row>{each}</table:table-row>" for each in cells)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr("content.xml", f"<c><table:table>{told}</table:table></c>")
    return out.getvalue()


def message(head: str, body: str = "") -> str:
    return f"MIME-Version: 1.0\r\n{head}\r\n\r\n{body}"


def attached(message: str) -> str:
    """A message with another in it."""
    head = 'Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename="Re: x"\r\n\r\n'
    inner = f"--b\r\n{head}{message}\r\n--b--\r\n"
    return f"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{inner}"


def member(name: bytes, extra: bytes = b"") -> bytes:
    """An archive whose name of a member is of no encoding that it says."""
    out, told = io.BytesIO(), zipfile.ZipInfo("x" * len(name))
    told.extra = extra
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(told, "hoi")
    return out.getvalue().replace(b"x" * len(name), name)


def pdf(content: bytes, *, as_form: bool) -> bytes:
    """A document with a form as XML, or with a file attached to a place on its page."""
    document, out = pypdf.PdfWriter(), io.BytesIO()
    page = document.add_blank_page(100, 100)
    stream = DecodedStreamObject()
    stream.set_data(content)
    kept = document._add_object(stream)
    if as_form:
        forms = ArrayObject([TextStringObject("datasets"), kept])
        document._root_object[NameObject("/AcroForm")] = DictionaryObject({NameObject("/XFA"): forms})
    else:
        files = DictionaryObject({NameObject("/F"): kept})
        file = DictionaryObject({NameObject("/F"): TextStringObject("a.csv"), NameObject("/EF"): files})
        remark = DictionaryObject(
            {NameObject("/Subtype"): NameObject("/FileAttachment"), NameObject("/FS"): file}
        )
        page[NameObject("/Annots")] = ArrayObject([document._add_object(remark)])
    document.write(out)
    return out.getvalue()


def number(value: str) -> str:
    return f"<row><c r='A1'><v>{value}</v></c></row>"


PAGE = (
    '<headerFooter><oddHeader>&amp;L&amp;"Arial,Bold"&amp;12Jan de Vries&amp;RBlad</oddHeader></headerFooter>'
)

BASE64 = "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64"

HIDDEN = {
    # What is seen of it by who unpacks a text.
    "a link": (EMAIL, "a.csv", "a,b,c\n1,2,https://x.nl/?mail=jan%40example.nl&x=1\n"),
    "a link in a link": (EMAIL, "a.txt", "https://x.nl/?u=https%3A%2F%2Fy.nl%2F%3Fmail%3Djan%2540example.nl"),
    "a mailto": (EMAIL, "a.html", '<a href="mailto:jan%40example.nl">m</a>'),
    "a name in a link": (NAME, "a.txt", "https://x.nl/?naam=Jan%20de%20Vries"),
    "entities": (BJORN, "a.csv", "a,b,c\n1,2,Bj&ouml;rn O&#39;Brien\n"),
    "entities in XML": (EMAIL, "a.xml", "<r><a>x</a><a>jan&amp;#64;example.nl</a></r>"),
    "JSON in a log": (BJORN, "a.log", '2026 INFO {"naam": "Bj\\u00f6rn O\'Brien"}\n'),
    "JSON in JSON": (BJORN, "a.json", json.dumps([json.dumps({"naam": "Björn O'Brien"}), "x"])),
    "SQL": (BJORN, "a.sql", "INSERT INTO k VALUES (1,'Björn O''Brien')"),
    "SQL of MySQL": (BJORN, "a.sql", "INSERT INTO k VALUES (1,'Björn O\\'Brien')"),
    "no width": (EMAIL, "a.txt", "bel jan@\u200bexample.nl"),
    "a soft hyphen": (EMAIL, "a.html", "<p>jan@exam&shy;ple.nl</p>"),
    "a hard hyphen": ("email=x-y@example.nl", "a.txt", "x\u2011y@example.nl"),
    "Arabic digits": ("phone=0612345678", "a.txt", "tel ٠٦١٢٣٤٥٦٧٨"),
    "the end of a line in XLSX": (EMAIL, "a.xlsx", xlsx(row("mail") + row("jan@example.nl_x000D_\n"))),
    "the header of a page in XLSX": (NAME, "a.xlsx", xlsx(row("x"), after=PAGE)),
    "a name with its sound in XLSX": (
        NAME,
        "a.xlsx",
        xlsx("<row><c t='s'><v>0</v></c></row>", "<si><t>Jan de Vries</t><rPh><t>jan</t></rPh></si>"),
    ),
    "a result under its label in XLSX": (
        CUSTOMER,
        "a.xlsx",
        xlsx(row("klantnummer") + "<row><c r='A2'><f>B2</f><v>1234</v></c></row>"),
    ),
    # Under a head that is not the first row.
    "below a title in XLSX": (
        CUSTOMER,
        "a.xlsx",
        xlsx(row("Klanten 2026") + row("Klantnummer", "Naam") + row("1234", "Jan")),
    ),
    "below a title in ODS": (
        CUSTOMER,
        "a.ods",
        ods(
            "<text:p>Klanten</text:p>",
            "<text:p>Klantnummer</text:p>|<text:p>X</text:p>",
            "<text:p>1234</text:p>|",
        ),
    ),
    "a remark in ODS": (
        EMAIL,
        "a.ods",
        ods(
            "<office:annotation><dc:date>2026-01-01T00:00</dc:date><text:p>jan@example.nl</text:p></office:annotation>"
        ),
    ),
    **{
        f"{told} in CSV": (CUSTOMER, "a.csv", data)
        for told, data in {
            "below what says the delimiter": "sep=;\nnaam;klantnummer;plaats\nJan;1234;x\nPiet;5;y\n",
            "below two columns": "sep=;\r\nnaam;klantnummer\r\nJan;1234\r\n",
            "below a title": "Rapport;;\n;;\nnaam;klantnummer;plaats\nJan;1234;x\n",
            "below a title alone": "Rapport\n\nnaam;klantnummer;plaats\nJan;1234;x\n",
            "before a delimiter too many": "naam;klantnummer\nJan;1234;\nPiet;55;\n",
            "in a record of too many fields": "naam;klantnummer\nJan;1234;extra\nPiet;55\n",
            "behind names of records": "naam,klantnummer\n1,Jan,1234\n2,Piet,55\n",
        }.items()
    },
    "two columns in text": (CUSTOMER, "a.txt", "naam;klantnummer\nJan;1234\n"),
    # In HTML and mail.
    "a comment in HTML": (EMAIL, "a.html", "<p>jan<!-- no spam -->@example.nl</p>"),
    "an element of nobody's in HTML": (EMAIL, "a.html", "<p>jan@<x-y>example.nl</x-y></p>"),
    "a table in HTML": (
        CUSTOMER,
        "a.html",
        "<table><tr><th>Klanten<tr><th>Klantnummer<th>Naam<tr><td>1234<td>Jan</table>",
    ),
    "a row in HTML": (
        f"born={NAME[5:]} 1980-05-17",
        "a.html",
        "<table><tr><td>Jan de Vries</td><td>17-05-1980</td></tr><tr><td>x</td><td>1-1-2001</td></tr>",
    ),
    "a message behind long headers": (
        EMAIL,
        "1.msg",
        "Received: x\r\n"
        + "X-Seal: xxxxxxxxxxxxxxxxxxxx\r\n" * 500
        + message(BASE64, "YmVsIGphbkBleGFtcGxlLm5s"),
    ),
    "a message in a message": (EMAIL, "a.eml", attached(message(BASE64, "YmVsIGphbkBleGFtcGxlLm5s"))),
    "an old message": (EMAIL, "1", "From: x@y.nl\nSubject: =?utf-8?q?jan=40example=2Enl?=\n\nhoi"),
    "a word of no known encoding": (EMAIL, "a.eml", message("Subject: =?x-y?q?jan=40example=2Enl?=")),
    "a word of another encoding": (EMAIL, "a.eml", message("Subject: =?utf-8?q?Ren=E9_jan=40example=2Enl?=")),
    "uuencode": (EMAIL, "a.eml", message("X: y", "begin 644 a.txt\r\n.:F%N0&5X86UP;&4N;FP \r\n`\r\nend\r\n")),
    "an address of DNS": ("email=jan@bücher.example", "a.txt", "jan@xn--bcher-kva.example"),
    "an address of DNS asked for": ("email=jan@xn--bcher-kva.example", "a.txt", "jan@bücher.example"),
    "a form in PDF": (EMAIL, "a.pdf", pdf(b"<data><mail>jan&#64;example.nl</mail></data>", as_form=True)),
    "a file on a page of PDF": (EMAIL, "a.pdf", pdf(b"a,b,c\n1,2,jan@example.nl\n", as_form=False)),
    # In names of members.
    "a name in UTF-8": (BJORN, "a.zip", member("Björn O'Brien.txt".encode())),
    "a name in Windows-1252": (BJORN, "a.zip", member("Björn O'Brien.txt".encode("cp1252"))),
    "a name beside the name": (
        EMAIL,
        "a.zip",
        member(b"x.txt", b"\x75\x70\x17\x00\x01\0\0\0\0jan@example.nl.txt"),
    ),
    # In lines, words and documents that came apart.
    "an address over two lines": (EMAIL, "a.txt", "mail naar jan@exam-\nple.nl of bel"),
    "a name in a quotation": (NAME, "a.txt", "> Geachte Jan de\n> Vries, hallo"),
    "a name with dots": (NAME, "a.txt", "login jan.de.vries ok"),
    "UTF-8 read as Windows-1252": (BJORN, "a.csv", "a,b,c\n1,2,BjÃ¶rn O'Brien\n"),
    "a code page of DOS": (BJORN, "a.csv", "a,b,c\n1,2,Björn O'Brien\n".encode("cp850")),
    "a letter that was lost": (BJORN, "a.csv", "a,b,c\n1,2,Bj?rn O'Brien\n"),
    "a field with its name in XML": (
        CUSTOMER,
        "a.xml",
        '<r><row><field name="klantnummer">1234</field></row><row><field name="x">1</field></row></r>',
    ),
    "a document in JSON": (EMAIL, "a.json", json.dumps([{"doc": "JVBERi0x" + "A" * 400}])),
    "a document in CSV": (EMAIL, "a.csv", f"a,b,c\n1,2,UEsDBBQA{'A' * 400}\n"),
    "a date with a time": (f"born={NAME[5:]} 1980-05-17", "a.txt", "PID|Jan de Vries|19800517000000|"),
    # Numbers as programs write them that have no whole ones.
    "a float in XLSX": (BSN, "a.xlsx", xlsx(row("bsn") + number("1.11222333E8"))),
    "a float that ends with zeros": ("bsn=111222060", "a.csv", "a,b,c\n1,2,1.1122206E8\n"),
    "a customer in XLSX": (CUSTOMER, "a.xlsx", xlsx(row("klantnummer") + number("1234.0"))),
    "a customer as a float": ("customer=12345678", "a.json", '[{"klantnummer":1.2345678E7},{"x":1}]'),
    "a customer in CSV": (CUSTOMER, "a.csv", "naam,klantnummer\nPiet,1.0\nJan,1234.0\n"),
    "a BSN in JSON": (BSN, "a.json", '[{"bsn":111222333.0},{"x":1}]'),
    # What stands beside it, or in it.
    "an IBAN over two lines": (IBAN, "a.txt", ":86:NL91ABNA04171\r\n64300 huur"),
    "an IBAN between underscores": (IBAN, "a.txt", "Afschrift_NL91ABNA0417164300_2026.pdf"),
    "a BSN between underscores": (BSN, "a.txt", "dossier_111222333_x.pdf"),
    "a BSN with hyphens": (BSN, "a.txt", "1112-22-333"),
    "a BSN behind its name": (BSN, "a.txt", "BSN111222333"),
    **{
        f"a customer as {text}": (CUSTOMER, "a.txt", f"Uw gegevens: {text}, en zo")
        for text in (
            *("Klantnr. 1234", "klant-nr.: 1234", "Customer No.: 1234", "Cliëntnummer: 1234"),
            *("Debiteurennummer 1234", "klantnummers: 1234", 'klant_id="1234"', '{"klantnummer": "1234"}'),
            *("Klantnummer (1234)", "klantnummer - 1234", "klantnummer|1234", "klantnummer;1234"),
        )
    },
}


@pytest.mark.parametrize(("person", "name", "data"), HIDDEN.values(), ids=HIDDEN)
def test_who_is_hidden_is_found_and_has_a_token(person: str, name: str, data: str | bytes) -> None:
    data = data.encode() if isinstance(data, str) else data
    known, raw = parse_identifier(person), name.encode()
    try:
        findings, possible = find_both(detect(raw, data), data, Inquiry([known], detect, name=raw))
    except UnsearchableError:
        return
    assert findings.locators or possible or findings.unsearched
    rest = b"".join(findings.rest()) if findings.locators and not findings.whole else b""
    assert not (rest and detect(raw, rest).find(rest, Inquiry([known], detect, name=raw)).locators)
    assert is_indexed(known, raw, data)


def is_indexed(known: Identifier, name: bytes, data: bytes) -> bool:
    """Whether the index has a token of the person, or the file is read at each search."""
    packed: list[bytes] = []
    collector = Collector(KEY, packed.append)
    try:
        unsearched = collector.detect(name, data).find(data, collector.inquiry(name)).unsearched
    except UnsearchableError:
        return True
    collector.flush()
    tokens = wanted(known, KEY)
    return tokens is None or bool(unsearched) or any(each in b"".join(packed) for each in tokens)


@pytest.mark.parametrize(
    ("person", "text"),
    [
        (EMAIL, "xjan%40example.nl"),
        (EMAIL, "jan%40example.nl.com"),
        (BSN, "111222333,50"),
        (BSN, "111222333.05"),
        (BSN, "1.11222334E8"),
        (BSN, "1.112223334E8"),
        (CUSTOMER, "klantnummer 1234.05"),
        (CUSTOMER, "klanten: 1234"),
        (CUSTOMER, "klant; 1234 stuks"),
        (CUSTOMER, "klantnummer 1.2344E4"),
        (IBAN, "xNL91ABNA0417164300"),
        (BJORN, "Bj&ouml;rn O&#39;Brienx"),
    ],
)
def test_who_is_only_like_that_stays(person: str, text: str) -> None:
    assert not carries([parse_identifier(person)], text)
