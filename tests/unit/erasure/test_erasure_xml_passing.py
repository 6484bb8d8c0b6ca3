"""What is passed over of XML changes nothing: the same is found as where each element is looked at."""

from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftpd.erasure.formats import xml, xml_passing
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.formats.xml import Xml
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.matches import find_both

HERS = [
    parse_identifier(raw)
    for raw in (
        "email=jan@example.nl",
        "name=Jan de Vries",
        "customer=1234",
        "address=3581 CD 12",
        "born=Jan de Vries 1980-05-17",
    )
]
WINDOWS = ((16 << 10, 2 << 10), (600, 150), (200, 60))
"""Windows in which elements are passed over; in the small ones a document has many."""

words = st.sampled_from(
    [
        *("jan@example.nl", "Jan", "de Vries", "Jan de Vries", "J. de Vries", "1234", "12", "3581 CD"),
        *("3581CD 12", "17-05-1980", "1980-05-17", "klantnummer", "customer", "Piet", "é\u00a0", "x", "99"),
        *(
            "Utrecht",
            ", ",
            "jan&#64;example.nl",
            "J&#x61;n de&#32;Vries",
            "&amp;",
            "&lt;b&gt;",
            "&#128;",
            " ",
        ),
        *("\n  ", "\r\n", ">", "jan%40example.nl", "&amp;#74;an de Vries", "a" * 30),
    ]
)
names = st.sampled_from(
    [
        *("r", "rij", "klant", "naam", "name", "value", "waarde", "p:klant", "klantnummer", "postcode"),
        *("nummer", "geboren", "e-mail", "type", "id", "SignatureValue", "jan"),
    ]
)
keys = st.sampled_from(("id", "name", "naam", "value", "type", "klantnummer", "p:nr", "schemeID", "e-mail"))
texts = st.lists(words, max_size=4).map(" ".join)
asides = st.one_of(
    texts.map(lambda text: f"<!--{text.replace('--', '')}x-->"),
    texts.map(lambda text: f"<![CDATA[{text.replace(']]>', '')}]]>"),
    texts.map(lambda text: f"<?nb {text.replace('?>', '')}?>"),
)


@st.composite
def attributes(draw: st.DrawFn) -> str:
    said = draw(st.dictionaries(keys, texts, max_size=3))
    marks = draw(st.sampled_from("\"'"))
    space = draw(st.sampled_from((" ", "\n  ")))
    return "".join(f"{space}{key}={marks}{value}{marks}" for key, value in said.items())


def element(content: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda name, told, inner: f"<{name}{told}>{inner}</{name}>" if inner else f"<{name}{told} />",
        names,
        attributes(),
        content,
    )


leaves = element(texts)
flat = st.lists(leaves, max_size=6).map("\n  ".join)
records = element(flat)
mixed = st.lists(st.one_of(texts, leaves, asides), max_size=5).map("".join)
contents = st.recursive(
    st.one_of(flat, mixed),
    lambda inner: st.lists(st.one_of(element(inner), texts, asides), max_size=4).map("\n".join),
    max_leaves=6,
)
repeated = st.tuples(records, st.integers(0, 6)).map(lambda each: "\n".join([each[0]] * each[1]))
documents = st.lists(
    st.one_of(repeated, repeated, element(contents), leaves, asides, texts), min_size=1, max_size=8
).map(lambda parts: f'<lijst xmlns:p="urn:p">{"".join(parts)}</lijst>')
encodings = st.sampled_from(("utf-8", "utf-8", "iso-8859-1", "windows-1252", "utf-8-sig", "utf-16"))


def encoded(document: str, encoding: str) -> bytes:
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    head = f'<?xml version="1.0" encoding="{declared}"?>\n' if encoding != "utf-8" else ""
    return (head + document).encode(encoding, "xmlcharrefreplace")


def found(data: bytes, **asked: Any) -> Any:
    """All that a search tells of a document."""
    noted: list[str] = []
    inquiry = Inquiry(HERS, detect, noted=noted, **asked)
    try:
        findings, possible = find_both(Xml(), data, inquiry)
    except UnsearchableError as fault:
        return fault.what
    rest = b"".join(findings.rest())
    return list(findings.locators), findings.whole, list(findings.unsearched), rest, possible, noted


def slowly(data: bytes, **asked: Any) -> Any:
    with mock.patch.object(xml, "encoding_of", return_value=None):
        return found(data, **asked)


def passing(data: bytes, **asked: Any) -> Any:
    with mock.patch.object(xml, "certainly_without", return_value=False):
        return found(data, **asked)


