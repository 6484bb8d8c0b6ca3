"""The lines of an erasure ledger: chained, and read up to a torn one."""

import hashlib
import json
import tempfile

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.erasure.erased import (
    NO_HASH,
    Beginning,
    FileErased,
    RequestClosed,
    UnusableError,
    decode,
    encode,
)
from sftpd.erasure.marks import MOST, Marks, noted, seal_places, unseal_places

AT = "2026-03-01T10:00:00Z"


def lines(count: int) -> list[bytes]:
    """A ledger with so many entries behind its beginning."""
    made, before = [], NO_HASH
    for epoch in range(count + 1):
        entry = RequestClosed(epoch, AT, "r", "demo") if epoch else Beginning(0, AT, "test", "k")
        line, head = encode(entry, before)
        made.append(line)
        before = head.hash
    return made


@given(
    st.builds(
        FileErased,
        epoch=st.integers(1, 10),
        size=st.integers(0, 1 << 50),
        records=st.integers(0, 1 << 50),
        file=st.none() | st.text(max_size=5),
        names=st.just(msgspec.UNSET) | st.lists(st.text(max_size=5), max_size=3).map(tuple),
    )
)
def test_an_entry_reads_as_it_was_written(entry: FileErased) -> None:
    before = lines(entry.epoch - 1)
    head = [*decode(before, "x")][-1].head
    line, made = encode(entry, head.hash)
    assert [*decode([*before, line], "x")][-1][:2] == (entry, made)


def test_an_entry_from_before_entries_told_names_reads_and_is_written_as_it_was() -> None:
    told = (
        b'{"at":"2026-03-01T10:00:00Z","content":"c","epoch":1,"file":null,"folder":"inbound","format":"name",'
        b'"link":"demo","marks":null,"only_here":true,"place":"p","places":null,"records":1,"request":"r",'
        b'"result":null,"size":3,"what":"file"}'
    )
    (before,) = lines(0)
    first = next(decode([before], "x")).head
    chained = hashlib.sha256(first.hash + told).hexdigest().encode()
    line = b'{"entry":' + told + b',"hash":"' + chained + b'"}\n'
    read = [*decode([before, line], "x")][-1]
    assert isinstance(read.entry, FileErased)
    assert read.entry.names is msgspec.UNSET
    assert encode(read.entry, first.hash) == (line, read.head)


def test_a_torn_last_line_is_not_read_and_everything_before_it_is() -> None:
    whole = lines(3)
    for cut in range(len(whole[3])):
        read = [*decode([*whole[:3], whole[3][:cut]], "x")]
        assert (len(read), read[-1].end) == (3, len(b"".join(whole[:3])))


@pytest.mark.parametrize("change", ["byte", "gone", "twice", "swapped", "first gone", "not JSON"])
def test_what_was_changed_is_refused_with_its_line(change: str) -> None:
    made = lines(4)
    told = json.loads(made[2])
    told["entry"]["request"] = "s"
    changed = {
        "byte": [*made[:2], json.dumps(told).encode() + b"\n", *made[3:]],
        "gone": [*made[:2], *made[3:]],
        "twice": [*made[:3], *made[2:]],
        "swapped": [*made[:2], made[3], made[2], made[4]],
        "first gone": made[1:],
        "not JSON": [*made[:2], b"\0\0\n", *made[3:]],
    }[change]
    with pytest.raises(UnusableError, match=r"x line [1-4]"):
        list(decode(changed, "x"))


def test_marks_know_the_texts_that_were_noted_in_that_content_alone() -> None:
    marks = Marks(b"a" * 32)
    marks.note("jan@example.nl", "mail")
    again, other = Marks(b"a" * 32, marks.packed()), Marks(b"b" * 32, marks.packed())
    assert again.knows("jan@example.nl", "mail")
    assert not again.knows("jan@example.nl", "other")
    assert not again.knows("piet@example.nl", "mail")
    assert not other.knows("jan@example.nl", "mail")


def test_marks_know_the_records_that_were_noted_by_all_their_fields() -> None:
    record = [("naam", "jan"), ("geboren", "1980-05-17")]
    marks = Marks(b"a" * 32)
    marks.note("jan", "naam")
    assert not Marks(b"a" * 32, marks.packed()).has_records
    marks.note_record(record)
    again, other = Marks(b"a" * 32, marks.packed()), Marks(b"b" * 32, marks.packed())
    assert again.has_records
    assert again.knows_record(record)
    assert not again.knows_record(record[:1])
    assert not again.knows_record([*record, ("plaats", "ede")])
    assert not again.knows_record([("naam", "jan"), ("in dienst", "1980-05-17")])
    assert not again.knows_record([])  # as a row that was emptied is
    assert not again.knows("1980-05-17", "geboren")
    assert not other.has_records
    assert not other.knows_record(record)


def test_of_too_many_marks_none_is_kept() -> None:
    marks = Marks(b"a" * 32)
    with tempfile.TemporaryFile(buffering=0) as file:
        for number in range(MOST):
            marks.note(str(number), "")
        file.write(marks.packed())
        assert noted(file.fileno()) == marks.packed()
        for number in range(5):
            marks.note(f"{number} more", "")
        file.seek(0)
        file.write(marks.packed())
        assert noted(file.fileno()) is None


def test_places_are_read_by_who_has_the_content_alone() -> None:
    places = ("Jan Jansen.csv: record 2", "/jan@example.nl")
    sealed = seal_places(b"a" * 32, places)
    assert b"Jan" not in sealed
    assert unseal_places(b"a" * 32, sealed) == places
    with pytest.raises(ValueError, match="another key"):
        unseal_places(b"b" * 32, sealed)
