"""Listings: the entries' lines, and NAME replies of a bounded size, gathered ahead or not."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.sftp import attributes
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.listing import EntryEncoder, NameBatches
from sftpd.sftp.wire import Reader, string

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)


class Found(NamedTuple):
    st_size: int
    st_mode: int
    st_atime: float
    st_mtime: float


def entries_of(packet: bytes) -> list[tuple[bytes, bytes, Attributes]]:
    reader = Reader(memoryview(packet)[9:])
    told = [(reader.string(), reader.string(), attributes.decode(reader)) for _ in range(reader.uint32())]
    assert reader.at_end
    return told


def entry(name: bytes) -> bytes:
    return string(name) + string(b"line " + name) + attributes.encode(Attributes(size=1))


@pytest.mark.parametrize(
    ("mtime", "when"),
    [
        (datetime(2026, 7, 4, 9, 5, 59, tzinfo=UTC), "Jul  4 09:05"),
        (datetime(2025, 12, 24, 9, 5, tzinfo=UTC), "Dec 24  2025"),
        (datetime(2027, 1, 2, 9, 5, tzinfo=UTC), "Jan  2  2027"),
    ],
)
def test_an_entry_has_the_line_of_ls_and_no_owner(mtime: datetime, when: str) -> None:
    encoder = EntryEncoder("alice", "demo", NOW)
    for _ in range(2):  # what is remembered of the first serves the second
        encoded = encoder.encode(b"caf\xe9.csv", Found(1234, 0o100640, 5.5, mtime.timestamp()))
        name, line, known = entries_of(bytes(9) + (1).to_bytes(4, "big") + encoded)[0]
        assert name == b"caf\xe9.csv"
        assert line == f"-rw-r-----   1 alice    demo         1234 {when} ".encode() + name
        assert known == Attributes.of(size=1234, mode=0o100640, atime=5, mtime=mtime.timestamp())


def test_what_many_entries_share_is_not_remembered_without_bound() -> None:
    encoder = EntryEncoder("alice", "demo", NOW)
    for minute in range(10_000):
        encoder.encode(b"a", Found(1, 0o100644, 0, minute * 60))
    assert len(encoder._minutes) <= 4096


@given(
    st.lists(st.binary(min_size=1, max_size=255), max_size=40),
    st.integers(30, 2000),
    st.lists(st.booleans(), min_size=50, max_size=50),
)
def test_a_listing_is_told_whole_in_order_and_in_bounded_packets(
    filenames: list[bytes], limit: int, ahead: list[bool]
) -> None:
    batches = NameBatches(iter(map(entry, filenames)), limit)
    told: list[bytes] = []
    for looks in ahead:
        if looks:
            batches.look_ahead()
        packet = batches.next_reply(9)
        if packet is None:
            break
        batch = [name for name, _, _ in entries_of(packet)]
        assert len(packet) <= limit or len(batch) == 1
        told += batch
    assert told == filenames


def test_an_empty_listing_ends_at_once() -> None:
    assert NameBatches(iter(())).next_reply(1) is None


def test_a_listing_that_fails_is_never_taken_for_a_whole_one() -> None:
    def failing() -> Iterator[bytes]:
        yield entry(b"a")
        raise OSError(5, os.strerror(5))

    batches = NameBatches(failing())
    batches.look_ahead()
    for _ in range(2):
        with pytest.raises(OSError, match="Input"):
            batches.next_reply(1)
