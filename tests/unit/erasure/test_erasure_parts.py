"""Who is known by parts that stand in fields of their own: an address, and a name with a date of birth."""

import random
from itertools import chain
from typing import NamedTuple

import person_corpus
import person_parts
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftpd.erasure.entries import entries_in
from sftpd.erasure.finder import Why
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.identifiers import (
    Identifier,
    fold,
    noting,
    parse_identifier,
    possible,
    recalled,
    record_carries,
)
from sftpd.erasure.layouts import Column, FixedWidth
from sftpd.erasure.marks import Marks
from sftpd.erasure.matches import carried, find_both
from sftpd.erasure.tokenizing import Collector
from sftpd.erasure.tokens import token, tokens, wanted
from sftpd.errors import InvalidNameError

KEY = b"k" * 32
HOUSE = "address=3581 CD 12"
FLAT = "address=3581CD 12-A"
SECOND = "address=3581 cd, 12 - 2"
JAN = "born=Jan de Vries, geb. 17-05-1980"
CERTAIN = "certain"


def told(raw: str, text: str) -> str | None:
    """What a text is to an identifier: certain, a Why, or None for somebody else."""
    identifier = parse_identifier(raw)
    if identifier.matches(text):
        return CERTAIN
    return next((form.kind for form in possible(identifier) if form.matches(text)), None)


def told_of(raw: str, **fields: str) -> str | None:
    """The same of a record."""
    identifier = parse_identifier(raw)
    pairs = [(label.replace("_", " "), text) for label, text in fields.items()]
    if any(identifier.matches(text, label) for label, text in pairs) or record_carries([identifier], pairs):
        return CERTAIN
    forms = possible(identifier)
    return next((form.kind for form in forms if record_carries([form], pairs)), None)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (HOUSE, "address=3581cd 12"),
        ("address=NL-3581 CD, 0012", "address=3581cd 12"),
        ("address=3581CD12bis", "address=3581cd 12-bis"),
        (FLAT, "address=3581cd 12-a"),
        (SECOND, "address=3581cd 12-2"),
        (JAN, "born=jan de vries 1980-05-17"),
        ("born=Vries, Jan de 17 mei 1980", "born=vries, jan de 1980-05-17"),
        ("born=1980-05-17 Jan de Vries", "born=jan de vries 1980-05-17"),
    ],
)
def test_what_a_requester_writes_has_one_normal_form(raw: str, plain: str) -> None:
    identifier = parse_identifier(raw)
    assert identifier.plain() == plain
    assert parse_identifier(plain) == identifier
    assert raw.partition("=")[2] not in repr(identifier)


