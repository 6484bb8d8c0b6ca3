"""A document is passed over only where its text, attributes and remarks can say nothing of the person."""

import random

import pytest

from sftpd.erasure.formats.model import UnsearchableError
from sftpd.erasure.formats.xml_edit import Blanker, certainly_without
from sftpd.erasure.formats.xml_events import events
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


def test_text_goes_on_over_tags() -> None:
    data = b"<r><p>jan@exa<b x='>'>mple.nl</b></p></r>"
    assert found(data, KNOWN) == 1
    assert not certainly_without(data, KNOWN)
