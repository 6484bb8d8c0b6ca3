"""XML that is indexed by its elements: the tokens are those that one gets by reading as a search does."""

import random
from collections.abc import Iterable
from unittest import mock

import pytest

from sftpd.erasure import tokenizing
from sftpd.erasure.formats import xml
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.formats.xml import Xml
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.layouts import Numbers
from sftpd.erasure.tokenizing import Collector

KEY = b"k" * 32
LAYOUTS = (Numbers("relatie", "customer"), Numbers("Pers. ID", "employee"))
NAMES = ("klantnummer", "klant", "x:nummer", "nr", "Relatie", "employee", "naam", "name", "value", "type")
KEYS = ("klantnr", "name", "value", "type", "x:id", "schemeID", "n")
TEXTS = (
    *("K-1", "klant 12", "klant%2034", "klantnummer", "Relatie", "personeelsnr: 5", "Jan", "0612", "345678"),
    *("jan@exam", "ple.nl", "KLANT&#32;6", "12-3-1980", "1234 AB", "\n", " ", "123456782"),
    "NL20INGB0001234567",
)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Those of which tokens were made."""
    taken: set[str] = set()

    def noted(told: Iterable[str], _key: bytes) -> bytes:
        taken.update(told)
        return b""

    monkeypatch.setattr(tokenizing, "tokens", noted)
    return taken


def document(chance: random.Random, depth: int = 4) -> str:
    name = chance.choice(NAMES)
    keys = chance.sample(KEYS, chance.choice((0, 0, 0, 1, 2)))
    attributes = "".join(f" {key}='{chance.choice(TEXTS)}'" for key in keys)
    inner = []
    for _ in range(chance.randint(0, 4)):
        said = chance.choice(TEXTS)
        match chance.randrange(7 if depth else 5):
            case 0 | 1 | 2:
                inner.append(said)
            case 3:
                inner.append(f"<![CDATA[{said}]]>")
            case 4:
                inner.append(f"<!-- {said} -->" * (chance.random() < 0.3))
            case _:
                inner.append(document(chance, depth - 1))
    return f"<{name}{attributes}>{''.join(inner)}</{name}>"


@pytest.mark.parametrize("seed", range(40))
def test_the_entries_are_those_of_a_reading_element_by_element(seed: int, entries: set[str]) -> None:
    chance = random.Random(seed)
    data = f"<r xmlns:x='x'>{''.join(document(chance) for _ in range(8))}</r>".encode()
    collector = Collector(KEY, len, LAYOUTS)
    with mock.patch.object(xml, "encoding_of", return_value=None):  # so that nothing is passed over
        closely = Xml().find(data, collector.inquiry(b"a.xml"))
    collector.flush()
    expected = set(entries)
    entries.clear()
    collector = Collector(KEY, len, LAYOUTS)
    form = collector.detect(b"a.xml", data)
    assert not isinstance(form, Xml)
    found = form.find(data, collector.inquiry(b"a.xml"))
    collector.flush()
    assert entries >= expected != set()
    assert (list(found.locators), list(found.unsearched)) == ([], []) == ([], list(closely.unsearched))


@pytest.mark.parametrize(
    "content",
    [
        "<a><b></a>",
        "<a>&x;</a>",
        "<!DOCTYPE a [<!ENTITY b 'jan'>]><a>&b;</a>",
        "<a>" * 513 + "a@b.nl" + "</a>" * 513,
        "<?xml version='1.0' encoding='gbk'?><a/>",
    ],
)
def test_what_a_search_cannot_read_has_no_tokens(content: str) -> None:
    collector = Collector(KEY, len)
    with pytest.raises(UnsearchableError) as refused:
        collector.detect(b"a.xml", content.encode()).find(content.encode(), collector.inquiry(b"a.xml"))
    with pytest.raises(UnsearchableError) as searched:
        Xml().find(content.encode(), Inquiry([parse_identifier("email=a@b.nl")], detect))
    assert refused.value.what == searched.value.what


def test_an_embedded_document_is_told_of() -> None:
    collector = Collector(KEY, len)
    data = f"<r><file>{'aGVsbG8gd29ybGQh' * 40}</file><file>{'aGVsbG8gd29ybGQh' * 40}</file></r>".encode()
    found = collector.detect(b"a.xml", data).find(data, collector.inquiry(b"a.xml"))
    assert found.unsearched == ["what is embedded in an element"]


def test_text_around_many_elements_is_looked_at_as_far_as_an_identifier_reaches(entries: set[str]) -> None:
    data = f"<r>{'<p>Piet</p>' * 3000} <b>jan@exam</b>ple.nl en <b>06</b>12345678</r>".encode()
    collector = Collector(KEY, len)
    collector.detect(b"a.xml", data).find(data, collector.inquiry(b"a.xml"))
    collector.flush()
    assert {"email\0jan@example.nl", "phone\0+31612345678"} <= entries
