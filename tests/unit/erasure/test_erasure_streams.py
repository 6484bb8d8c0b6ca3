"""Tables, lines and texts are read a piece at a time, and come out as if they had been read whole."""

import json
from unittest.mock import patch

import pytest
import whole_text
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_text import compare, piecewise

from sftpd.erasure.formats import decoding, lines, model
from sftpd.erasure.formats.csv import Csv
from sftpd.erasure.formats.csv_shape import Shape
from sftpd.erasure.formats.decoding import Traces, traces
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.json_tokens import DEPTH_LIMIT, documents, tokens
from sftpd.erasure.formats.model import Format, Inquiry, UnsearchableError
from sftpd.erasure.formats.ndjson import Ndjson
from sftpd.erasure.formats.text import Text
from sftpd.erasure.identifiers import fold, parse_identifier

JAN = parse_identifier("email=jan@example.nl")
KNOWN = [JAN, parse_identifier("customer=12"), parse_identifier("name=Zoë de Boer")]
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-be"])
PIECES = st.sampled_from([1, 2, 3, 5, 8, 13, 40, 1 << 20])
WORDS = st.sampled_from(
    [
        *(";", ";", ";", ",", "|", "\t", "\n", "\n", "\n", "\r\n", "\r", '"', '"', '""', '";"', '"\n"'),
        *("jan@example.nl", "JAN@example.nl", "xjan@example.nl", "klantnr", "12", "2", "3", "003", "x"),
        *("TOTAAL", "EOF", "99", "é", "€", "Zoe\u0308 de\nBoer", "Zoë de Boer", " ", "\x0c", "\u2028"),
    ]
)
TANGLES = st.lists(WORDS, max_size=30).map("".join)


def encoded(text: str, encoding: str) -> bytes:
    """UTF-16 without a name for its order gets a mark, as `utf-16` does."""
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    return mark + text.encode(encoding, "replace")


@given(TANGLES, ENCODINGS, PIECES)
def test_any_table_comes_out_as_if_read_whole(text: str, encoding: str, piece: int) -> None:
    compare(Csv(), encoded(text, encoding), KNOWN, piece)


FIELDS = st.lists(WORDS, max_size=3).map("".join)


@st.composite
def tables(draw: st.DrawFn) -> str:
    """A table that mostly is one, with quotes where they belong, a fault and a trailer."""
    delimiter, line_end = draw(st.sampled_from(";,\t|")), draw(st.sampled_from(["\n", "\r\n"]))
    width = draw(st.integers(1, 3))
    needs = (delimiter, '"', "\n", "\r")

    def written(fields: list[str]) -> str:
        quoted = ('"' + field.replace('"', '""') + '"' for field in fields)
        always = draw(st.booleans())
        plain = zip(fields, quoted, strict=True)
        return (
            delimiter.join(q if always or any(map(f.__contains__, needs)) else f for f, q in plain) + line_end
        )

    rows = [
        written(draw(st.lists(FIELDS, min_size=width, max_size=width)))
        for _ in range(draw(st.integers(0, 7)))
    ]
    count = draw(st.sampled_from(["", "TOTAAL", "EOF"]))
    if count:
        rows.append(f"{count}{delimiter}{len(rows) - draw(st.integers(0, 1)):0{draw(st.integers(1, 4))}}")
    if draw(st.integers(0, 3)) == 0:
        rows.insert(
            draw(st.integers(0, len(rows))), draw(st.sampled_from(["\n", '""\n', "x", '"x', 'x"\n', "\r"]))
        )
    return "".join(rows)


@given(tables(), ENCODINGS, PIECES)
def test_a_table_comes_out_as_if_read_whole(text: str, encoding: str, piece: int) -> None:
    compare(Csv(), encoded(text, encoding), KNOWN, piece)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | FIELDS
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3)
)
LINES = st.one_of(
    st.tuples(DOCUMENTS, st.booleans()).map(lambda pair: json.dumps(pair[0], ensure_ascii=pair[1])),
    st.sampled_from(
        ["", " \t", "\r", "[1,", "2]", "{}{}", "1 2", '"\\ud834"', '"\\ud834\\udd1e"', "01", "1e999", "NaN"]
    ),
    st.text(st.sampled_from('[]{}",:;\\u0@ja\r1-.eE+ \x0c'), max_size=12),
)


@given(st.lists(LINES, max_size=8).map("\n".join), ENCODINGS, PIECES)
def test_lines_of_json_come_out_as_if_read_whole(text: str, encoding: str, piece: int) -> None:
    compare(Ndjson(), encoded(text, encoding), KNOWN, piece)


