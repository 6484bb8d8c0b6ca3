"""Whatever an identifier is found in has its token."""

import io
import json
import re
import zipfile

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sftpd.erasure import columns
from sftpd.erasure.entries import entries_in, entries_of, labelled_entries, number_entries
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.identifiers import Identifier, carries, fold, parse_identifier, possible, readings
from sftpd.erasure.tokenizing import Collector
from sftpd.erasure.tokens import KINDS, SIZE, token, tokens, wanted
from sftpd.errors import InvalidNameError

KEY = b"k" * 32

KNOWN = {
    "email": ("jan@example.nl", "a.b-c+d@sub.example.co.uk", "x|y@q-r.nl", "_o'n@a_b.nl", "-@1.2"),
    "bsn": ("123456782", "012345672", "111222333", "001234569"),
    "iban": ("NL91ABNA0417164300", "GB29NWBK60161331926819", "BE68539007547034", "NO9386011117947"),
    "customer": ("K-123", "12345", "a/7.b", "nr5", "_9_"),
    "employee": ("E77", "0042", "99-x"),
    "phone": ("0612345678", "+31 20 123 4567", "0031101112223"),
}


def known(kind: str, value: str) -> Identifier | None:
    try:
        return parse_identifier(f"{kind}={value}")
    except InvalidNameError:
        return None


PERSONS = [one for kind, values in KNOWN.items() for value in values if (one := known(kind, value))]
WORDS = ("klant", "klantnr", "customer id", "medewerker", "staff_no", "Personeelsnummer", "naam", "kl")
NOISE = st.text(st.sampled_from("09ax.-_/+()@,;|\"' \t\n:é"), max_size=4)


@st.composite
def spellings(draw: st.DrawFn, value: str) -> str:
    """The value as somebody may write it, or may not."""
    shown = draw(st.sampled_from((value, value.upper(), value.lower())))
    gap = draw(st.sampled_from(("", "", " ", "-", ".", "  ", " (", "\n")))
    at = draw(st.sets(st.integers(1, max(1, len(shown) - 1)), max_size=5))
    return "".join(gap + each if place in at else each for place, each in enumerate(shown))


@st.composite
def mentions(draw: st.DrawFn) -> tuple[Identifier, str, str]:
    """A person, a text that may tell of them, and what it stands under."""
    person = draw(st.sampled_from(PERSONS))
    told = [draw(NOISE)]
    for _ in range(draw(st.integers(1, 3))):
        other = draw(st.sampled_from(PERSONS))
        told.append(draw(st.sampled_from(("", *WORDS))))
        told.append(draw(st.sampled_from(("", " ", ": ", "=", "-"))))
        told.append(draw(spellings(draw(st.sampled_from((person, person, other))).value)))
        told.append(draw(NOISE))
    return person, "".join(told), draw(st.sampled_from(("", *WORDS)))


def tells_of(person: Identifier, text: str, label: str = "") -> bool:
    """Whether a text carries a person, or a form that may be the person's."""
    return carries([person, *possible(person)], text, label)


def tokens_of(text: str, label: str = "") -> bytes:
    entries = (entries_in(each) | number_entries(each, fold(label)) for each in readings(fold(text)))
    return tokens(set().union(*entries), KEY)


def is_among(person: Identifier, packed: bytes) -> bool:
    among = {packed[start : start + SIZE] for start in range(0, len(packed), SIZE)}
    return not among.isdisjoint(wanted(person, KEY) or ())


@given(mentions())
def test_what_an_identifier_matches_has_its_token(mention):
    person, text, label = mention
    assume(tells_of(person, text, label))
    packed = tokens_of(text, label)
    assert any(each in packed for each in wanted(person, KEY) or ())


@given(st.text(st.sampled_from("0013456-. (/a+"), max_size=24), st.data())
def test_every_number_that_a_text_can_be_read_as_has_its_token(text, data):
    digits = "".join(filter(str.isdigit, text))
    start = data.draw(st.integers(0, max(0, len(digits) - 8)))
    number = digits[start : start + data.draw(st.integers(8, 15))]
    person = known("bsn", number)
    if person is not None and person.matches(text):
        assert is_among(person, tokens_of(text))


