"""What holds cover: the book that finds them by the file, against a model that asks each of each file."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import random_retention
import slow_retention
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftpd.link import aside
from sftpd.retention.hold import Hold, HoldBook
from sftpd.retention.rule import Kept
from sftpd.retention.scope import (
    OfAccount,
    OfFile,
    OfFolder,
    OfLink,
    OfQuery,
    OfSubject,
    OfTransfer,
    decode,
    encode,
)

NOW = datetime(2026, 3, 29, tzinfo=UTC)
FILE = Kept("f1", "one", "inbound", b"in/a.csv", "1:2:3", NOW, None, "anna")


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_book_finds_the_holds_that_each_hold_by_itself_would_say(data):
    pick = random_retention.drawn(data)
    agree(pick, pick(range(6)))


@pytest.mark.parametrize("seed", range(3))
def test_the_book_finds_them_among_thousands(seed):
    pick = random.Random(seed).choice
    for _ in range(1500):
        agree(pick, 20)


def agree(pick, count):
    holds = [random_retention.hold(pick, f"h{pick(range(100)):02}") for _ in range(count)]
    holds = list({hold.id: hold for hold in holds}.values())
    now = random_retention.moment(pick)
    book = HoldBook(holds, now)
    for name in ("f1", "f2", ""):
        file = replace(random_retention.kept(pick), id=name, link=pick(["one", "two"]))
        wanted = [h.id for h in holds if slow_retention.stands(h, now) and slow_retention.is_held(h, file)]
        assert [hold.id for hold in book.on(file)] == sorted(wanted)
        if not book.by_peer:
            assert book.on(replace(file, peer="nobody")) == book.on(file)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_stored_scope_is_read_as_it_was(data):
    scope = random_retention.scope(random_retention.drawn(data))
    assert decode(json.loads(json.dumps(encode(scope)))) == scope


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"kind": "all"},
        {"kind": "folder"},
        {"kind": "link", "folder": "x"},
        {"kind": "query", "since": "x"},
        "link",
    ],
)
def test_nothing_else_is_read_as_a_scope(stored):
    with pytest.raises(msgspec.ValidationError):
        decode(stored)


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (OfLink(), "every file of the link"),
        (OfFile("f1", "inbound/a"), "the file f1, held at inbound/a"),
        (OfTransfer("f1"), "the file of transfer f1"),
        (OfFolder("sent"), "every file in sent/"),
        (OfAccount("anna"), "every file that came from or went to anna"),
        (OfQuery(glob="*.csv"), "files named *.csv"),
        (
            OfQuery("sent", None, "anna", NOW, None),
            "files in sent/ from or to anna received from 2026-03-29T00:00:00+00:00",
        ),
        (
            OfQuery(glob="*.csv", before=NOW + timedelta(days=1)),
            "files named *.csv received before 2026-03-30T00:00:00+00:00",
        ),
        (
            OfSubject(("bsn", "email"), ("00",)),
            "every file of the link, until one person (bsn, email) was searched for",
        ),
        (
            OfSubject(("email",), ("00",), NOW),
            "files of one person (email) as of 2026-03-29T00:00:00+00:00, and every file that came since",
        ),
    ],
)  # fmt: skip
def test_a_scope_says_in_words_what_it_covers(scope, words):
    assert str(scope) == words


def test_a_glob_takes_names_and_one_with_a_slash_paths():
    assert OfQuery(glob="a.csv").covers(FILE)
    assert OfQuery(glob="in/*").covers(FILE)
    assert not OfQuery(glob="in*").covers(FILE)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_file_that_was_put_aside_is_covered_as_it_lay_before(data):
    pick = random_retention.drawn(data)
    hold, file = random_retention.hold(pick), random_retention.kept(pick)
    place = b"/".join(aside.place_of(file.id, file.folder, tuple(file.path.split(b"/"))))
    lying = replace(file, folder=aside.FOLDER, path=place)
    assert hold.covers(lying) == hold.covers(file)
    now = random_retention.moment(pick)
    assert HoldBook([hold], now).on(lying) == HoldBook([hold], now).on(file)


@pytest.mark.parametrize("path", [b"a", b"f1/inbound"])
def test_what_sftpd_did_not_put_aside_lies_where_it_lies(path):
    lying = replace(FILE, folder=aside.FOLDER, path=path)
    assert Hold("h", "one", OfFolder(aside.FOLDER), "court case", "jan", NOW).covers(lying)


def test_ten_thousand_holds_on_files_are_not_asked_of_a_file_of_another_name():
    """Each scope counts how often it is asked: those on one file are found by its id."""
    asked = []

    class Counting(OfFile, frozen=True, tag="file"):
        def covers(self, file):
            asked.append(file)
            return super().covers(file)

    holds = [
        Hold(f"h{number}", "one", Counting(f"file{number}", "inbound/x"), "court case", "jan", NOW)
        for number in range(10_000)
    ]
    book = HoldBook(holds, NOW)
    assert not book.on(FILE)
    assert [hold.id for hold in book.on(replace(FILE, id="file77"))] == ["h77"]
    assert asked == []