@given(TANGLES, ENCODINGS, PIECES)
def test_a_text_comes_out_as_if_read_whole(text: str, encoding: str, piece: int) -> None:
    with (
        patch("sftpd.erasure.formats.text.OVERLAP", 100),
        patch("sftpd.erasure.formats.decoding.OVERLAP", 100),
    ):
        compare(Text(), encoded(text, encoding), KNOWN, piece)


@given(LINES)
def test_what_passes_at_a_glance_is_json(line: str) -> None:
    if line and line != "\r" and "\n" not in line and documents(line):
        list(tokens(line.encode()))


def test_depth_is_counted_where_a_glance_does_not() -> None:
    deep = "[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1)
    assert documents(deep[1:-1])
    assert not documents(deep)
    assert piecewise(Ndjson(), f'"jan@example.nl"\n{deep}\n'.encode(), KNOWN, 64) == (
        f"line 2: it is nested deeper than {DEPTH_LIMIT} levels"
    )


@given(TANGLES)
def test_a_shape_has_a_line_for_each_record(text: str) -> None:
    for delimiter in ";,|\t\0":
        try:
            records = list(whole_text.records(text, delimiter))
        except UnsearchableError:
            continue
        shape = Shape(text, 1)
        assert shape.is_strict(delimiter)
        assert [line.count(delimiter) + 1 for line in shape.lines] == [
            len(record.fields) for record in records
        ]
        assert [shape.start(record.number - 1) for record in records] == [record.start for record in records]
        assert shape.blanks == sum(record.fields == [""] for record in records)


@st.composite
def alike(draw: st.DrawFn) -> str:
    """Records that mostly have as many fields, the same ones quoted."""
    delimiter, line_end = draw(st.sampled_from(";,")), draw(st.sampled_from(["\n", "\r\n"]))
    content = st.lists(st.sampled_from(["a", "é", "€", " ", ",", ";", "\n", '""']), max_size=3).map("".join)
    bare = st.text(st.sampled_from("aé€ "), max_size=2)
    shape = draw(st.lists(st.booleans(), min_size=1, max_size=3))
    rows = [
        delimiter.join(f'"{draw(content)}"' if quoted else draw(bare) for quoted in shape)
        for _ in range(draw(st.integers(1, 4)))
    ]
    text = "".join(row + line_end for row in rows)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(["", "", "", '"', ",", ";", "\n", "\r", "a"])) + text[at:]


@given(alike())
@settings(max_examples=400)
def test_records_are_told_to_be_alike_only_where_they_are(text: str) -> None:
    for delimiter in ";,":
        for columns in (1, 2, 3):
            shape = Shape(text, 1)
            if shape.repeats(delimiter, columns):
                records = list(whole_text.records(text, delimiter))
                assert {len(record.fields) for record in records} == {columns}
                assert [] not in [record.fields for record in records]
                assert (shape.records, shape.blanks) == (len(records), 0)
                assert (len(shape.lines), Shape(text, 1).blanks) == (len(records), 0)


def test_records_are_told_to_be_alike_at_a_glance() -> None:
    for text, columns in (
        ("a;b\nc;d\n", 2),
        ('1;"a";2\r\n3;"b";4\r\n', 3),
        ('"a;b";"c\nd"\n"";"e"\n', 2),
        ('"a;b";"c"\r\n"";"e"\r\n', 2),
    ):
        assert Shape(text, 2).repeats(";", columns)
        assert not Shape(text, 2).repeats(";", columns + 1)
    for text in (
        'a";b\nc";d\n',
        "a\r;b\nc\r;d\n",
        "a;b\nc;d",
        "a;b\nc",
        'x"a";b\nx"a";b\n',
        '"a""";"b"\n',
        "a;b\rc\n",
    ):
        assert not Shape(text, 2).repeats(";", 2)


@given(TANGLES, PIECES, st.sets(st.integers(1, 12)))
def test_records_that_may_carry_somebody_are_found_from_afar(text: str, piece: int, also: set[int]) -> None:
    def is_likely(some: str) -> bool:
        return "x" in some

    for quoting in (False, True):
        if quoting and text.count('"') % 2:
            continue
        places = list(lines.each_record(text) if quoting else lines.spans(text))
        wanted = [
            (number, start, end)
            for number, (start, end) in enumerate(places, 3)
            if number in also or is_likely(text[start:end])
        ]
        with patch.multiple(lines, _STRETCH=piece, _BATCH=2):
            assert list(lines.likely(text, 3, is_likely, frozenset(also), quoting=quoting)) == wanted


