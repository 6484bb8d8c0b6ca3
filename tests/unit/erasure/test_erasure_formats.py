"""Redaction takes the person's records, byte for byte, and no other."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from corpus import build
from hypothesis import given
from hypothesis import strategies as st

from sftpd.erasure.formats import model
from sftpd.erasure.formats.csv import Csv
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.json import Json
from sftpd.erasure.formats.json_tokens import DEPTH_LIMIT
from sftpd.erasure.formats.model import Format, Inquiry, UnsearchableError
from sftpd.erasure.formats.ndjson import Ndjson
from sftpd.erasure.formats.text import Text
from sftpd.erasure.identifiers import Identifier, parse_identifier

JAN = parse_identifier("email=jan@example.nl")
ONE = parse_identifier("customer=1")
KLANT = parse_identifier("customer=1234")
FORMATS: list[Format] = [Csv(), Json(), Ndjson(), Text()]

LATIN = st.text(st.sampled_from("abcë€ü;,\t\"'|@.{}\\ \n"), max_size=12)
OTHERS = st.one_of(LATIN, st.sampled_from(["xjan@example.nl", "jan@example.nl.com", "piet@example.nl"]))
HERS = st.sampled_from(["jan@example.nl", "JAN@Example.nl", "Jan <jan@example.nl>; tel\n06"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"])


def redact(form: Format, data: bytes, *identifiers: Identifier) -> bytes:
    return b"".join(form.find(data, Inquiry(identifiers or (JAN,), detect)).rest())


def locators(form: Format, data: bytes, *identifiers: Identifier) -> list[str]:
    return list(form.find(data, Inquiry(identifiers or (JAN,), detect)).locators)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[tuple[list[str], bool]], str, str]:
    width = draw(st.integers(2, 4))
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        fields = draw(st.lists(OTHERS, min_size=width, max_size=width))
        hers = draw(st.booleans())
        if hers:
            fields[draw(st.integers(0, width - 1))] = draw(HERS)
        rows.append((fields, hers))
    header = [f"kolom {number}" for number in range(width)]
    return [(header, False), *rows], draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n"]))


@given(tables(), ENCODINGS, st.booleans())
def test_csv_loses_her_records_alone(
    table: tuple[list[tuple[list[str], bool]], str, str], encoding: str, quote_all: bool
) -> None:
    rows, delimiter, line_end = table

    def written(fields: list[str]) -> str:
        out = io.StringIO()
        quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
        csv.writer(out, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerow(fields)
        return out.getvalue()

    texts = [(written(fields), hers) for fields, hers in rows]
    before = "".join(text for text, _ in texts).encode(encoding)
    after = redact(Csv(), before)
    kept = "".join(text for text, hers in texts if not hers)
    assert after == kept.encode(encoding)
    assert locators(Csv(), after) == []
    parsed = list(csv.reader(io.StringIO(after.decode(encoding), newline=""), delimiter=delimiter))
    assert parsed == list(csv.reader(io.StringIO(kept, newline=""), delimiter=delimiter))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | OTHERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LATIN, inner, max_size=3),
    max_leaves=8,
)
SPACE = st.sampled_from(["", " ", "\n  ", "\r\n\t"])


@given(st.lists(st.tuples(VALUES, HERS | st.none()), max_size=6), SPACE, st.booleans(), ENCODINGS)
def test_json_loses_her_elements_alone(
    people: list[tuple[Any, str | None]], space: str, ascii_only: bool, encoding: str
) -> None:
    elements = [
        (json.dumps({"wat": value, "wie": {"mail": email}}, ensure_ascii=ascii_only), email is not None)
        for value, email in people
    ]

    def document(texts: list[str]) -> bytes:
        body = ("," + space).join(texts)
        return f'{{"n": [1, 2],{space}"p":{space}[{space}{body}{space}], "z": "é"}}\n'.encode(encoding)

    before = document([text for text, _ in elements])
    after = redact(Json(), before)
    assert after == document([text for text, hers in elements if not hers])
    assert json.loads(after.decode(encoding))["p"] == [
        json.loads(text) for text, hers in elements if not hers
    ]
    assert locators(Json(), after) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[{"m": "jan\\u0040example.nl"}, 1]', "[1]"),
        ('[1, {"m": "jan@example.nl"}]', "[1]"),
        ('[{"m": "jan@example.nl"}]', "[]"),
        ('["jan@example.nl", "piet@example.nl"]', '["piet@example.nl"]'),
        ('[{"naam": "Jan", "mail": ["jan@example.nl"]}, 1]', "[1]"),
        ('[{"groep": 1, "leden": ["jan@example.nl", "p@x.nl"]}]', '[{"groep": 1, "leden": ["p@x.nl"]}]'),
        ('{"leden": ["jan@example.nl"]}', '{"leden": []}'),
        ('[{"n": 1, "o": [{"m": "jan@example.nl"}, 2]}, 3]', '[{"n": 1, "o": [2]}, 3]'),
        ('[{"m": "jan@example.nl", "o": [{"m": "jan@example.nl"}, 2]}, 3]', "[3]"),
        ('{"jan@example.nl": {"n": 1}, "p@x.nl": 2}', '{"p@x.nl": 2}'),
        ('{"a": 1, "jan@example.nl": [1, {"x": 2}]}', '{"a": 1}'),
        ('{"m": "jan@example.nl", "o": [1]}', ""),
        ('"jan@example.nl"', ""),
    ],
)
def test_json_loses_the_smallest_element_around_her(before: str, after: str) -> None:
    assert redact(Json(), before.encode()).decode() == after


def test_a_number_counts_only_under_a_key_or_column_that_says_whose() -> None:
    rows = b'[{"klant": {"id": 1234}}, {"bedrag": 1234}]'
    assert locators(Json(), rows, KLANT) == ["/0"]
    assert redact(Json(), rows, KLANT) == b'[{"bedrag": 1234}]'
    table = b"klantnr;bedrag\n1234;1\n7;1234\n"
    assert locators(Csv(), table, KLANT) == ["record 2"]


def test_csv_keeps_what_is_not_hers() -> None:
    assert redact(Csv(), b"naam;mail\njan@example.nl;1\n") == b"naam;mail\n"
    assert redact(Csv(), b"a;b\njan@example.nl;1\r\n\n2;3") == b"a;b\n\n2;3"
    assert redact(Csv(), b"jan@example.nl;1\np@x.nl;2\n") == b"p@x.nl;2\n"
    assert redact(Csv(), b"mail\njan@example.nl\np@x.nl\n") == b"mail\np@x.nl\n"
    assert redact(Csv(), b"a;b\njan@example.nl;1\nTOTAAL;1;x\n") == b"a;b\nTOTAAL;0;x\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a;b\njan@example.nl;1\nx;2\nTOTAAL;2\n", "a;b\nx;2\nTOTAAL;1\n"),
        ("a,b\njan@example.nl,1\nx,2\nTotal,3\n", "a,b\nx,2\nTotal,2\n"),
        ("a|b\njan@example.nl|1\nx|2\nEOF|0002|9,50\n", "a|b\nx|2\nEOF|0001|9,50\n"),
        (
            'a;b\njan@example.nl;1\n"x";2\n"Aantal records: 2";"2,5"\n',
            'a;b\n"x";2\n"Aantal records: 1";"2,5"\n',
        ),
        ("k;l;m\njan@example.nl;1;2\n99;000001\n", "k;l;m\n99;000000\n"),
        # What is no count stays: another number, two that fit, no word that says so, a record of hers.
        ("a;b\njan@example.nl;1\nx;2\nTOTAAL;7\n", "a;b\nx;2\nTOTAAL;7\n"),
        ("a;b\njan@example.nl;1\nx;2\nTOTAAL;2;3\n", "a;b\nx;2\nTOTAAL;2;3\n"),
        ("a;b\njan@example.nl;1\nx;2\n9;3\n", "a;b\nx;2\n9;3\n"),
        ("a;b\njan@example.nl;1\nx;2\npiet;2\n", "a;b\nx;2\npiet;2\n"),
        ("a;b\nx;2\ntotaal jan@example.nl;1\n", "a;b\nx;2\n"),
    ],
)
def test_a_trailer_counts_fewer_records(before: str, after: str) -> None:
    for encoding in ("utf-8", "utf-16", "cp1252"):
        assert redact(Csv(), before.encode(encoding)).decode(encoding) == after
    assert redact(Csv(), after.encode()).decode() == after


def test_the_columns_of_a_table_with_a_trailer_have_their_names() -> None:
    assert locators(Csv(), b"klantnr;b\n1234;1\n7;1234\nEOF;2;x\n", KLANT) == ["record 2"]


def test_ndjson_loses_her_lines() -> None:
    before = b'{"m": "jan\\u0040example.nl"}\r\n\n{"m": "xjan@example.nl"}\n{"jan@example.nl": 1}'
    assert redact(Ndjson(), before) == b'\n{"m": "xjan@example.nl"}\n'


def test_a_person_is_found_however_her_characters_are_written() -> None:
    star = parse_identifier('name=Jan "de ster" 𝄞 Vries')
    assert locators(Csv(), 'naam\n"Jan ""de ster"" 𝄞 Vries"\n'.encode(), star) == ["record 2"]
    assert locators(Json(), json.dumps(["x", 'Jan "de ster" 𝄞 Vries']).encode(), star) == ["/1"]
    assert locators(Ndjson(), json.dumps('Jan "de ster" 𝄞 Vries').encode(), star) == ["line 1"]
    jan = parse_identifier("name=Jan de Vries")
    assert locators(Json(), b'["x", "Jan\\tde\\r\\nVries"]', jan) == ["/1"]
    assert locators(Ndjson(), b'"Jan\\tde\\r\\nVries"', jan) == ["line 1"]
    phone, split = parse_identifier("phone=0612345678"), json.dumps(["x", "06\n123\t456\r78"]).encode()
    assert locators(Json(), split, phone) == ["/1"]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 20])
def test_a_person_is_found_wherever_the_pieces_of_a_text_end(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(model, "_PIECE", piece)
    for encoding in ("utf-8", "utf-16", "cp1252"):
        text = "naam;mail\n" + "é;x\n" * 5 + "x;jan@example.nl\n"
        assert locators(Csv(), text.encode(encoding)) == ["record 7"]
    assert locators(Json(), b'["x", "jan\\u0040example.nl"]') == ["/1"]
    with pytest.raises(UnsearchableError):
        locators(Text(), b"tekst " * 10 + b"\x81")
    with pytest.raises(UnsearchableError):
        locators(Text(), b"jan@example.nl" + b"tekst " * 10 + b"\0")


def test_text_goes_whole() -> None:
    assert Text().find(b"Beste jan@example.nl,\n", Inquiry([JAN], detect)).whole
    assert locators(Text(), b"Beste xjan@example.nl,\n") == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (b"a.csv", b"naam,mail\n", "csv"),
        (b"a.TSV", b"naam\tmail\n", "csv"),
        (b"a.json", b'{"a": 1}', "json"),
        (b"a.json", b'{"a": 1}\n{"a": 2}\n', "ndjson"),
        (b"a.jsonl", b'{"a": 1}', "ndjson"),
        (b"export", b"[1]", "json"),
        (b"export.dat", b"a;b;c\n1;2;3\n", "csv"),
        (b"brief.txt", b"Beste Jan, hallo\nGroet, Piet\n", "text"),
        (b"leeg.csv", b"", "text"),
        (b"leeg.csv", b"\n" * 2000, "text"),
        (b"a.xml", b"<a>jan&#64;example.nl</a>", "xml"),
        (b"brief", b"\xef\xbb\xbf<?xml version='1.0'?><a/>", "xml"),
        (b"brief", '<?xml version="1.0"?><a/>'.encode("utf-16"), "xml"),
        (b"export", b"<n:a xmlns:n='x'/>", "xml"),
        (b"brief", b"<jan@example.nl> schreef:", "text"),
        (b"brief", b"<!DOCTYPE html>\n<p>x", "html"),
        (b"a.htm", b"<p>jan&#64;example.nl</p>", "html"),
        (b"a.eml", b"Beste Jan", "eml"),
        (b"bericht", b"Received: x\n y\nMIME-Version: 1.0\n\nx", "eml"),
        (b"notitie", b"Let op: dit\n\nContent-Type: x", "text"),
        (b"post", b"From piet@example.nl Thu Jan  1 00:00:00 2026\nSubject: x\n\nx", "mbox"),
        (b"bijlage", b"%PDF-1.7\n", "pdf"),
        (b"bijlage", b"PK\x03\x04\x00\x00", "zip"),
        (b"a.csv", b"\x1f\x8b\x08", "gzip"),
        (b"bijlage", b"\0" * 257 + b"ustar", "tar"),
    ],
)
def test_the_format_is_told_by_name_and_content(name: bytes, content: bytes, expected: str) -> None:
    assert detect(name, content).name == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"a.7z", b"7z\xbc\xaf\x27\x1c\x00\x04"),
        (b"a.ics", b"BEGIN:VCALENDAR\n"),
        (b"kaart", b"BEGIN:VCARD\nEMAIL:jan@exa\n mple.nl\n"),
        (b"a.txt", b"\x81\xff\x8d"),
    ],
)
def test_what_hides_its_text_is_unsearchable(name: bytes, content: bytes) -> None:
    with pytest.raises(UnsearchableError):
        detect(name, content)


@pytest.mark.parametrize(
    ("form", "content"),
    [
        (Csv(), b'a;b\n"jan@example.nl;1\n'),
        (Csv(), b'a;b\n"x"y;1\n'),
        (Csv(), b'a;b\n1;2"\n'),
        (Csv(), b'a;b\n"1;2";3;4\n'),
        (Csv(), b"a;b\r1;2\r"),
        (Json(), b'{"a": 1'),
        (Json(), b'[1, {"m": "jan@example.nl"},]'),
        (Json(), b"[1 2]"),
        (Json(), b'{"a" 1}'),
        (Json(), b"[1}"),
        (Json(), b"[01]"),
        (Json(), b"[NaN, 1]"),
        (Json(), b'["\\x", 1]'),
        (Json(), b'["a\nb", 1]'),
        (Json(), b"1 2"),
        (Json(), b"[" * (DEPTH_LIMIT + 1) + b"1"),
        (Ndjson(), b'{"a": 1}\n{"a": \n'),
    ],
)
def test_malformed_content_is_unsearchable(form: Format, content: bytes) -> None:
    with pytest.raises(UnsearchableError):
        form.find(content, Inquiry([ONE], detect))


@given(st.binary(max_size=200) | st.text(st.sampled_from('[]{}",:;\\u0@ja\r\n1-. ')).map(str.encode))
def test_no_bytes_raise_anything_else_or_outlive_redaction(data: bytes) -> None:
    for form in FORMATS:
        try:
            findings = form.find(data, Inquiry([JAN], detect))
        except UnsearchableError:
            continue
        assert findings.whole or locators(form, b"".join(findings.rest())) == []


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_whatever_json_writes_is_searched(value: Any) -> None:
    locators(Json(), json.dumps(value).encode())


def test_the_corpus_comes_out_as_expected(tmp_path: Path) -> None:
    corpus = build(tmp_path)
    identifiers = [parse_identifier(raw) for raw in corpus.identifiers]
    total = 0
    for name, expected in corpus.expected.items():
        before = (tmp_path / name).read_bytes()
        form = detect(name.encode(), before)
        findings = form.find(before, Inquiry(identifiers, detect))
        total += len(findings.locators)
        assert b"".join(findings.rest()) == expected, name
    assert total == corpus.records
