"""Records are cut out by where they are, whatever they carry, and exactly as if they carried the person."""

import io
import random
import tarfile
from collections.abc import Iterator

import person_corpus
import pytest

from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Findings, Inquiry, is_gone, shortened
from sftpd.erasure.identifiers import Identifier, parse_identifier

JAN = parse_identifier("email=jan@example.nl")


def find(name: str, data: bytes, *known: Identifier, places: frozenset[str] = frozenset()) -> Findings:
    inquiry = Inquiry(known, detect, name=name.encode(), places=places)
    return detect(name.encode(), data).find(data, inquiry)


def rest(findings: Findings) -> bytes:
    return b"".join(findings.rest())


def test_places_take_what_identifiers_take_in_every_format() -> None:
    corpus = person_corpus.generate(70, 7, persons=20)
    known = [parse_identifier(plain) for plain in corpus.identifiers]
    taken = 0
    for name, node in corpus.files.items():
        data = person_corpus.pack(node)
        first = find(name, data, *known)
        again = find(name, data, places=frozenset(first.locators))
        assert (again.whole, list(again.locators)) == (first.whole, list(first.locators)), name
        assert rest(again) == rest(first), name
        taken += len(first.locators)
    assert taken > 80


def test_some_places_take_no_other() -> None:
    chance = random.Random(8)
    corpus = person_corpus.generate(50, 8, persons=20)
    known = [parse_identifier(plain) for plain in corpus.identifiers]
    for name, node in corpus.files.items():
        data = person_corpus.pack(node)
        found = find(name, data, *known)
        some = frozenset(place for place in found.locators if chance.random() < 0.5)
        cut = find(name, data, places=some)
        if some and not found.whole:
            assert set(cut.locators) == some, name
            if not cut.whole:
                left = find(name, rest(cut), *known)
                assert len(left.locators) == len(found.locators) - len(some), name


@pytest.mark.parametrize(
    ("name", "data", "place", "after"),
    [
        ("a.csv", b"n\nx\ny\n", "record 2", b"n\ny\n"),
        ("a.json", b'{"e": ["x", "y"], "f": 1}', "/e/0", b'{"e": ["y"], "f": 1}'),
        ("a.json", b'{"e": ["x"], "f": 1}', "/e/0", b'{"e": [], "f": 1}'),
        ("a.json", b'{"e": ["x"], "f": 1}', "/f", b'{"e": ["x"]}'),
        ("a.xml", b"<a><p>x</p><p>y</p></a>", "/a[1]/p[2]", b"<a><p>x</p></a>"),
        ("a.xml", b"<a><!-- x --><!-- y --></a>", "comment 2", b"<a><!-- x --></a>"),
    ],
)
def test_a_place_takes_its_record(name: str, data: bytes, place: str, after: bytes) -> None:
    findings = find(name, data, places=frozenset({place}))
    assert (list(findings.locators), rest(findings)) == ([place], after)


def test_places_and_identifiers_go_together() -> None:
    data = b"n;e\nx;1\ny;jan@example.nl\nz;2\nEOF;3\n"
    findings = find("a.csv", data, JAN, places=frozenset({"record 2", "record 3"}))
    assert (list(findings.locators), rest(findings)) == (["record 2", "record 3"], b"n;e\nz;2\nEOF;1\n")


@pytest.mark.parametrize("name", ["a.txt", "a.html"])
def test_a_place_takes_a_file_without_records(name: str) -> None:
    assert find(name, b"x", places=frozenset({"whole file"})).whole


def test_members_of_one_name_are_told_apart() -> None:
    write, _ = person_corpus.BOXES["tar"]
    first, second = b"n\nx\ny\n", b"n\njan@example.nl\nz\n"
    data = write([("a.csv", first), ("a.csv", second)])
    (place,) = find("a.tar", data, JAN).locators
    cut = rest(find("a.tar", data, places=frozenset({place})))
    assert place == "a.csv (part 2): record 2"
    with tarfile.open(fileobj=io.BytesIO(cut)) as archive:
        assert [archive.extractfile(member).read() for member in archive] == [first, b"n\nz\n"]


def test_long_locators_stay_different() -> None:
    one, other = shortened("/" + "a" * 300 + "/1"), shortened("/" + "a" * 300 + "/2")
    assert one != other
    assert len(one) == len(other) < 220


@pytest.mark.parametrize(
    ("place", "locators", "gone"),
    [
        ("record 1", {"record 1"}, True),
        ("record 11", {"record 1"}, False),
        ("/a/1/b", {"/a/1"}, True),
        ("/a/11", {"/a/1"}, False),
        ("x.json: /a/1", {"x.json: whole document"}, True),
        ("x.json: /a/1", {"y.json: whole document"}, False),
        ("a.tar: b.mbox: message 2", {"a.tar: b.mbox: all messages"}, True),
        ("a.tar: b.mbox: message 2: c.csv: record 1", {"a.tar: b.mbox: message 2"}, True),
        ("a.tar: b.mbox: message 2", {"a.tar: b.mbox: message 1"}, False),
        ("a.tar: b.mbox: message 2", {"all members"}, True),
    ],
)
def test_what_lies_in_a_record_goes_with_it(place: str, locators: set[str], gone: bool) -> None:
    assert is_gone(place, locators) is gone


class Unwalked(frozenset[str]):
    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all of them are gone through for one place")


def test_a_place_is_looked_up_among_many() -> None:
    assert is_gone("/a/1/b", Unwalked({"/a/1", "/c"}))
    assert not is_gone("/a/11/b", Unwalked({"/a/1", "/c"}))
