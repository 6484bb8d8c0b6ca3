"""Sealed files: what was sealed comes back, any part of it alone, and nothing that was changed does."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftpd.files import sealed
from sftpd.files.sealed import CHUNK, Opened, SealError, seal

KEY = bytes(range(32))
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7)


def content(size):
    return (b"0123456789abcdef!" * (size // 17 + 1))[:size]


def sealed_file(data, key=KEY):
    """A descriptor of a file that holds it sealed."""
    source, target = os.memfd_create("plain"), os.memfd_create("sealed")
    try:
        os.write(source, data)
        assert seal(source, target, key) == len(data)
    finally:
        os.close(source)
    return target


def opened(fd, key=KEY):
    return Opened(fd, key, where="vault/a")


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_comes_back(size):
    fd = sealed_file(content(size))
    file = opened(fd)
    assert file.size == size
    assert b"".join(file.chunks()) == content(size)
    assert content(size)[:16] not in os.pread(fd, 1 << 20, 0) or size < 16
    os.close(fd)


@given(st.sampled_from(SIZES), st.integers(0, 4 * CHUNK), st.integers(0, 4 * CHUNK))
@settings(max_examples=60)
def test_any_part_can_be_read_alone(size, offset, count):
    fd = sealed_file(content(size))
    assert opened(fd).read(offset, count) == content(size)[offset : offset + count]
    os.close(fd)


@given(st.sampled_from(SIZES), st.data())
@settings(max_examples=80)
def test_a_changed_byte_is_noticed(size, data):
    fd = sealed_file(content(size))
    at = data.draw(st.integers(0, os.fstat(fd).st_size - 1))
    os.pwrite(fd, bytes([os.pread(fd, 1, at)[0] ^ data.draw(st.integers(1, 255))]), at)
    with pytest.raises(SealError):
        list(opened(fd).chunks())
    os.close(fd)


@given(st.sampled_from(SIZES), st.data())
@settings(max_examples=80)
def test_no_length_but_its_own_is_accepted(size, data):
    fd = sealed_file(content(size))
    whole = os.fstat(fd).st_size
    length = data.draw(st.integers(0, whole + 2 * CHUNK).filter(lambda n: n != whole))
    os.ftruncate(fd, length)
    with pytest.raises(SealError):
        opened(fd)
    os.close(fd)


def test_whole_chunks_that_are_cut_off_swapped_or_put_twice_are_noticed():
    step, head = CHUNK + 16, 16
    whole = sealed_file(content(3 * CHUNK))
    parts = [os.pread(whole, step, head + n * step) for n in range(3)]
    os.close(whole)
    for chosen in ([0, 1], [1, 0, 2], [0, 0, 2], [0, 2], [0, 1, 2, 2]):
        fd = os.memfd_create("other")
        os.write(fd, sealed._MAGIC + b"".join(parts[n] for n in chosen))
        with pytest.raises(SealError):
            list(opened(fd).chunks())
        os.close(fd)


def test_another_key_opens_nothing():
    fd = sealed_file(b"secret")
    with pytest.raises(SealError, match="vault/a: chunk 0 of 1"):
        opened(fd, bytes(32))
    os.close(fd)