@pytest.mark.parametrize(
    "raw",
    [
        *(
            "address=3581 CD",
            "address=0581 CD 12",
            "address=3581 C 12",
            "address=3581 CD 0",
            "address=Kade 12",
        ),
        *(
            "born=Jan de Vries",
            "born=1980-05-17",
            "born=Jan 17-05-80",
            "born=Jan 31-02-1980",
            "born=? 1980-05-17",
        ),
    ],
)
def test_half_of_it_is_no_identifier(raw: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        parse_identifier(raw)
    assert "3581" not in str(caught.value).replace("3581 CD 12-a", "")


@pytest.mark.parametrize(
    ("raw", "text", "what"),
    [
        (HOUSE, "Kade 12, 3581 CD Utrecht", CERTAIN),
        (HOUSE, "Kade 12\n3581CD", CERTAIN),
        (HOUSE, "Kade 12 (NL-3581 CD)", CERTAIN),
        (HOUSE, "3581 CD, nr. 12", CERTAIN),
        (HOUSE, "3581CD12", CERTAIN),
        (HOUSE, "brief_3581CD_12", CERTAIN),
        (FLAT, "Kade 12 a, 3581 cd", CERTAIN),
        (FLAT, "3581cd 12-A", CERTAIN),
        (SECOND, "Kade 12-2, 3581 CD", CERTAIN),
        (SECOND, "Kade 12 2, 3581 CD", CERTAIN),
        (HOUSE, "Kade 12a, 3581 CD", Why.HOUSE),
        (HOUSE, "Kade 12-2, 3581 CD", Why.HOUSE),
        (HOUSE, "Kade 12 2, 3581 CD", Why.HOUSE),
        (HOUSE, "Kade 10-12, 3581 CD", Why.HOUSE),
        (HOUSE, "Kade 12, Utrecht, 3581 CD", Why.HOUSE),
        (FLAT, "Kade 12, 3581 CD", Why.HOUSE),
        (FLAT, "Kade 12b, 3581 CD", Why.HOUSE),
        (HOUSE, "Kade 14, 3581 CD", None),
        (HOUSE, "Kade 112, 3581 CD", None),
        (HOUSE, "Kade 12, 3581 CE", None),
        (HOUSE, "Kade 12, 13581 CD", None),
        (HOUSE, "Kade 12, 3581 CDE", None),
        (HOUSE, "Kade 12\n\nKade 14, 3581 CD", None),
        (HOUSE, "3581 CD 06-12345678", None),
        ("address=3581 CD 6", "3581 CD 06-12345678", None),
        ("address=3581 CD 6", "3581 CD 06 12345678", None),
        ("address=3581 CD 2", "Kade 12-2, 3581 CD", Why.HOUSE),
        (JAN, "Jan de Vries 17-05-1980", CERTAIN),
        (JAN, "Betreft: VRIES, JAN DE (17 mei 1980)", CERTAIN),
        (JAN, "jan_de_vries_19800517.pdf", CERTAIN),
        (JAN, "Naam: Jan de Vries\nAdres: Kade 12\nGeboren: 17-05-1980", CERTAIN),
        (JAN, "Jan de Vries 17-05-1980\nPiet Bakker 18-05-1980", CERTAIN),
        (JAN, "Piet Bakker 17-05-1980\nJan de Vries 18-05-1980", Why.LINES),
        (JAN, "J. de Vries, 17-05-1980", Why.INITIALS),
        (JAN, "Jan de Vreis 17-05-1980", Why.SPELLING),
        (JAN, "Jan de Vries 18-05-1980", None),
        (JAN, "Piet de Vries 17-05-1980", None),
        (JAN, "Piet-Jan Bakker 17-05-1980", None),
        (JAN, "Jan de Vries\n\n17-05-1980", None),
        (JAN, f"Jan de Vries{' en nog wat' * 40} 17-05-1980", None),
    ],
)
def test_in_a_text_the_parts_stand_together(raw: str, text: str, what: str | None) -> None:
    assert told(raw, text) == what
    assert what is None or has_token(parse_identifier(raw), text)


@pytest.mark.parametrize(
    ("raw", "fields", "what"),
    [
        (HOUSE, {"postcode": "3581 CD", "huisnummer": "12"}, CERTAIN),
        (HOUSE, {"adres.huisnr": "0012", "adres.postcode": "3581CD"}, CERTAIN),
        (HOUSE, {"BuildingNumber": "12", "StreetName": "Kade", "PostalZone": "3581 CD"}, CERTAIN),
        (HOUSE, {"huisnummer": "12.0", "toev": "null", "pc": "3581 CD"}, CERTAIN),
        (FLAT, {"postcode": "3581 CD", "huisnummer": "12", "huisletter": "A"}, CERTAIN),
        (FLAT, {"postcode": "3581 CD", "huis_nummer": "12 a", "toevoeging": ""}, CERTAIN),
        (FLAT, {"straat": "Kade 12-a", "plaats": "Utrecht", "postcode": "3581 CD"}, CERTAIN),
        (HOUSE, {"x": "Kade 12", "y": "3581 CD Utrecht"}, CERTAIN),
        (HOUSE, {"postcode": "3581 CD", "huisnummer": "12", "huisletter": "A"}, Why.HOUSE),
        (FLAT, {"postcode": "3581 CD", "huisnummer": "12"}, Why.HOUSE),
        (HOUSE, {"x": "Kade 12", "y": "Utrecht", "z": "3581 CD"}, Why.HOUSE),
        (HOUSE, {"aantal": "12", "postcode": "3581 CD"}, Why.HOUSE),
        (HOUSE, {"aantal": "12", "postcode": "3581 CD", "huisnummer": "14"}, None),
        (HOUSE, {"aantal": "12", "postcode": "3581 CD", "adres": "Kade 14"}, None),
        (HOUSE, {"postcode": "3581 CE", "huisnummer": "12"}, None),
        (HOUSE, {"postcode": "3581 CD", "huisnummer": "12345678"}, None),
        (JAN, {"naam": "Jan de Vries", "geboren": "1980-05-17T00:00:00Z"}, CERTAIN),
        (JAN, {"voornaam": "Jan", "tussen": "de", "achternaam": "Vries", "d": "17-5-80"}, CERTAIN),
        (JAN, {"achternaam": "Vries", "tussen": "de", "voornaam": "Jan", "d": "17 mei 1980"}, CERTAIN),
        (JAN, {"d": "19800517", "achternaam": "de Vries", "leeg": "", "voornaam": "JAN"}, CERTAIN),
        (JAN, {"voornaam": "Jan", "m_v": "m", "achternaam": "de Vries", "d": "1980-05-17"}, Why.INITIALS),
        (JAN, {"achternaam": "Vries", "m_v": "man", "voornaam": "Jan de", "d": "1980-05-17"}, Why.FIELDS),
        (JAN, {"voorletters": "J.", "achternaam": "de Vries", "d": "1980-05-17"}, Why.INITIALS),
        (JAN, {"naam": "Jan de Vries", "d": "1980-05-18"}, None),
        (JAN, {"naam": "Piet Bakker", "d": "1980-05-17"}, None),
    ],
)
def test_in_a_record_the_parts_stand_in_any_fields(
    raw: str, fields: dict[str, str], what: str | None
) -> None:
    assert told_of(raw, **fields) == what


def has_token(person: Identifier, text: str) -> bool:
    packed = tokens(entries_in(fold(text)), KEY)
    return any(each in packed for each in wanted(person, KEY) or ())


class Fragment(NamedTuple):
    """What a field says, and what that is of each part."""

    text: str
    postcode: bool = False
    house: tuple[int, str] | None = None
    street: tuple[int, str] | None = None
    line: tuple[int, str] | None = None
    date: bool = False
    name: bool = False


FRAGMENTS = [
    *(Fragment(text, postcode=True) for text in ("3581 CD", "3581cd", "NL-3581CD", "3581 CD  Utrecht")),
    *(Fragment(text, house=(12, "")) for text in ("12", "0012", "12.0")),
    *(Fragment(text, house=(12, "a")) for text in ("12a", "12 A", "12-a")),
    *(Fragment(text, street=(12, "")) for text in ("Kade 12", "Nieuwe Kade  12")),
    *(Fragment(text, street=(12, "a")) for text in ("Kade 12a", "Kade 12-A")),
    Fragment("Kade 12, 3581 CD", postcode=True, line=(12, "")),
    Fragment("3581CD 12a", postcode=True, line=(12, "a")),
    *(
        Fragment(text)
        for text in ("", "14", "a", "Kade 14", "3582 CD", "x", "12-05", "1980-05-18", "Piet de Vries")
    ),
    *(
        Fragment(text, date=True)
        for text in ("17-05-1980", "1980-05-17", "17 mei 1980", "19800517", "17.5.80")
    ),
    Fragment("Jan de Vries", name=True),
    Fragment("Vries, Jan de", name=True),
    Fragment("Jan de Vries, 17-05-1980", date=True, name=True),
    *(Fragment(text) for text in ("Jan", "de", "Vries", "de Vries", "Jan")),
]
LABELS = ("huisnummer", "toevoeging", "adres", "postcode", "een", "twee", "drie")
ORDERS = (["jan", "de", "vries"], ["de", "vries", "jan"], ["vries", "jan", "de"], ["vries", "de", "jan"])


def lives_there(house: tuple[int, str], fields: list[tuple[str, Fragment]]) -> bool:
    """The rule for an address, on what is known of fragments."""
    postcodes = [at for at, (_, each) in enumerate(fields) if each.postcode]
    added = "".join(each.text.lower() for label, each in fields if label == "toevoeging")
    for character in " -/":
        added = added.replace(character, "")
    for at, (label, each) in enumerate(fields):
        if each.line == house:
            return True
        told = each.house and (each.house[0], each.house[1] + added)
        if postcodes and label == "huisnummer" and told == house:
            return True
        beside = at - 1 in postcodes or at + 1 in postcodes
        if postcodes and each.street == house and (label == "adres" or beside):
            return True
    return False


def was_born_then(fields: list[tuple[str, Fragment]]) -> bool:
    """The rule for a name and date of birth: the name in its order anywhere, another order by itself."""
    filled = [each for _, each in fields if each.text]
    if not any(each.date for each in filled):
        return False
    words = [each.text.lower().replace(",", " ").split() for each in filled]
    runs = [
        list(chain.from_iterable(words[start:end]))
        for start in range(len(words))
        for end in range(start + 1, len(words) + 1)
    ]
    in_order = any(run[at : at + 3] == ORDERS[0] for run in runs for at in range(len(run)))
    return in_order or any(each.name for each in filled) or any(run in ORDERS for run in runs)


records = st.lists(
    st.lists(st.sampled_from(FRAGMENTS), min_size=len(LABELS), max_size=len(LABELS)), min_size=1, max_size=6
)
RECORDS = [form for form in person_corpus.LEAVES if form not in person_parts.TEXTS]
"""Formats with fields."""


@settings(max_examples=60)
@given(records, st.permutations(LABELS), st.sampled_from(((HOUSE, JAN), (FLAT, JAN), (HOUSE,), (JAN,))))
def test_a_record_goes_where_a_slow_reading_of_its_fields_says(rows, labels, known) -> None:
    rows = [*rows, [Fragment("x")] * len(LABELS)]
    hers = [
        any(
            was_born_then(list(zip(labels, row, strict=True)))
            if raw == JAN
            else lives_there((12, "" if raw == HOUSE else "a"), list(zip(labels, row, strict=True)))
            for raw in known
        )
        for row in rows
    ]
    written = [(str(number), *(each.text for each in row)) for number, row in enumerate(rows, 1)]
    kept = [row for row, is_hers in zip(written, hers, strict=True) if not is_hers]
    people = [parse_identifier(raw) for raw in known]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(person_corpus, "COLUMNS", ("nr", *labels))
        for form in RECORDS:
            write, read = person_corpus.LEAVES[form]
            name, data = f"a.{person_corpus.SUFFIX.get(form, form)}".encode(), write(written)
            findings, maybe = find_both(detect(name, data), data, Inquiry(people, detect, name=name))
            assert [tuple(row) for row in read(b"".join(findings.rest()))] == kept, form
            if findings.locators or maybe:
                assert is_indexed(people, name, data), form


@settings(max_examples=60)
@given(records, st.permutations(LABELS))
def test_who_is_found_in_a_file_of_any_format_has_a_token_of_it(rows, labels) -> None:
    written = [(str(number), *(each.text for each in row)) for number, row in enumerate(rows, 1)]
    chance = random.Random(len(rows))
    for raw in (HOUSE, FLAT, SECOND, JAN):
        people = [parse_identifier(raw)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(person_corpus, "COLUMNS", ("nr", *labels))
            form = chance.choice(sorted(person_corpus.LEAVES))
            data = person_corpus.LEAVES[form][0](written)
        for name in (f"a.{person_corpus.SUFFIX.get(form, form)}".encode(), b"a.txt"):
            try:
                findings, maybe = find_both(detect(name, data), data, Inquiry(people, detect, name=name))
            except UnsearchableError:
                continue
            if findings.locators or maybe:
                assert is_indexed(people, name, data), (form, raw)


def is_indexed(people: list[Identifier], name: bytes, data: bytes) -> bool:
    """Whether a search by the index reads a file."""
    written: list[bytes] = []
    collector = Collector(KEY, written.append)
    findings = collector.detect(name, data).find(data, collector.inquiry(name))
    collector.flush()
    packed = b"".join(written)
    return bool(findings.unsearched) or any(
        each in packed for person in people for each in wanted(person, KEY) or ()
    )


def test_a_part_that_others_have_too_is_not_taken_out_of_the_index() -> None:
    for raw in (HOUSE, JAN):
        assert token(parse_identifier(raw), KEY) is None
        assert wanted(parse_identifier(raw), KEY)


def test_the_same_records_are_known_again_by_their_marks() -> None:
    corpus = person_parts.generate(40, seed=3, persons=20)
    known = [parse_identifier(plain) for plain in corpus.identifiers]
    for name, node in corpus.files.items():
        data, told_by = person_corpus.pack(node), name.encode()
        marks = Marks(KEY)
        noted = [noting(each, marks.note, marks.note_record) for each in known]
        first = detect(told_by, data).find(data, Inquiry(noted, detect, name=told_by))
        again = Marks(KEY, marks.packed())
        person = [recalled(again.knows, again.knows_record)]
        second = detect(told_by, data).find(data, Inquiry(person, detect, name=told_by))
        assert (second.whole, list(second.locators)) == (first.whole, list(first.locators)), name
        assert b"".join(second.rest()) == b"".join(first.rest()), name


def test_one_reading_tells_which_of_them_a_file_carries() -> None:
    known = [parse_identifier(raw) for raw in (HOUSE, FLAT, JAN)]
    data = b"naam;geboren;huisnummer;postcode\nJan de Vries;1980-05-17;12;3581CD\nPiet;1980-05-18;14;3581CD\n"
    assert carried(detect(b"a.csv", data), data, Inquiry(known, detect, name=b"a.csv")) == (0, 2)


def test_attributes_are_fields_of_a_record() -> None:
    known = [parse_identifier(JAN)]
    data = b'<a><p v="Jan" n="de Vries" d="1980-05-17"/><p v="Jan" n="de Vries" d="1980-05-18"/></a>'
    findings = detect(b"a.xml", data).find(data, Inquiry(known, detect, name=b"a.xml"))
    assert b"".join(findings.rest()) == b'<a><p v="Jan" n="de Vries" d="1980-05-18"/></a>'


def test_columns_of_a_fixed_width_are_fields_of_a_record() -> None:
    names = ("voornaam", "achternaam", "geboren", "huisnummer", "postcode")
    columns = tuple(Column(name, 1 + 10 * at, 10) for at, name in enumerate(names))
    layout = FixedWidth("*.txt", columns)

    def line(*fields: str) -> str:
        return "".join(field.ljust(10) for field in fields) + "\n"

    kept = line("Jan", "de Vries", "19800518", "00014", "3581CD")
    for hers in (
        line("Jan", "de Vries", "19800517", "00001", "1000AA"),
        line("Piet", "Bakker", "19800518", "00012", "3581CD"),
    ):
        data = (kept + hers).encode()
        told_by = [parse_identifier(raw) for raw in (HOUSE, JAN)]
        findings = detect(b"a.txt", data, [layout]).find(data, Inquiry(told_by, detect, name=b"a.txt"))
        assert b"".join(findings.rest()) == kept.encode()


def test_a_record_of_very_many_fields_is_read_all_the_same() -> None:
    fields = [("x", "Jan")] * 50_000 + [("naam", "Jan de Vries"), ("d", "1980-05-17")]
    assert record_carries([parse_identifier(JAN)], fields)
    assert not record_carries([parse_identifier(HOUSE)], [*fields, ("p", "3581CD")])
