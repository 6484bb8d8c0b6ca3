import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.errors import MessageError
from sftpd.process.messages import (
    MESSAGE_LIMIT,
    Decoder,
    Done,
    Failure,
    Message,
    Notice,
    Reply,
    Request,
    encode,
)


class Opened(Message, frozen=True):
    handle: int
    path: tuple[bytes, ...]


class Renamed(Message, frozen=True):
    name: str
    replace: bool = False


class Unknown(Message, frozen=True):
    name: str


DECODER = Decoder(Opened | Renamed)
IDS = st.integers(0, 2**63 - 1)
BODIES = (
    st.builds(Opened, st.integers(-(2**63), 2**63 - 1), st.lists(st.binary()).map(tuple))
    | st.builds(Renamed, st.text(), st.booleans())
    | st.just(Done())
)
ENVELOPES = (
    st.builds(Request, IDS, BODIES)
    | st.builds(Reply, IDS, BODIES)
    | st.builds(Notice, BODIES)
    | st.builds(Failure, IDS, st.text(), st.text())
)


@given(ENVELOPES)
def test_what_is_encoded_decodes_to_the_same(envelope):
    assert DECODER.decode(encode(envelope)) == envelope


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_a_message_error(packet):
    with contextlib.suppress(MessageError):
        DECODER.decode(packet)


@given(ENVELOPES, st.data())
def test_a_damaged_packet_decodes_or_is_a_message_error(envelope, data):
    packet = bytearray(encode(envelope))
    packet[data.draw(st.integers(0, len(packet) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(MessageError):
        DECODER.decode(bytes(packet))


@pytest.mark.parametrize(
    "packet",
    [
        encode(Notice(Unknown("x"))),
        msgspec.msgpack.encode(["notice", {"type": "Renamed", "name": "x", "more": 1}]),
        msgspec.msgpack.encode(["notice", {"type": "Renamed", "name": 1}]),
        msgspec.msgpack.encode(["order", {"type": "Renamed", "name": "x"}]),
        msgspec.msgpack.encode(["notice", {"type": "Renamed", "name": "x"}]) + b"\0",
        b"\x91" * 100_000,
        b"",
    ],
    ids=["kind", "field", "type", "envelope", "trailing", "deep", "empty"],
)
def test_what_is_not_allowed_is_a_message_error(packet):
    with pytest.raises(MessageError):
        DECODER.decode(packet)


def test_an_over_long_message_is_not_encoded():
    assert len(encode(Notice(Renamed("x" * (MESSAGE_LIMIT - 100))))) <= MESSAGE_LIMIT
    with pytest.raises(MessageError):
        encode(Notice(Renamed("x" * MESSAGE_LIMIT)))
