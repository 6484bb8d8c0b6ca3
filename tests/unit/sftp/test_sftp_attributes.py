"""ATTRS on the wire, and the line of `ls -l`."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sftp_samples import attribute_values

from sftpd.sftp.attributes import Attributes, decode, encode
from sftpd.sftp.wire import ProtocolError, Reader, string, uint32


def read(raw: bytes) -> Attributes:
    return decode(Reader(memoryview(raw)))


@given(attribute_values)
def test_attributes_survive_the_wire(attributes: Attributes) -> None:
    assert read(encode(attributes)) == attributes


@given(attribute_values, st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3))
def test_extended_attributes_are_skipped(attributes: Attributes, pairs: list[tuple[bytes, bytes]]) -> None:
    plain = encode(attributes)
    extended = b"".join(string(name) + string(value) for name, value in pairs)
    raw = bytes([plain[0] | 0x80]) + plain[1:] + uint32(len(pairs)) + extended + b"next"
    reader = Reader(memoryview(raw))
    assert decode(reader) == attributes
    assert reader.uint32() == int.from_bytes(b"next", "big")


def test_a_count_of_extended_attributes_that_are_not_there_is_refused() -> None:
    with pytest.raises(ProtocolError):
        read(uint32(0x8000_0000) + uint32(0xFFFF_FFFF))


@pytest.mark.parametrize(("seconds", "told"), [(-5.0, 0), (1e12, 2**32 - 1), (1.9, 1)])
def test_times_are_clamped_to_32_bits(seconds: float, told: int) -> None:
    attributes = Attributes.of(size=1, mode=stat.S_IFREG, atime=seconds, mtime=seconds)
    assert attributes.times == (told, told)
    assert read(encode(attributes)) == attributes


def test_no_owner_is_told_of_a_file_on_disk() -> None:
    assert Attributes.of(size=1, mode=0o100644, atime=0, mtime=0).owner is None
