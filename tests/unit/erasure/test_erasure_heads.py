"""Persons in columns that heads tell of, wherever the heads are; what a search finds, the index finds."""

import json
from collections.abc import Sequence
from functools import partial

import pytest

from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Findings, Inquiry, UnsearchableError
from sftpd.erasure.identifiers import parse_identifier, under
from sftpd.erasure.layouts import Numbers, kinds_by_label
from sftpd.erasure.tokenizing import Collector
from sftpd.erasure.tokens import wanted

KEY = b"k" * 32
CUSTOMER = "customer=1234"
LAYOUTS = (Numbers("relatie", "customer"),)


def search(person: str, name: str, data: bytes) -> Findings:
    known = under(parse_identifier(person), kinds_by_label(LAYOUTS))
    told = partial(detect, layouts=LAYOUTS)
    return told(name.encode(), data).find(data, Inquiry([known], told, name=name.encode()))


def rest(person: str, name: str, data: str) -> str:
    """What is left of a file, in which there is nobody any more."""
    raw = data.encode()
    findings = search(person, name, raw)
    left = b"" if findings.whole else b"".join(findings.rest())
    assert not left or not search(person, name, left).locators
    if findings.locators:
        assert is_indexed(person, name, raw)
    return left.decode()


def is_indexed(person: str, name: str, data: bytes) -> bool:
    """Whether the index has a token of the person, or the file is read at each search."""
    packed: list[bytes] = []
    collector = Collector(KEY, packed.append, LAYOUTS)
    try:
        form = collector.detect(name.encode(), data)
        unsearched = form.find(data, collector.inquiry(name.encode())).unsearched
    except UnsearchableError:
        return True
    collector.flush()
    told = wanted(parse_identifier(person), KEY)
    return told is None or bool(unsearched) or any(each in b"".join(packed) for each in told)


def table(delimiter: str, *rows: Sequence[str]) -> str:
    return "".join(delimiter.join(row) + "\n" for row in rows)


ODD = ("^", "~", ":", "::", "#|#", "~|~", "!", "§", "*", "#", "@@", "|;|", "||", "   ", "$", "^|^")


@pytest.mark.parametrize("delimiter", ODD)
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.dat"])
@pytest.mark.parametrize("head", ["klantnummer", "Relatie"])
def test_a_column_is_found_whatever_parts_it(delimiter: str, name: str, head: str) -> None:
    made = partial(table, delimiter)
    top, other = ("naam", head, "plaats"), ("Piet", "12345", "Ede")
    hers = ("Jan, R.", "1234", "Utrecht")
    assert rest(CUSTOMER, name, made(top, other, hers, other)) == made(top, other, other)
    assert rest(CUSTOMER, name, made(top, other, ("1234", "55", "1234"))) == made(
        top, other, ("1234", "55", "1234")
    )


def test_an_address_is_found_between_signs_that_it_may_have() -> None:
    made = partial(table, "~")
    top, other = ("nr", "mail", "plaats"), ("1", "xjan@example.nl", "Ede")
    hers = ("2", "jan@example.nl", "Ede")
    assert rest("email=jan@example.nl", "a.csv", made(top, hers, other)) == made(top, other)


def test_columns_of_the_eye_are_parted_by_two_spaces_or_more() -> None:
    top, other = "naam            klantnummer   plaats\n", "Piet            55            Ede\n"
    assert rest(CUSTOMER, "a.txt", top + "Jan de Vries    1234          Den Haag\n" + other) == top + other


def test_what_may_be_under_another_head_is_not_passed_in_silence() -> None:
    with pytest.raises(UnsearchableError, match="has 2 fields where the one with their names has 3"):
        search(CUSTOMER, "a.csv", b"naam^klantnummer^plaats\nPiet^55^Ede\n1234^x\n")