def test_what_is_out_of_place_is_seen_for_each_delimiter() -> None:
    for text, strict in (
        ('"a";b\n', ";"),
        ('"a",b\n', ","),
        ('"a"\n', ";,|\t\0"),
        ('a"b"\n', ""),
        ("a\rb\n", ""),
    ):
        assert "".join(d for d in ";,|\t\0" if Shape(text, 1).is_strict(d)) == strict


@given(
    st.lists(st.text(st.sampled_from("ab\n\u0a0a\u000a\u010a\U0001d11e")), max_size=6).map("".join), PIECES
)
def test_lines_are_whole_in_every_encoding(text: str, piece: int) -> None:
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        data = b"mark" + text.encode(encoding)
        with patch.object(model, "_PIECE", piece):
            parts = list(lines.lines(data, Traces(encoding, 4, ())))
        assert "".join(part.text for part in parts) == text
        assert all(part.text.endswith("\n") for part in parts[:-1])
        for part, end in lines.placed(iter(parts), len(data)):
            assert data[part.start : end].decode(encoding) == part.text


@given(st.lists(st.sampled_from(["x" * 50, "\n", "jan@example.nl", "é"]), max_size=40).map("".join), PIECES)
def test_nothing_of_the_person_is_outside_her_traces(text: str, piece: int) -> None:
    data = text.encode()
    with patch.object(model, "_PIECE", piece), patch("sftpd.erasure.formats.decoding.OVERLAP", 20):
        where = traces(data, [JAN])
    start = data.find(b"jan@example.nl")
    while start >= 0:
        assert where.touch(start, start + 14)
        start = data.find(b"jan@example.nl", start + 1)
    assert bool(where) == (b"jan@example.nl" in data)


FOREIGN = st.text(st.characters(max_codepoint=0x17F) | st.characters() | st.sampled_from("\n\u0301\u0308é"))


@given(FOREIGN)
def test_folding_is_the_same_line_by_line(text: str) -> None:
    assert decoding._folded(text) == fold(text)


@pytest.mark.parametrize(
    ("form", "content", "reason"),
    [
        (Csv(), "jan@example.nl;" + "x" * 200, "a line of it has more than 100 bytes"),
        (Ndjson(), '"jan@example.nl' + "x" * 200, "a line of it has more than 100 bytes"),
        (
            Csv(),
            'a;b\njan@example.nl;"' + "x\n" * 100,
            "a quote is out of place, or a record has more than 100",
        ),
        (Text(), "jan@example.nl" + "\n" * 1000, "it has 1014 bytes, more than the 1000"),
    ],
)
def test_files_lines_and_records_have_their_limits(
    monkeypatch: pytest.MonkeyPatch, form: Format, content: str, reason: str
) -> None:
    monkeypatch.setattr(lines, "LINE_LIMIT", 100)
    monkeypatch.setattr(lines, "FILE_LIMIT", 1000)
    found = piecewise(form, content.encode(), KNOWN, 10)
    assert isinstance(found, str)
    assert reason in found
    others = content.replace("jan@", "piet@").encode()
    assert piecewise(form, others, KNOWN, 10) == whole_text.Result([], others)


def test_a_million_columns_are_a_table_like_others() -> None:
    row = "x" + ";" * 999_999
    before = f"{row}\n{row}jan@example.nl\n{row}\n".encode()
    findings = Csv().find(before, Inquiry([JAN], detect))
    assert findings.locators == ["record 2"]
    assert b"".join(findings.rest()) == f"{row}\n{row}\n".encode()


@pytest.mark.parametrize("piece", [1, 3, 16, 1 << 20])
def test_formats_are_told_piece_by_piece(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(model, "_PIECE", piece)
    for name, content, form in (
        (b"x.dat", b"\n\r\na;b;c\n1;2;3\n", "csv"),
        (b"x.dat", b"a;b;c\n1;2\n", "text"),
        (b"x.dat", b"a;b;c\n", "text"),
        (b"x.dat", b'a;"b;c\n1;2;3\n', "text"),
        (b"x", b'\n\n{"a":\n1}\n', "json"),
        (b"x", b'\n\n{"a": 1}\n\n', "json"),
        (b"x", b'\n\n{"a": 1}\n\n{\n', "ndjson"),
        (b"x.json", b"[1]\r\n[2]", "ndjson"),
        (b"x.csv", b"\n" * 9000, "text"),
        (b"x.csv", b"\n" * 9000 + b"a;b\n", "csv"),
    ):
        assert detect(name, content).name == form, (name, content)
