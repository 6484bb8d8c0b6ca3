"""In one file: what is hers for certain, what may be, and what is told of neither twice."""

import io
import json
from dataclasses import replace
from functools import partial

import openpyxl
import person_corpus
import pytest

from sftpd.erasure.formats import model
from sftpd.erasure.formats.detect import detect
from sftpd.erasure.formats.model import Findings, Inquiry, UnsearchableError
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.layouts import Column, FixedWidth
from sftpd.erasure.matches import carried, find_both, said_at
from sftpd.erasure.messages import Found
from sftpd.erasure.plan import Possible
from sftpd.erasure.reader import _with_possible

KNOWN = [parse_identifier("name=Jan Pieter de Vries"), parse_identifier("email=jan@example.nl")]


def look(name: str, data: bytes) -> tuple[Findings, list[Possible]]:
    inquiry = Inquiry(KNOWN, detect, name=name.encode())
    return find_both(detect(name.encode(), data), data, inquiry)


@pytest.mark.parametrize(
    ("name", "data", "certain", "possible"),
    [
        ("a.csv", "n;e\nJ.P. de Vries;jan@example.nl\nJ.P. de Vries;x\n", ["record 2"], ["record 3"]),
        ("a.csv", "n;e\nJ.P. de Vries;jan@example.nl\n", ["record 2"], []),
        ("a.json", '[{"n": "J. de Vries"}, {"n": "jan@example.nl"}]', ["/1"], ["/0"]),
        ("a.json", '{"e": ["jan@example.nl", "jan+x@example.nl", "x"]}', ["/e/0"], ["/e/1"]),
        ("a.json", '[{"e": ["jan@example.nl"], "f": ["jan+x@example.nl", "x"]}]', ["/0"], []),
        ("a.json", '{"n": "J. de Vries"}', [], ["whole document"]),
        ("a.xml", "<a><p>J. de Vries</p><p>jan@example.nl</p></a>", ["/a[1]/p[2]"], ["/a[1]/p[1]"]),
        ("a.xml", "<a><!-- J. de Vries --><p>jan@example.nl</p><p/></a>", ["/a[1]/p[1]"], ["comment 1"]),
        ("a.txt", "J. de Vries, jan@example.nl", ["whole file"], []),
        ("a.txt", "Kees de Vries", [], []),
    ],
)
def test_a_record_is_hers_or_may_be_and_never_both(
    name: str, data: str, certain: list[str], possible: list[str]
) -> None:
    findings, matches = look(name, data.encode())
    assert list(findings.locators) == certain
    assert [match.place for match in matches] == possible
    assert {match.whole for match in matches} <= {possible == ["whole document"]}


def test_the_first_reason_is_told() -> None:
    rows = "n\nJan de Vries\nJ.P. de Vries\nJan Pieter Vries\nJan Pieter de Vreis\njan+x@example.nl\n"
    _, matches = look("a.csv", rows.encode())
    whys = {match.place: match.why for match in matches}
    assert whys == {
        "record 2": "middle name",
        "record 3": "initials",
        "record 4": "prefix",
        "record 5": "spelling",
        "record 6": "e-mail address",
    }


FIELDS = ("J.P.", "de", "Vries", "Delft")


def sheet() -> bytes:
    book = openpyxl.Workbook()
    for row in (("letters", "prefix", "name", "city"), FIELDS, ("K.", "de", "Vries", "Delft")):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "place"),
    [
        ("a.csv", f"a;b;c;d\n{';'.join(FIELDS)}\nK.;de;Vries;Delft\n".encode(), "record 2"),
        ("a.csv", b"a;b\nJan Pieter;de Vries\nJan;Pieters\n", "record 2"),
        ("a.json", json.dumps([dict(enumerate(FIELDS)), {"a": "K.", "b": "de Vries"}]).encode(), "/0"),
        ("a.ndjson", json.dumps(dict(enumerate(FIELDS))).encode() + b"\n{}\n", "line 1"),
        (
            "a.xml",
            b"<a><p><v>J.P.</v><x>de</x><n>Vries</n></p><p><v>K.</v><n>Vries</n></p></a>",
            "/a[1]/p[1]",
        ),
        ("a.xlsx", sheet(), "sheet1.xml: row 2"),
        ("a.ods", person_corpus.LEAVES["ods"][0]([("1", "J.P.", "de Vries", "", "x")]), "row 2"),
    ],
)
def test_a_name_in_separate_fields_is_possible(name: str, data: bytes, place: str) -> None:
    findings, matches = look(name, data)
    assert list(findings.locators) == []
    assert [(match.place, match.why, match.whole) for match in matches] == [(place, "separate fields", False)]