@given(st.text(st.sampled_from("ab1.-_@'|+ "), max_size=20), st.data())
def test_every_address_that_a_text_can_be_read_as_has_its_token(text, data):
    start = data.draw(st.integers(0, len(text)))
    person = known("email", text[start : data.draw(st.integers(start, len(text)))])
    if person is not None and person.matches(text):
        assert is_among(person, tokens_of(text))


@given(st.text(st.sampled_from("kn1/.-_ :r"), max_size=16), st.data())
def test_every_number_of_ours_that_a_text_can_be_read_as_has_its_token(text, data):
    start = data.draw(st.integers(0, len(text)))
    person = known("customer", text[start : data.draw(st.integers(start, len(text)))])
    for told, label in ((f"klant{text}", ""), (text, "klant nr"), (text, f"klant {text}")):
        if person is not None and person.matches(told, label):
            assert is_among(person, tokens_of(told, label))


PIECES = st.sampled_from(("k", "n", "1", "9", "/", ".", "-", "_", " ", ":", "r", "\n", "klant", "nr"))


@given(
    st.sets(st.lists(PIECES, max_size=7).map("".join), max_size=5),
    st.sampled_from(("klant", "klant nr", "x.customer_id", "klant 9", "klant 1", "staff no", "naam")),
    st.data(),
)
def test_many_texts_under_one_label_have_what_each_of_them_has(texts, label, data):
    entries = labelled_entries({fold(text) for text in texts}, label)
    for text in texts:
        start = data.draw(st.integers(0, len(text)))
        for kind in ("customer", "employee"):
            person = known(kind, text[start : data.draw(st.integers(start, len(text)))])
            if person is not None and person.matches(text, label):
                assert f"{kind}\0{person.value}" in entries
    few = {"7", "k-1", "x9_2"}
    assert labelled_entries(few, "klant nr") == {f"customer\0{each}" for each in few}


def _csv(rows: list[list[str]], delimiter: str) -> bytes:
    quoted = [['"' + field.replace('"', '""') + '"' for field in row] for row in rows]
    return "".join(delimiter.join(row) + "\n" for row in quoted).encode()


def _bare(field: str) -> str:
    return "".join(each for each in field if each not in '"\r\n')


