"""A courier's channel and client, with servers that answer late, short, twice, out of order or nonsense."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from account_sessions import Session, whole
from courier_scene import PATIENCE, Carrier, channel_to, served_by
from hypothesis import given
from hypothesis import strategies as st
from paramiko.common import MSG_CHANNEL_WINDOW_ADJUST

from sftpd.errors import RemoteError
from sftpd.sftp.engine import Engine, Requested
from sftpd.sftp.requests import Close, Fsync, Request, Write
from sftpd.sftp.wire import ProtocolError, string, uint32, uint64
from sftpd.ssh import courier_channel
from sftpd.ssh.courier_answers import Answer, Answers, Reading, Streamed
from sftpd.ssh.courier_filling import filling
from sftpd.ssh.courier_replies import StatusReply
from sftpd.ssh.courier_sftp import CHUNK, Client
from sftpd.ssh.outgoing import ROOM
from sftpd.ssh.sftp_channel import MAX_DATA, WINDOW

PATH = b"/upload/file"
OK, HANDLE, ATTRS, DATA, STATUS, NAME = 0, 102, 105, 103, 101, 104
BIG = 3 * 1024 * 1024 + 17


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(tmp_path) as session:
        yield session


@pytest.fixture
def local(tmp_path: Path) -> Iterator[int]:
    """A file of BIG random bytes."""
    path = tmp_path / "local"
    path.write_bytes(os.urandom(BIG))
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


def answer(number: int, kind: int, body: bytes) -> bytes:
    return uint32(5 + len(body)) + bytes([kind]) + uint32(number) + body


def status(number: int, code: int = OK) -> bytes:
    return answer(number, STATUS, uint32(code) + string(b"") + string(b""))


class Scripted:
    """A server of one file that says what it is told to."""

    def __init__(self, content: bytes, change: Callable[[int, int, list[bytes]], list[bytes]]) -> None:
        """`change` is given the offset and the length of each READ and the right answer to it."""
        self.content = content
        self._change = change

    def __call__(self, packet: bytes) -> list[bytes]:
        kind, number = packet[4], int.from_bytes(packet[5:9], "big")
        if kind == 1:
            return [uint32(5) + b"\x02" + uint32(3)]
        if kind == 3:
            return [answer(number, HANDLE, string(b"h"))]
        if kind in (8, 17):
            return [answer(number, ATTRS, uint32(1) + uint64(len(self.content)))]
        if kind != 5:
            return [status(number)]
        offset, length = int.from_bytes(packet[14:22], "big"), int.from_bytes(packet[22:26], "big")
        data = self.content[offset : offset + length]
        right = answer(number, DATA, string(data)) if data else status(number, 1)
        return self._change(offset, length, [right])


def read_all(server: Scripted, *, together: bool = False) -> bytes:
    got = bytearray()
    Client(channel_to(Carrier(server, together=together))).read_file(PATH, got.extend)
    return bytes(got)


@pytest.mark.parametrize("window", [WINDOW, 100_000, 700], ids=["wide", "narrow", "tiny"])
@pytest.mark.parametrize("max_data", [MAX_DATA, 32 * 1024, 300], ids=["all", "usual", "tiny"])
def test_a_file_goes_there_and_comes_back(session: Session, local: int, window: int, max_data: int) -> None:
    carrier = Carrier(served_by(session), grants=window)
    client = Client(channel_to(carrier, window=window, max_data=max_data))
    sent, got = bytearray(), bytearray()

    assert client.write_file(PATH, filling(local, BIG, sent.extend)) == BIG
    assert client.read_file(PATH, got.extend) == BIG

    assert bytes(sent) == bytes(got) == os.pread(local, BIG, 0)
    assert carrier.largest <= min(window, max_data)


def test_the_server_gets_its_window_back(session: Session, local: int) -> None:
    carrier = Carrier(served_by(session))
    client = Client(channel_to(carrier))
    client.write_file(PATH, filling(local, BIG, bytes))
    for _ in range(4):
        client.read_file(PATH, lambda piece: None)

    assert carrier.adjusted > WINDOW // 4


@pytest.mark.parametrize("size", [0, 1, CHUNK, 1_000_000])
def test_a_file_that_has_grown_or_shrunk_is_read_as_far_as_was_said(
    session: Session, local: int, size: int
) -> None:
    client = Client(channel_to(Carrier(served_by(session))))
    sent = bytearray()

    assert client.write_file(PATH, filling(local, size, sent.extend)) == size
    assert bytes(sent) == os.pread(local, size, 0)
    os.ftruncate(local, size // 2)
    assert client.write_file(PATH, filling(local, size, sent.extend)) == size // 2


def test_little_is_waited_for_with_a_small_file(session: Session, local: int) -> None:
    carrier = Carrier(served_by(session))
    client = Client(channel_to(carrier))
    waits = []
    attend = carrier.attend
    carrier.attend = lambda: (waits.append(1), attend())  # type: ignore[assignment]

    client.write_file(PATH, filling(local, 4096, bytes))
    assert len(waits) <= 2 + 3  # OPEN; then WRITE, fsync, CLOSE and STAT, sent at once
    assert [packet[4] for packet in carrier.sent[-5:]] == [3, 6, 200, 4, 17]
    waits.clear()
    client.read_file(PATH, lambda piece: None)
    assert [packet[4] for packet in carrier.sent[-5:]] == [17, 3, 5, 5, 4]


def test_more_is_sent_at_once_to_a_server_the_more_it_answers(session: Session, local: int) -> None:
    carrier = Carrier(served_by(session))
    Client(channel_to(carrier)).write_file(PATH, filling(local, BIG, bytes))
    first, *_ = (size for _, size in carrier.ahead if size > CHUNK)
    assert first < 800_000  # half a megabyte, and what a write may go beyond it
    assert max(size for _, size in carrier.ahead) > 1_000_000


def test_little_is_asked_for_at_once_of_a_server_that_gives_little() -> None:
    def one(_offset: int, _length: int, right: list[bytes]) -> list[bytes]:
        number = int.from_bytes(right[0][5:9], "big")
        return [answer(number, DATA, string(b"x"))] if right[0][4] == DATA else right

    carrier = Carrier(Scripted(b"x" * 1000, one))
    assert Client(channel_to(carrier)).read_file(PATH, lambda piece: None) == 1000
    assert max(packets for packets, _ in carrier.ahead) <= 130


def test_answers_may_come_in_any_order() -> None:
    held: list[bytes] = []

    def backwards(offset: int, length: int, right: list[bytes]) -> list[bytes]:
        held.extend(right)
        if len(held) < 4 and length > 1:
            return []
        turned = held[::-1]
        held.clear()
        return turned

    content = os.urandom(10 * CHUNK + 5)
    assert read_all(Scripted(content, backwards)) == content


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("most", [1000, CHUNK - 1])
def test_data_that_is_shorter_than_asked_for_is_put_together(most: int, together: bool) -> None:
    content = os.urandom(5 * CHUNK)
    server = Scripted(content, lambda *_: [])

    def short(offset: int, length: int, right: list[bytes]) -> list[bytes]:
        number = int.from_bytes(right[0][5:9], "big")
        data = content[offset : offset + min(length, most)]
        return [answer(number, DATA, string(data))] if data else right

    server._change = short
    assert read_all(server, together=together) == content


def test_bytes_behind_the_data_are_ignored() -> None:
    def longer(offset: int, length: int, right: list[bytes]) -> list[bytes]:
        return [uint32(len(right[0]) - 1) + right[0][4:] + b"end"]

    content = os.urandom(5 * CHUNK)
    assert read_all(Scripted(content, longer)) == content


def test_a_file_that_grows_while_it_is_read_is_an_error() -> None:
    server = Scripted(b"x" * 100, lambda offset, length, right: right)

    def grown(offset: int, length: int, right: list[bytes]) -> list[bytes]:
        return right if offset < 100 else [answer(int.from_bytes(right[0][5:9], "big"), DATA, string(b"y"))]

    server._change = grown
    with pytest.raises(RemoteError, match="grew"):
        read_all(server)


def test_a_file_that_shrinks_while_it_is_read_ends_where_it_ends() -> None:
    def cut(offset: int, length: int, right: list[bytes]) -> list[bytes]:
        number = int.from_bytes(right[0][5:9], "big")
        return right if offset < CHUNK else [status(number, 1)]

    content = os.urandom(4 * CHUNK)
    assert read_all(Scripted(content, cut)) == content[:CHUNK]


@pytest.mark.parametrize(
    ("nonsense", "told"),
    [
        (lambda right: [*right, right[0]], "what was not asked"),
        (lambda right: [status(4_000_000)], "what was not asked"),
        (
            lambda right: [answer(int.from_bytes(right[0][5:9], "big"), DATA, string(b"x" * 40_000))],
            "more than",
        ),
        (lambda right: [uint32(0)], "packet of 0 bytes"),
        (lambda right: [uint32(1 << 30) + b"x" * 20], f"packet of {1 << 30} bytes"),
        (lambda right: [uint32(2) + b"xx" * 20], "answer of 2 bytes"),
        (lambda right: [answer(int.from_bytes(right[0][5:9], "big"), 42, b"")], "answer of type 42"),
    ],
    ids=["twice", "unasked", "too much", "empty", "huge", "no number", "strange"],
)
def test_nonsense_is_an_error(nonsense: Callable[[list[bytes]], list[bytes]], told: str) -> None:
    server = Scripted(os.urandom(3 * CHUNK), lambda offset, length, right: nonsense(right))
    with pytest.raises(ProtocolError, match=told):
        read_all(server)


def test_a_part_of_a_listing_that_names_nothing_is_its_end() -> None:
    one, asked = uint32(1) + string(b"a") + string(b"-rw a") + uint32(0), []
    server = Scripted(b"x", lambda offset, length, right: right)

    def serve(packet: bytes) -> list[bytes]:
        number = int.from_bytes(packet[5:9], "big")
        if packet[4] == 11:
            return [answer(number, HANDLE, string(b"h"))]
        if packet[4] == 12:
            asked.append(number)
            assert len(asked) < 9, "it is asked for ever"
            return [answer(number, NAME, one if len(asked) == 1 else uint32(0))]
        return server(packet)

    assert [name for name, _ in Client(channel_to(Carrier(serve))).names(PATH)] == [b"a"]


def test_a_handle_that_is_over_long_is_an_error() -> None:
    server = Scripted(b"x", lambda offset, length, right: right)

    def serve(packet: bytes) -> list[bytes]:
        long = answer(int.from_bytes(packet[5:9], "big"), HANDLE, string(b"h" * 257))
        return [long] if packet[4] == 3 else server(packet)

    with pytest.raises(ProtocolError, match="handle of 257 bytes"):
        Client(channel_to(Carrier(serve))).read_file(PATH, lambda piece: None)


@pytest.mark.parametrize("refused", [Write, Fsync, Close])
@pytest.mark.parametrize("size", [4096, BIG])
def test_a_refusal_is_told_and_the_conversation_goes_on(
    session: Session, local: int, refused: type[Request], size: int
) -> None:
    spoilt: set[int] = set()
    engine, spoils = Engine(), True

    def full(data: bytes) -> list[bytes]:
        answers = []
        for event in engine.receive(data):
            if spoils and isinstance(event, Requested) and isinstance(event.request, refused):
                spoilt.add(event.id)
            reply = whole(session.handler.answer(event))
            number = int.from_bytes(reply[5:9], "big")
            answers.append(status(number, 4) if reply and number in spoilt else reply)
        return answers

    client = Client(channel_to(Carrier(full, grants=BIG)))
    for _ in range(2 * session.admitted.max_handles):
        with pytest.raises(StatusReply, match="FAILURE"):
            client.write_file(PATH, filling(local, size, bytes))
    spoils = False
    assert client.write_file(PATH, filling(local, size, bytes)) == size


def test_a_file_is_written_from_where_it_is_there_already(session: Session, local: int) -> None:
    carrier = Carrier(served_by(session))
    client = Client(channel_to(carrier))
    sent, got = bytearray(), bytearray()
    client.write_file(PATH, filling(local, 1_000_000, bytes), sync=False)
    assert b"fsync@openssh.com" not in b"".join(carrier.sent)
    assert client.write_file(PATH, filling(local, BIG, sent.extend), start=1_000_000) == BIG
    client.read_file(PATH, got.extend, BIG)

    assert bytes(sent) == os.pread(local, BIG, 1_000_000)
    assert bytes(got) == os.pread(local, BIG, 0)
    whole_ones = [packet for packet in carrier.sent if len(packet) == 4 + int.from_bytes(packet[:4], "big")]
    assert sum(packet[4] == 17 for packet in whole_ones) == 2  # not asked for where it is known


def test_more_than_the_window_is_an_error() -> None:
    carrier = Carrier(lambda data: [])
    carrier.exchanging = True  # which keeps the window from being given back
    channel = channel_to(carrier)
    channel.aside(WINDOW)
    with pytest.raises(paramiko.SSHException, match="more than its window"):
        channel.aside(1)


def test_a_server_that_owes_an_answer_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    carrier = Carrier(lambda data: [])
    channel = channel_to(carrier)
    now = [1000.0]

    def later() -> float:
        now[0] += 1
        return now[0]

    monkeypatch.setattr(courier_channel, "monotonic", later)
    carrier.silent_for = 2 * PATIENCE
    with pytest.raises(TimeoutError):
        channel.greet(b"hello")
    assert PATIENCE <= now[0] - 1000 <= PATIENCE + 5


def test_one_that_has_closed_the_channel_is_not_waited_for() -> None:
    carrier = Carrier(lambda data: [])
    channel = channel_to(carrier)
    channel.closed()
    with pytest.raises(EOFError, match="closed the channel"):
        channel.greet(b"hello")


def test_what_has_come_before_the_end_counts(session: Session) -> None:
    channel = channel_to(Carrier(served_by(session)))
    client = Client(channel)
    number = channel.ask(16, string(b"."))
    channel.data(memoryview(status(number)))
    channel.end_of_data()
    assert isinstance(channel.answer(number), Answer)
    with pytest.raises(EOFError):
        client.stat(b"/")


class Busy(Carrier):
    """A connection that after each answer takes nothing for a while, or exchanges keys."""

    def __init__(self, session: Session, *, exchanges: bool) -> None:
        super().__init__(self._answer)
        self._served = served_by(session)
        self._exchanges = exchanges
        self._stalled = 0
        self.stalls = 0

    def _answer(self, data: bytes) -> list[bytes]:
        self._stalled = 3
        self.exchanging = self._exchanges
        return self._served(data)

    def congested(self) -> bool:
        return self._stalled > 0 and not self._exchanges

    def seal(self, at: int, length: int) -> None:
        grant = self.plain[at + ROOM] == MSG_CHANNEL_WINDOW_ADJUST
        assert not self._stalled or (grant and not self._exchanges)
        super().seal(at, length)

    def attend(self) -> None:
        (receiver,) = self._waiting
        self.stalls += self._stalled > 0
        while self._stalled:
            receiver.go_on()
            self._stalled -= 1
        self.exchanging = False
        super().attend()


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchanging", "congested"])
def test_nothing_is_sent_while_nothing_may_be(session: Session, local: int, exchanges: bool) -> None:
    carrier = Busy(session, exchanges=exchanges)
    client = Client(channel_to(carrier))
    got = bytearray()

    assert client.write_file(PATH, filling(local, BIG, bytes)) == BIG
    assert client.read_file(PATH, got.extend) == BIG
    assert bytes(got) == os.pread(local, BIG, 0)
    assert carrier.stalls > 5


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=8), st.data())
def test_it_does_not_matter_how_the_bytes_are_cut(contents: list[bytes], data: st.DataObject) -> None:
    answers, got = Answers(), bytearray()
    reading = Reading(got.extend)
    answers.reading = reading
    stream = b""
    for number, content in enumerate(contents, 1):
        answers.expect(number)
        if content:
            reading.expected.append((number, len(content)))
        stream += answer(number, DATA, string(content)) if content else status(number, 1)
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        answers.take(memoryview(stream[:cut]))
        stream = stream[cut:]

    come = [answers.pop(number) for number in range(1, len(contents) + 1)]
    assert [one.size if isinstance(one, Streamed) else 0 for one in come] == [len(c) for c in contents]
    assert bytes(got) == b"".join(contents)