@pytest.mark.parametrize("windows", WINDOWS, ids=str)
@settings(max_examples=300)
@given(document=documents, encoding=encodings, places=st.data())
def test_the_same_is_found(windows: tuple[int, int], document: str, encoding: str, places: Any) -> None:
    data = encoded(document, encoding)
    with mock.patch.object(xml_passing, "_WINDOWS", windows):
        result = slowly(data)
        assert passing(data) == result
        if isinstance(result, tuple):
            known = [*result[0], *(each.place for each in result[4]), "/lijst[1]/klant[2]", "comment 1"]
            chosen = frozenset(places.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3)))
            assert passing(data, places=chosen) == slowly(data, places=chosen)


FILLER = "<op>niets</op>" * 12
"""So much that a small window holds nothing else."""


def in_a_list(*records: str) -> str:
    return f"<lijst>{FILLER}{''.join(records)}<k><a>Piet</a></k></lijst>"


def address(filler: str, house: str, mark: str = '"') -> str:
    """An address in two fields, each called by an attribute."""
    field = f"<f name={mark}{{}}{mark}>{{}}</f>"
    return f"<k>{field.format('postcode', '3581 CD')}{filler}{field.format('huisnummer', house)}</k>"


@pytest.mark.parametrize(
    ("document", "records"),
    [
        (in_a_list(f"<k>Jan{FILLER}</k>"), 0),
        (in_a_list(f"<k>jan@exa{'<b/>' * 50}mple.nl</k>"), 1),
        (in_a_list(f"<k>{FILLER} Jan<b/> <b/>de Vries</k>"), 1),
        (in_a_list(f"<k>{FILLER} Jan<b/><b/>de Vries</k>"), 0),
        (in_a_list("<k>jan@exa<b>mple</b>.nl</k>"), 1),
        (in_a_list("<k>jan@exa<b>mple</b>.nl.com</k>"), 0),
        (in_a_list(f"<k>jan{'<b></b>' * 30}<b>&#x40;</b>example.nl</k>"), 1),
        (in_a_list(f"<k>jan{'<b></b>' * 30}<b>&amp;</b>example.nl</k>"), 0),
        (in_a_list(f"<k><name>klantnummer</name>{FILLER}<value>1234</value></k>"), 1),
        (in_a_list(f"<k><name>klant&#110;ummer</name>{FILLER}<value>1234</value></k>"), 1),
        (in_a_list(f"<k><value>1234</value>{FILLER}<name>klantnummer</name></k>"), 1),
        (in_a_list(f"<k><value>1234</value>{FILLER}<name>ordernummer</name></k>"), 0),
        (in_a_list(address(FILLER, "12")), 1),
        (in_a_list(address(FILLER, "12", "'")), 1),
        (in_a_list(address(FILLER, "13")), 0),
        (in_a_list(f"<k>{FILLER}<naam>Jan de Vries</naam></k>", f"<k>{FILLER}</k>"), 1),
        (in_a_list(f"<k><a>&#74;an&#x20;de Vries</a>{FILLER}</k>"), 1),
        (in_a_list(f"<k><a b='>'>jan</a><a>@example.nl</a>{FILLER}</k>"), 0),
    ],
)
def test_what_is_passed_over_counts_with_what_is_not(document: str, records: int) -> None:
    data = document.encode()
    steps: list[xml_passing.Step] = []

    class Watched(xml_passing.Passing):
        def step(self, position: int) -> xml_passing.Step:
            steps.append(super().step(position))
            return steps[-1]

    with mock.patch.object(xml_passing, "_WINDOWS", (200, 60)), mock.patch.object(xml, "Passing", Watched):
        result = passing(data)
    assert result == slowly(data)
    assert len(result[0]) == records
    assert any(step.is_passed for step in steps)


def test_what_is_embedded_is_told_of_where_it_stands() -> None:
    data = in_a_list(FILLER, f"<k><a>{'QUJD' * 200}</a></k>").encode()
    with mock.patch.object(xml_passing, "_WINDOWS", (1000, 900)):
        result = passing(data)
    assert result == slowly(data)
    assert result[2] == [f"what is embedded at byte {data.index(b'<a>QUJD')}"]


@pytest.mark.parametrize(
    "broken",
    ["<k><a>x</b></k>", "<k><a>&x;</a></k>", "<k><a b='1' b='2'/></k>", "<k>]]></k>", "<k><a b=1/></k>"],
)
def test_what_is_not_well_formed_among_what_is_passed_over_is_refused(broken: str) -> None:
    data = in_a_list("<k><a>Piet</a></k>\n" * 3, broken, "<k><a>jan@example.nl</a></k>").encode()
    with mock.patch.object(xml_passing, "_WINDOWS", (200, 60)):
        result = passing(data)
    assert result == slowly(data) == "it is not well-formed XML at line 4"


def test_elements_too_deep_are_refused_where_they_are_passed_over() -> None:
    for depth in (500, 511, 512, 520):
        data = f"<d>{'<d>' * depth}jan@example.nl{'</d>' * depth}{'<d>x</d>' * 30}</d>".encode()
        assert passing(data) == slowly(data)