def _zip(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()


_TWO_SIGNS = re.compile(r"[^\w\s]{2}")


def _files(labels: list[str], rows: list[list[str]]) -> dict[str, bytes]:
    documents = [dict(zip(labels, row, strict=True)) for row in rows]
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    escaped = json.dumps({"list": documents}, ensure_ascii=True).encode()
    table = _csv([labels, *rows], ";")
    return {
        "a.csv": table,
        "b.tsv": _csv([labels, *rows], "\t"),
        "c.csv": "\n".join("|".join(row).replace("\n", " ") for row in [labels, *rows]).encode(),
        "d.ndjson": lines.encode(),
        "e.json": escaped,
        "f.txt": "\n".join(", ".join(row) for row in rows).encode(),
        "g.zip": _zip("a.csv", table),
        "h.csv": ("\ufeff" + table.decode()).encode("utf-16-le"),
        "i.csv": "\n".join(";".join(map(_bare, row)) for row in [labels, *rows]).encode(),
        "j.csv": "\n".join(map(_bare, (labels[0], *(row[0] for row in rows)))).encode("cp1252"),
    }


def _is_found(person: Identifier, name: bytes, data: bytes) -> bool:
    """Whether a search finds a person or a possible form; a file it cannot read is read at each search."""
    try:
        told = Inquiry([person, *possible(person)], detect, name=name)
        return bool(detect(name, data).find(data, told).locators)
    except UnsearchableError:
        return False


def _collected(name: bytes, data: bytes) -> tuple[list[str], bytes]:
    written: list[bytes] = []
    collector = Collector(KEY, written.append)
    findings = collector.detect(name, data).find(data, collector.inquiry(name))
    collector.flush()
    return [*findings.locators, *findings.unsearched], b"".join(written)


@given(st.lists(mentions(), min_size=1, max_size=3), st.lists(st.sampled_from(WORDS), min_size=2, max_size=2))
def test_who_is_found_in_a_file_of_any_format_has_a_token_of_it(told, labels):
    rows = [[text, draw_from] for (_, text, draw_from) in told]
    # There may be a second delimiter then, by which lines read in other ways.
    twofold = any(_TWO_SIGNS.search(field) for row in rows for field in row)
    for name, data in _files(labels, rows).items():
        found = [person for person, *_ in told if _is_found(person, name.encode(), data)]
        if found:
            try:
                left, packed = _collected(name.encode(), data)
            except UnsearchableError:
                assert twofold or name in ("c.csv", "f.txt", "i.csv", "j.csv")  # the same
                continue
            assert twofold or left == []
            if left:
                continue
            for person in found:
                assert any(each in packed for each in wanted(person, KEY) or ()), (name, person.plain())


@pytest.mark.parametrize("label", ["klant", "cust", "deb", "kl", "rel.", "medewerker", "emp", "pers"])
def test_the_end_of_a_label_may_stand_in_the_field_with_the_number(label):
    kind = "employee" if label in ("medewerker", "emp", "pers") else "customer"
    for term in ("nr", "nrs", "nummer", "num", "nbr", "code", "id", "key", "no.", "nr. "):
        for number in ("12", "k12"):
            person = known(kind, number)
            for name, data in _files([label, "naam"], [[f"{term}{number}", "x"], ["7", "y"]]).items():
                if _is_found(person, name.encode(), data):
                    _, packed = _collected(name.encode(), data)
                    assert any(each in packed for each in wanted(person, KEY) or ()), (name, term)


def test_a_number_is_beside_no_word_of_another_field():
    fields = {"klantnr", "medewerkernummer", "kl.nr.", *(f"k{number}" for number in range(50))}
    assert entries_of(fields) == set()
    assert entries_of({"klantnr k7", *fields}) == {"customer\0k7"}


GAPS = (*" .-\t\n\x1c\x85", "\u1680", "\u2028", "\u3000")


@given(
    st.sampled_from(KNOWN["iban"]), st.lists(st.sampled_from(("", *GAPS)), min_size=34, max_size=34), NOISE
)
def test_an_iban_has_its_token_whatever_spaces_it_is_written_with(iban, gaps, noise):
    written = "".join(f"{gap}{sign}" for gap, sign in zip(gaps, iban, strict=False))
    assert f"iban\0{iban.lower()}" in entries_in(fold(f"{noise}; {written} {noise}"))


class Taken(Collector):
    """Keeps what it is given of columns."""

    def __init__(self):
        super().__init__(KEY, len)
        self.fields: set[str] = set()
        self.numbers: dict[str, set[str]] = {}

    def take_fields(self, fields):
        self.fields |= fields

    def take_numbers(self, texts, label):
        self.numbers.setdefault(label, {""}).update(map(fold, texts))


FIELD = st.text(st.sampled_from("K01 -@a.é\u0141\u037e\xa0"), max_size=6) | st.sampled_from(
    ("jan@example.nl", "K-7")
)


@given(
    st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=6),
    st.sampled_from(("\n", "\r\n")),
    st.booleans(),
)
def test_lines_that_are_all_alike_are_taken_as_other_records_are(rows, line_end, is_ended):
    lines = ["naam;klantnr;medewerkernummer", *map(";".join, rows)]
    data = (line_end.join(lines) + line_end * is_ended).encode()
    alike, others = Taken(), Taken()
    columns.Columns(alike).find(data, Inquiry([], detect))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_is_regular", lambda *_: False)
        columns.Columns(others).find(data, Inquiry([], detect))
    assert alike.fields | {""} == others.fields | {""}
    assert alike.numbers == others.numbers
    assert alike.numbers["klantnr"] >= {fold(number) for _, number, _ in rows}


