"""A document is passed over only where its text, attributes and remarks can say nothing of the person."""

import random
from collections.abc import Callable, Iterator

import pytest

from sftpd.erasure.formats import xml, xml_glance
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Inquiry, UnsearchableError
from sftpd.erasure.formats.xml import Xml
from sftpd.erasure.formats.xml_edit import Blanker
from sftpd.erasure.formats.xml_events import events
from sftpd.erasure.formats.xml_glance import certainly_without
from sftpd.erasure.identifiers import Identifier, carries, parse_identifier, possible

KNOWN = [
    parse_identifier(plain) for plain in ("email=jan@example.nl", "phone=0612345678", "name=Jan de Vries")
]
EVERY = [*KNOWN, *(form for known in KNOWN for form in possible(known))]
PIECES = (
    *(
        "jan@example.nl",
        "JAN@EXA",
        "MPLE.NL",
        "jan",
        "&#106;an@example.nl",
        "jan&#x40;example.nl",
        "&lt;",
        "&gt;",
    ),
    *(
        "06-12",
        "345678",
        "+31 6 1234",
        "5678",
        "Jan de ",
        "Vries",
        "J. de Vri",
        "&amp;",
        "\r\n",
        "\t",
        " ",
        ">",
        "'",
    ),
)


def found(data: bytes, known: list[Identifier]) -> int:
    blanker = Blanker(data, lambda text, label: carries(known, text, label))
    for event in events(data):
        blanker.take(event)
    return blanker.found


def document(chance: random.Random) -> bytes:
    out, open_tags = ["<?xml version='1.0'?>" if chance.random() < 0.3 else ""], ["r"]
    out.append("<r>")
    for _ in range(chance.randint(1, 12)):
        said = "".join(chance.choices(PIECES, k=chance.randint(0, 3)))
        match chance.randrange(6):
            case 0:
                out.append(said.replace("]]>", ""))
            case 1:
                out.append(f"<a x=\"{said}\" y='{said.replace(chr(39), '')}'/>")
            case 2:
                name = chance.choice(("p", "t", "b"))
                out.append(f"<{name}>")
                open_tags.append(name)
            case 3 if len(open_tags) > 1:
                out.append(f"</{open_tags.pop()}>")
            case 4:
                out.append(f"<!-- {said.replace('--', '')} -->" if chance.random() < 0.2 else said)
            case _:
                out.append(
                    f"<![CDATA[{said}]]>"
                    if chance.random() < 0.2
                    else f"<?x don't {said}?>" * chance.randrange(2)
                )
    out += [f"</{name}>" for name in reversed(open_tags)]
    return "".join(out).encode()


@pytest.mark.parametrize("known", [KNOWN, EVERY], ids=["certain", "possible"])
def test_what_is_passed_over_says_nothing_of_the_person(known: list[Identifier]) -> None:
    chance = random.Random(17)
    passed = there = 0
    for _ in range(6000):
        data = document(chance)
        hers = found(data, known)
        without = certainly_without(data, known)
        assert not (without and hers), data
        passed, there = passed + without, there + bool(hers)
    assert passed > 500
    assert there > 500


@pytest.mark.parametrize("data", [b"<a><b></a>", b"<!DOCTYPE a []><a/>", b"<a>&unknown;</a>", b"<a/>x"])
def test_what_is_no_document_is_not_passed_over(data: bytes) -> None:
    with pytest.raises(UnsearchableError):
        _ = certainly_without(data, KNOWN) or list(events(data))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "utf-16"])
def test_a_search_finds_the_same_as_one_that_reads_it_all(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(encoding)
    named = {"latin-1": "iso-8859-1", "cp1252": "windows-1252"}.get(encoding, encoding)
    monkeypatch.setattr(xml_glance, "span", pieces_of(97))
    hits = 0
    for _ in range(1500):
        inner = document(chance).decode().replace("<?xml version='1.0'?>", "")
        beside = chance.choice(("", "<!-- jan@example.nl, 'x' -->", "<?x René ?>"))
        data = f"<?xml version='1.0' encoding='{named}'?>\n{beside}{inner}".encode(encoding)
        glanced = searched(data)
        with monkeypatch.context() as without:
            without.setattr(xml, "certainly_without", lambda *_: False)
            assert glanced == searched(data), data
        hits += bool(glanced[0])
    assert hits > 100


def searched(data: bytes) -> tuple[list[str], list[str]]:
    findings = Xml().find(data, Inquiry(EVERY, detect))
    return list(findings.locators), list(findings.unsearched)


def pieces_of(size: int) -> Callable[[bytes, int, int], Iterator[bytes]]:
    def span(data: bytes, start: int, end: int) -> Iterator[bytes]:
        yield from (data[at : min(at + size, end)] for at in range(start, end, size))

    return span


@pytest.mark.parametrize("line", ["\n", "&#13;\n", "&#xA;", "\u2003"])
def test_a_document_in_it_is_told_of(line: str) -> None:
    packed = line.join("aGVsbG8gd29ybGQhISEhISEh" for _ in range(40))
    data = f"<r>{'<a>x, y</a>' * 200}<file>{packed}</file></r>".encode()
    assert searched(data)[1] == [f"what is embedded at byte {data.index(b'<file>')}"]


def test_what_is_read_at_a_glance_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "events", lambda _data: pytest.fail("it was read"))
    data = (
        b"<?xml version='1.0'?>\n<!-- of 2026 -->\n<r>" + b"<a b='>'>Piet, 06 1111</a>\n" * 90_000 + b"</r>"
    )
    assert searched(data) == ([], [])


def test_text_goes_on_over_tags() -> None:
    data = b"<r><p>jan@exa<b x='>'>mple.nl</b></p></r>"
    assert found(data, KNOWN) == 1
    assert not certainly_without(data, KNOWN)