@pytest.mark.parametrize(
    "text",
    [
        "Uw vraag: hoe: laat\nklantnummer is: niet: bekend\n1234 stuks: veel: te\n",
        "naam^plaats^aantal\nJan^Ede^1234\nPiet^Ede^5\n",
        "10:12:33 klantnummer onbekend\n10:12:34 1234 regels\n",
        "klantnummer: 5\naantal: 1234\n",
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_numbers_under_no_head_of_theirs_stay(text: str, name: str) -> None:
    assert rest(CUSTOMER, name, text) == text


def document(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


HEAD, HERS, OTHER = ["naam", "klantnummer", "aantal"], ["Jan", 1234, 55], ["Piet", 12345, 1234]
PAIR, OTHERS_PAIR = {"name": "klantnummer", "value": 1234}, {"name": "aantal", "value": 1234}

APART = {
    # What is left of the first is the second; None is nothing.
    "a pair": ([PAIR, OTHERS_PAIR], [OTHERS_PAIR]),
    "a pair of other words": ([{"key": "Relatie", "val": "1234"}, {"key": "x"}], [{"key": "x"}]),
    "a field": ([{"content": 1234, "field": "klantnummer"}, 7], [7]),
    "a pair of XML": ([{"f": {"@name": "klantnummer", "#text": "1234"}}, 7], [7]),
    "an identifier of FHIR": ([{"system": "http://x.nl/klantnummer", "value": "1234"}, 7], [7]),
    "a resource of JSON:API": ([{"type": "customers", "id": "1234"}, 7], [7]),
    "a record of pairs": (
        [{"id": 1, "velden": [PAIR, {"name": "naam", "value": "Jan"}]}, {"id": 2, "velden": [OTHERS_PAIR]}],
        [{"id": 2, "velden": [OTHERS_PAIR]}],
    ),
    "a pair in a member": ({"a": [{"k": {"key": "klantnummer", "val": 1234}}, 7]}, {"a": [7]}),
    "rows below heads": ([HEAD, HERS, OTHER], [HEAD, OTHER]),
    "rows below a title": ({"v": [["Klanten"], HEAD, OTHER, HERS]}, {"v": [["Klanten"], HEAD, OTHER]}),
    "rows beside heads": (
        {"columns": HEAD, "index": [7, 8], "data": [HERS, OTHER]},
        {"columns": HEAD, "index": [8], "data": [OTHER]},
    ),
    "rows before heads": (
        {"data": [OTHER, HERS], "index": [7, 8], "columns": HEAD},
        {"data": [OTHER], "index": [7], "columns": HEAD},
    ),
    "rows beside what names columns": (
        {"fields": [{"name": each, "type": "string"} for each in HEAD], "rows": [HERS, OTHER]},
        {"fields": [{"name": each, "type": "string"} for each in HEAD], "rows": [OTHER]},
    ),
    "columns": (
        {"naam": ["Piet", "Jan", "Els"], "klantnummer": [5, 1234, 6], "aantal": [1234, 1, 2]},
        {"naam": ["Piet", "Els"], "klantnummer": [5, 6], "aantal": [1234, 2]},
    ),
    "the first two of columns": (
        {"klantnummer": [1234, 1234, 6], "naam": ["Jan", "Jan", "Els"]},
        {"klantnummer": [6], "naam": ["Els"]},
    ),
    "columns of other lengths": (
        {"klantnummers": [1234, 6], "namen": ["Jan", "Els", "x"]},
        {"klantnummers": [6], "namen": ["Jan", "Els", "x"]},
    ),
    "columns by rows": ({"klantnummer": {"0": 5, "1": 1234}, "naam": {"0": "Piet", "1": "Jan"}}, None),
    "a list under its name": ([{"klantnummers": [5, 1234]}, 7], [{"klantnummers": [5]}, 7]),
    "a number of what is around it": (
        [{"klant": {"id": 1234}}, {"klant": {"id": 5}}],
        [{"klant": {"id": 5}}],
    ),
    # Look-alikes.
    **{
        f"look-alike {number}": (value, value)
        for number, value in enumerate(
            (
                [OTHERS_PAIR, {"name": "klantnummer", "value": 12345}],
                [{"name": "klantnummer", "aantal": 1234}],
                [{"naam": "klantnummer"}, {"value": 1234}],
                [{"name": "klanten", "value": 1234}],
                [HEAD, OTHER],
                [["naam", "aantal"], ["klantnummer", 1234]],
                {"columns": HEAD, "data": [OTHER]},
                {"klantnummer": [5], "aantal": [1234]},
                {"klant": {"2025": 5, "2026": 1234}},
                {"type": "order", "id": 1234},
            )
        )
    },
}


@pytest.mark.parametrize(("value", "left"), APART.values(), ids=APART)
def test_what_is_called_from_apart_is_found_in_json(value: object, left: object) -> None:
    assert rest(CUSTOMER, "a.json", document(value)) == ("" if left is None else document(left))


@pytest.mark.parametrize("size", [20, 3000, 75_000])
def test_heads_are_seen_from_afar(size: int) -> None:
    others = [["Piet", 5000000 + number, 1234] for number in range(size // 20)]
    for value in ([HEAD, *others, HERS, *others], {"d": [HEAD, *others, HERS]}):
        left = json.loads(rest(CUSTOMER, "a.json", document(value)))
        assert HERS not in (left["d"] if isinstance(left, dict) else left)
    for members in ({"columns": HEAD}, {"data": [*others, HERS, *others]}):
        both = members | {"columns": HEAD, "data": [*others, HERS, *others], "x": 1}
        assert json.loads(rest(CUSTOMER, "a.json", document(both))) == both | {"data": [*others, *others]}


def test_rows_below_heads_are_found_in_ndjson() -> None:
    head, hers, other = (document(each) + "\n" for each in (HEAD, HERS, OTHER))
    assert rest(CUSTOMER, "a.ndjson", head + other + hers + other) == head + other + other
    pair, others = document(PAIR) + "\n", document(OTHERS_PAIR) + "\n"
    assert rest(CUSTOMER, "a.ndjson", pair + others) == others
    home = "address=3581CD 12"
    homes = [["postcode", "huisnummer"], ["3581 CD", 12], ["3581 CD", 14]]
    assert rest(home, "a.json", document(homes)) == document([homes[0], homes[2]])


def test_a_row_of_more_than_its_heads_is_not_passed_in_silence() -> None:
    with pytest.raises(UnsearchableError, match="has 2 elements where the one with their names has 3"):
        search(CUSTOMER, "a.json", document([HEAD, [1234, "x"], OTHER]).encode())


IN_XML = {
    # A record that goes, and one that stays.
    "a value": ('<row><Klantnummer value="1234"/></row>', '<row><Klantnummer value="55"/></row>'),
    "a name and a value": (
        '<row><field name="klantnummer" value="1234"/></row>',
        '<row><field name="aantal" value="1234"/></row>',
    ),
    "a value and a name": ('<row value="1234" key="Relatie"/>', '<row value="1234" key="x"/>'),
    "elements for both": (
        "<row><key>klantnummer</key><val>1234</val></row>",
        "<row><key>klantnummer</key><val>12345</val><x>1234</x></row>",
    ),
    "an attribute": ('<row relatie="1234"/>', '<row relaties="1234"/>'),
    "a field of its name": ('<row><f name="relatie">1234</f></row>', '<row><f name="x">1234</f></row>'),
    "a number of a type": ('<row type="klant" id="1234"/>', '<row type="order" id="1234"/>'),
}


@pytest.mark.parametrize(("hers", "other"), IN_XML.values(), ids=IN_XML)
def test_what_is_called_from_apart_is_found_in_xml(hers: str, other: str) -> None:
    assert rest(CUSTOMER, "a.xml", f"<r>{other}{hers}{other}</r>") == f"<r>{other}{other}</r>"


@pytest.mark.parametrize(
    "text",
    [
        *("Uw klantnummer is 1234.", "klantnummer is: 1234", "klantnr. 1234", "klantnummer: 1234"),
        *("Klantnummer ........ 1234", "Klantnummer was 1234", "the customer number is 1234"),
    ],
)
def test_a_number_is_found_behind_its_word_in_a_sentence(text: str) -> None:
    assert rest(CUSTOMER, "a.txt", text) == ""


@pytest.mark.parametrize(
    "text", ["klantnummer isnt 1234", "klantnummer is niet 1234", "klantnummer is 12345", "de klant is 1234"]
)
def test_a_number_behind_other_words_stays(text: str) -> None:
    assert rest(CUSTOMER, "a.txt", text) == text


def test_many_pairs_are_read_as_fast_as_a_few() -> None:
    pairs = "".join(f'"name":"x{number}","value":{number},' for number in range(30_000))
    value = f'[{{{pairs}"name":"klantnummer","value":1234}},7]'
    assert rest(CUSTOMER, "a.json", value) == "[7]"