def test_a_text_without_anybody_has_no_token_but_of_its_dates():
    text = "kerk 12, 2024-01-15T10:22:03; 1.234,50 eur; iso 27001, klant tevreden; a@b; nl 12"
    assert entries_in(text) == {"date\0" + "2024-01-15", "date\0" + "2024 12"}
    assert list(number_entries(text)) == []


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("jan@example.nl.", {"email\0jan@example.nl"}),
        ("o'jan@example.nl", {"email\0o'jan@example.nl"}),
        ("jan+news@example.nl", {"email\0jan+news@example.nl", "mailbox\0jan@example.nl"}),
        ("bsn 1234.56.782", {"bsn\0" + "123456782"}),
        ("bsn 1234 56 782-x", {"bsn\0" + "123456782"}),
        ("5-12345672", {"bsn\0" + "012345672"}),
        ("nl91 abna 0417 1643 00 op naam", {"iban\0nl91abna0417164300"}),
    ],
)
def test_a_text_has_few_tokens_beside_those_it_means(text, entries):
    assert set(entries_in(text)) >= entries
    assert len(set(entries_in(text))) <= len(entries) + 2


@given(st.text(st.sampled_from("ab1.-_@'|+ \","), max_size=20), st.data())
def test_every_form_of_an_address_that_a_text_can_be_read_as_has_a_token(text, data):
    start = data.draw(st.integers(0, len(text)))
    domain = data.draw(st.sampled_from(("", "@gmail.com", "@googlemail.com", "@ab.a1")))
    text = text + domain + data.draw(st.sampled_from(("", ".", "-a", "--a", "_", "@")))
    person = known("email", text[start : data.draw(st.integers(start, len(text)))])
    other = person and known("email", f"{person.value.replace('@', '+1@')}")
    for one in filter(None, (person, other)):
        if carries([one, *possible(one)], text):
            packed = tokens_of(text)
            assert any(each in packed for each in wanted(one, KEY) or ())


@pytest.mark.parametrize("mention", ["Jan+x@gmail.com", "j.an@googlemail.com", "ja.n+1@gmail.com"])
def test_forms_of_one_mailbox_lead_to_each_other(mention):
    for known_as in ("jan@gmail.com", "j.a.n+other@googlemail.com"):
        hers = wanted(parse_identifier(f"email={known_as}"), KEY)
        assert any(each in tokens_of(mention) for each in hers or ())


@given(st.text(st.sampled_from("00311226 -.,;(+\u2013a)"), max_size=24), st.data())
def test_every_telephone_number_that_a_text_can_be_read_as_has_its_token(text, data):
    digits = "".join(filter(str.isdecimal, text))
    start = data.draw(st.integers(0, max(0, len(digits) - 9)))
    person = known("phone", f"+31{digits[start : start + 9]}")
    if person is not None and wanted(person, KEY) and tells_of(person, text):
        assert is_among(person, tokens_of(text))


@pytest.mark.parametrize(
    "written",
    [
        "0612345678",
        "612345678",
        "+31 6 1234 5678",
        "0031612345678",
        "+31 (0)6-12345678",
        "00 3 1 06 12345678",
        "003 10612345678",
        "06/12.34.56.78",
        "a06–123–456–78b",
        "06, 123; 456 | 78",
    ],
)
def test_every_way_to_write_a_telephone_number_has_its_token(written):
    person = parse_identifier("phone=+31612345678")
    assert tells_of(person, written)
    assert is_among(person, tokens_of(written))


def test_names_and_numbers_of_other_countries_have_no_token_and_are_scanned_for():
    for plain in ("name=Jan de Vries", "phone=+447700900123", "phone=+3161234567", "phone=+31012345678"):
        assert wanted(parse_identifier(plain), KEY) is None
    assert "name" not in KINDS


def test_a_token_depends_on_key_and_type():
    one, other = parse_identifier("customer=k-7"), parse_identifier("employee=k-7")
    assert len({token(one, KEY), token(one, KEY + b"x"), token(other, KEY)}) == 3
    # That of 007 is that of 7 too: what one of them is forgotten by would hide the other.
    assert token(parse_identifier("customer=7"), KEY) is None
    assert wanted(parse_identifier("customer=7"), KEY) == wanted(parse_identifier("customer=007"), KEY)


def test_half_a_character_is_no_obstacle():
    _, packed = _collected(b"a.json", b'["klant x\\ud800y@example.nl", "jan@example.nl"]')
    assert is_among(parse_identifier("email=jan@example.nl"), packed)
    assert token(Identifier("email", "x\ud800y@example.nl", carries, bool), KEY) in packed
