"""The engine: framing in any chunking, order of INIT, hostile bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sftp_samples import INIT, UINT32, any_request, encode

from sftpd.sftp.engine import Continued, Engine, Init, Malformed, Requested, Unsupported
from sftpd.sftp.requests import Close, Write
from sftpd.sftp.wire import ProtocolError, frame, string, uint32, uint64

KINDS = st.integers(0, 255)
PACKETS = st.builds(frame, KINDS, UINT32.map(uint32), st.binary(max_size=80)) | st.builds(
    encode, UINT32, any_request
)


def settle(event: object) -> object:
    """`event`, with a window on the packet turned into bytes of its own."""
    if isinstance(event, Requested) and isinstance(event.request, Write):
        write = event.request
        return (event.id, write.handle, write.offset, bytes(write.data))
    return event


def run(chunks: list[bytes]) -> list[object]:
    engine = Engine()
    told: list[object] = []
    try:
        for chunk in chunks:
            for event in engine.receive(chunk):
                if isinstance(event, Continued):
                    *same, data = told.pop()
                    told.append((*same, data + bytes(event.data)))
                else:
                    told.append(settle(event))
    except ProtocolError:
        told.append("refused")
    return told


def pieces(engine: Engine, data: bytes) -> list[object]:
    if not engine._initialised:
        data = INIT + data
    return [
        (event.data.tobytes(), event.more)
        if isinstance(event, Continued)
        else (*settle(event), event.request.more)
        if isinstance(event, Requested) and isinstance(event.request, Write)
        else event
        for event in engine.receive(data)
    ]


@given(st.lists(PACKETS, max_size=5), st.data())
def test_chunking_changes_nothing(packets: list[bytes], data: st.DataObject) -> None:
    stream = INIT + b"".join(packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    chunks = [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]
    assert run(chunks) == run([stream]) == run([bytes([byte]) for byte in stream])


@given(st.lists(st.binary(max_size=64) | PACKETS | st.just(INIT), max_size=8))
def test_arbitrary_bytes_give_events_or_a_protocol_error(chunks: list[bytes]) -> None:
    run(chunks)


@pytest.mark.parametrize("length", [0, 101, 2**32 - 1])
def test_a_length_out_of_bounds_ends_the_connection(length: int) -> None:
    engine = Engine(max_packet=100)
    with pytest.raises(ProtocolError):
        list(engine.receive(INIT + uint32(length)))


def test_the_longest_packet_is_taken() -> None:
    engine = Engine(max_packet=100)
    packet = frame(4, uint32(1), string(b"h" * 91))
    assert len(packet) == 104
    assert list(engine.receive(INIT + packet))[1:] == [Requested(1, Close(b"h" * 91))]


def test_a_request_before_init_ends_the_connection() -> None:
    with pytest.raises(ProtocolError):
        list(Engine().receive(encode(1, Close(b"h"))))


def test_a_second_init_ends_the_connection() -> None:
    engine = Engine()
    assert list(engine.receive(INIT)) == [Init(3)]
    with pytest.raises(ProtocolError):
        list(engine.receive(INIT))


def test_init_tells_the_client_s_version_and_extensions() -> None:
    packet = frame(1, uint32(6), string(b"newline@vandyke.com"), string(b"\r\n"))
    assert list(Engine().receive(packet)) == [Init(6, ((b"newline@vandyke.com", b"\r\n"),))]


def test_unknown_types_and_extensions_are_unsupported() -> None:
    unknown = frame(99, uint32(1)) + frame(101, uint32(2)) + frame(200, uint32(3), string(b"copy-file"))
    assert list(Engine().receive(INIT + unknown))[1:] == [Unsupported(1), Unsupported(2), Unsupported(3)]


def test_a_malformed_request_does_not_disturb_the_next() -> None:
    bad = frame(4, uint32(1), uint32(1000))
    assert list(Engine().receive(INIT + bad + encode(2, Close(b"h"))))[1:] == [
        Malformed(1),
        Requested(2, Close(b"h")),
    ]


def test_a_packet_too_short_for_an_id_ends_the_connection() -> None:
    with pytest.raises(ProtocolError):
        list(Engine().receive(INIT + frame(4, b"abc")))


def test_written_data_is_a_window_on_what_was_received() -> None:
    received = bytearray(INIT + frame(6, uint32(1), string(b"h"), uint64(0), string(b"data")))
    events = list(Engine().receive(memoryview(received)))
    received[-1:] = b"!"
    assert settle(events[1]) == (1, b"h", 0, b"dat!")


def test_nothing_beyond_one_packet_is_held() -> None:
    engine = Engine(max_packet=1000)
    list(engine.receive(INIT))
    events = engine.receive(encode(1, Close(b"h")) * 1000)
    next(events)
    assert len(engine._partial) == 0
    assert len(list(events)) == 999
    list(engine.receive(uint32(1000) + b"\x05" * 999))
    assert len(engine._partial) == 1003


def test_of_a_write_nothing_is_held_but_its_beginning() -> None:
    engine = Engine()
    packet = frame(6, uint32(1), string(b"h"), uint64(5), string(b"d" * 1000)) + encode(2, Close(b"h"))
    events = [event for at in range(0, len(packet), 100) for event in pieces(engine, packet[at : at + 100])]
    (_, handle, offset, first, more), *rest = events[1:]
    assert (handle, offset, more) == (b"h", 5, True)
    assert first + b"".join(part for part, _ in rest[:-1]) == b"d" * 1000
    assert [more for _, more in rest[:-1]] == [True] * (len(rest) - 2) + [False]
    assert rest[-1] == Requested(2, Close(b"h"))


def test_a_write_in_pieces_before_init_ends_the_connection() -> None:
    with pytest.raises(ProtocolError):
        list(Engine().receive(frame(6, uint32(1), string(b"h"), uint64(5), string(b"d" * 1000))[:100]))