def test_what_a_record_says_is_shown_of_it_alone() -> None:
    def said(name: str, data: str, place: str) -> str:
        inquiry = Inquiry(KNOWN, detect, name=name.encode())
        return "\n".join(said_at(detect(name.encode(), data.encode()), data.encode(), inquiry, [place]))

    assert said("a.csv", "n;c\nJ. de Vries;1\nx;2\n", "record 2") == "n: J. de Vries\nc: 1"
    assert said("a.json", '[{"n": "J. de Vries"}, {"n": "x"}]', "/0") == '{"n": "J. de Vries"}'
    assert said("a.xml", "<a><p>J. de Vries</p><p>x</p></a>", "/a[1]/p[1]") == "<p>J. de Vries</p>"
    long_text = "x " * 5000 + "Beste J. de Vries" + " y" * 5000
    assert 0 < said("a.txt", long_text, "whole file").count("J. de Vries") <= 2
    assert len(said("a.txt", long_text, "whole file")) < 5000
    assert not said("a.csv", "n\nx\n", "record 9")


def test_a_form_that_cannot_be_taken_out_is_listed() -> None:
    book = openpyxl.Workbook()
    book.active.append(["naam", "bedrag"])
    book.active.append(['=CONCATENATE("J.P. de Vries", "x")', 1])
    book.active.append(["jan@example.nl", 2])
    out = io.BytesIO()
    book.save(out)
    findings, matches = look("a.xlsx", out.getvalue())
    assert list(findings.locators) == ["sheet1.xml: row 3"]
    assert not matches
    assert any(reason.startswith("written variants: ") for reason in findings.unsearched)


def test_matches_that_lie_in_others_are_told_of_each_by_itself() -> None:
    message = b"From x Thu Jan  1 00:00:00 2026\nSubject: x\n\nBeste J. de Vries\n\n"
    write = person_corpus.BOXES["tar"][0]
    _, matches = look("a.tar", write([("b.mbox", message * 2), ("c.csv", b"n\nx\n")]))
    assert [match.place for match in matches] == ["b.mbox: message 1", "b.mbox: message 2"]
    _, matches = look(
        "a.tar", write([("J. de Vries.csv", b"n\nx\nJan Pieter de Vreis\n"), ("c.csv", b"n\nx\n")])
    )
    assert {match.place for match in matches} == {"name of part 1", "J. de Vries.csv: record 3"}


def test_an_answer_has_room_for_so_many_and_says_so() -> None:
    many = [Possible(f"record {number}", "initials") for number in range(10_000)]
    answer = _with_possible(Found("csv", 0), many, "mark")
    assert 1000 < len(answer.possible) < 2000
    assert answer.unsearched == (
        f"{10_000 - len(answer.possible)} more records may be the person's, too many to review",
    )
    assert _with_possible(Found("csv", 0), many[:1000], "mark").unsearched == ()


def test_one_reading_tells_which_identifiers_a_file_carries() -> None:
    corpus = person_corpus.generate_written(80, 11, persons=20)
    known = [parse_identifier(plain) for plain in corpus.identifiers]
    told = set()
    for name, node in corpus.files.items():
        data = person_corpus.pack(node)
        inquiry = Inquiry(known, detect, name=name.encode())
        form = detect(name.encode(), data)
        alone = [form.find(data, replace(inquiry.again(), identifiers=[one])).locators for one in known]
        numbers = carried(form, data, inquiry)
        assert numbers == tuple(number for number, places in enumerate(alone) if places), name
        told.add(numbers)
    assert len(told) > 10


@pytest.mark.parametrize(
    ("name", "head", "record", "tail"),
    [
        ("a.csv", "n\n", "{}\n", ""),
        ("a.ndjson", "", '"{}"\n', ""),
        ("a.json", "[0", ', {{"n": ["{}"]}}', "]"),
        ("a.xml", "<a><c/>", "<b>{}</b>", "</a>"),
        ("loon.txt", "", "{}\n", ""),
    ],
)
def test_more_records_than_are_kept_in_memory_are_told(
    monkeypatch: pytest.MonkeyPatch, name: str, head: str, record: str, tail: str
) -> None:
    monkeypatch.setattr(model, "MATCHES_LIMIT", 50)
    layouts = [FixedWidth("loon.txt", (Column("naam", 1, 20),))]
    told = partial(detect, layouts=layouts)

    def look_at(said: str, count: int) -> tuple[Findings, list[Possible]]:
        data = (head + record.format(said) * count + tail).encode()
        return find_both(told(name.encode(), data), data, Inquiry(KNOWN, told, name=name.encode()))

    assert len(look_at("jan@example.nl", 50)[0].locators) == 50
    with pytest.raises(UnsearchableError, match="more than 50 records in it are found"):
        look_at("jan@example.nl", 51)
    assert len(look_at("jan+x@example.nl", 50)[1]) == 50
    findings, possible = look_at("jan+x@example.nl", 51)
    assert (list(findings.locators), possible) == ([], [])
    assert findings.unsearched == ["written variants: more than 50 records in it are found"]
