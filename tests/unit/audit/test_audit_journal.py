import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.audit.journal import decode_journal, encode_journal
from sftpd.errors import AuditError

leaves_lists = st.lists(st.binary(min_size=1, max_size=80), max_size=20)


@given(st.integers(0, 2**64 - 1), leaves_lists)
def test_round_trip(base, leaves):
    raw = encode_journal(base, leaves)
    contents = decode_journal(raw, "here")
    assert (contents.base, contents.leaves, contents.end) == (base, leaves, len(raw))
    assert contents.stop == base + len(leaves)


@given(leaves_lists.filter(bool), st.data())
def test_a_torn_tail_ends_at_the_last_whole_record(leaves, data):
    whole = encode_journal(0, leaves)
    last = decode_journal(whole, "here").offsets[-1]
    contents = decode_journal(whole[: data.draw(st.integers(last, len(whole) - 1))], "here")
    assert (contents.leaves, contents.end) == (leaves[:-1], last)


@given(leaves_lists, st.integers(1, 5000))
def test_zeroes_after_the_end_are_no_leaves(leaves, zeroes):
    whole = encode_journal(0, leaves)
    contents = decode_journal(whole + bytes(zeroes), "here")
    assert (contents.leaves, contents.end) == (leaves, len(whole))


@given(leaves_lists.filter(bool), st.data())
def test_a_flipped_bit_is_noticed_where_it_is(leaves, data):
    raw = bytearray(encode_journal(7, leaves))
    offsets = decode_journal(bytes(raw), "here").offsets
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    if at < offsets[0]:
        with pytest.raises(AuditError, match="here: header"):
            decode_journal(bytes(raw), "here")
    else:
        hit = max(index for index, start in enumerate(offsets) if start <= at)
        contents = decode_journal(bytes(raw), "here")
        assert (contents.leaves, contents.end) == (leaves[:hit], offsets[hit])


def test_something_else_is_no_journal():
    with pytest.raises(AuditError, match="here: header"):
        decode_journal(b"", "here")
