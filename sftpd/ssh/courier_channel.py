"""A courier's end of the SFTP channel: many requests under way, served by the one thread that waits.

Files go straight between the packets' buffers and the disk. Nothing is waited for without taking in what
comes, so a server that does not read before its answers are taken is no deadlock.
"""

import select
import struct
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

import paramiko
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_WINDOW_ADJUST

from sftpd.sftp.wire import frame, uint32
from sftpd.ssh.courier_answers import GREETING, Answer, Answers, Reading, Streamed
from sftpd.ssh.data_layout import HEAD, Layout
from sftpd.ssh.outgoing import ROOM
from sftpd.ssh.sftp_channel import MAX_DATA, WINDOW, Peer, Wire

_GRANTED_AT = WINDOW // 4
_SMALLEST_PACKET = 4096
"""Packets of less are filled from memory: there would be too many to read a file straight into them."""

_LOOKS = 2
"""How often the watch is called before all that has come was taken in: once it may be because of that."""

_WRITE = 6
_WRITE_HEAD = struct.Struct(">IBII")
_WRITE_PLACE = struct.Struct(">QI")

Fill = Callable[[Sequence[memoryview], int], int]
"""Fills buffers, one behind the other, with a file from a position on; returns how many bytes it had."""


class CourierWire(Wire, Protocol):
    """What a courier's channel needs of the Packetizer."""

    watch: Callable[[], None]

    @property
    def silent_for(self) -> float:
        """Seconds since anything came from the other side."""
        ...


class Carrier(Protocol):
    """What it needs of the transport."""

    @property
    def wire(self) -> CourierWire:
        """The packets of the connection."""
        ...

    @property
    def remote_version(self) -> str:
        """What the server calls itself."""
        ...

    def fileno(self) -> int:
        """The descriptor of the connection."""
        ...

    def attend(self) -> None:
        """Serve the connection in this thread until a Receiver or `wire.watch` raises."""
        ...


class _Ready(Exception):  # noqa: N818 - it ends the wait for what it tells of
    """What is waited for is there."""


class CourierChannel:
    """A Receiver of the Packetizer, for the one thread that also sends.

    Methods raise ProtocolError for nonsense, EOFError, OSError or paramiko.SSHException when the connection
    is lost, TimeoutError when the server owes an answer and sends nothing. What a sink or Fill raises goes
    through; the conversation is then of no more use.
    """

    def __init__(self, carrier: Carrier, peer: Peer, patience: float) -> None:
        """`peer` is the server's end; it may be silent for `patience` seconds while it owes an answer."""
        self._carrier = carrier
        self._wire = carrier.wire
        self._recipient = peer.number
        self._window = self._widest = peer.window
        self._max_data = min(peer.max_data, MAX_DATA)
        self._in_window = WINDOW
        self._consumed = 0
        self._number = GREETING
        self._answers = Answers()
        self._over = False
        self._ready: Callable[[], bool] = _never
        self._since = 0.0
        self._usual_patience = self._patience = patience
        self._looks_left = 0
        self._layouts: dict[tuple[int, int], Layout] = {}
        self.wait_for: Callable[[int, float], object] = self.have_answered
        """How who asked waits for an answer."""
        self._wire.watch = self._look

    def greet(self, packet: bytes) -> Answer:
        """Send the packet that begins the conversation; returns the server's first."""
        self._answers.expect(GREETING)
        self._send(packet)
        greeting = self.answer(GREETING)
        assert isinstance(greeting, Answer)
        return greeting

    def ask(self, kind: int, *fields: bytes, wanted: bool = True) -> int:
        """Send a request; returns its number. The answer to one that is not `wanted` is dropped."""
        number = self._expect(wanted=wanted)
        self._send(frame(kind, uint32(number), *fields))
        return number

    def write(self, handle: bytes, position: int, length: int, fill: Fill) -> tuple[int, int]:
        """Ask to write what `fill` has, up to `length` bytes; returns the number and how many they are.

        For no bytes nothing is asked.
        """
        head = _WRITE_HEAD.size + len(handle) + _WRITE_PLACE.size
        layout = self._layout(head, length)
        straight = self._max_data >= _SMALLEST_PACKET and head + length <= self._widest
        self._wait(lambda: self._sendable(head + length if straight else 1))
        count = fill(layout.buffers, position)
        if not count:
            return GREETING, 0
        number = self._expect()
        packet = _WRITE_HEAD.pack(head - 4 + count, _WRITE, number, len(handle)) + handle
        packet += _WRITE_PLACE.pack(position, count)
        if straight:
            self._window -= head + count
            layout.seal(self._wire.seal, self._recipient, packet, count)
        else:
            self._send(packet + b"".join(layout.buffers)[:count])
        return number, count

    def stream(self, reading: Reading) -> bool:
        """Stream the data of these reads from now on; False: those of another file are streamed."""
        if self._answers.reading is not None:
            return False
        self._answers.reading = reading
        return True

    def stream_no_more(self) -> None:
        """Have the data of reads wait for who asked, as other answers do."""
        self._answers.reading = None

    def answer(self, number: int, more_patience: float = 0.0) -> Answer | Streamed:
        """The answer to a request that is wanted; it may take so many seconds more than others."""
        if number not in self._answers:
            self.wait_for(number, more_patience)
        return self._answers.pop(number)

    def have_answered(self, number: int, more_patience: float = 0.0) -> None:
        """Wait for the answer to a request, which is left for who asked."""
        self._wait(lambda: number in self._answers, more_patience)

    def drop(self, number: int) -> None:
        """Want the answer to a request no more."""
        self._answers.drop(number)

    @property
    def identification(self) -> str:
        """What the server calls itself (RFC 4253 §4.2)."""
        return self._carrier.remote_version

    @property
    def silent_for(self) -> float:
        """Seconds since anything came from the server."""
        return self._wire.silent_for

    def peek(self) -> None:
        """Take in what has come, without waiting."""
        self._looks_left = _LOOKS
        try:
            self._wait(_never)
        finally:
            self._looks_left = 0

    def rest(self, fd: int, seconds: float) -> bool:
        """Serve the connection until `fd` has something to read; False when that took `seconds`."""
        deadline = monotonic() + seconds
        poll = select.poll()
        for each in (fd, self._carrier.fileno()):
            poll.register(each, select.POLLIN)
        while True:
            self.peek()
            came = poll.poll(max(deadline - monotonic(), 0.0) * 1000)
            if not came or any(source == fd for source, _ in came):
                return bool(came)

    def data(self, data: memoryview) -> None:
        """As Receiver says. Raises SSHException for more than the window allows."""
        self._spend(len(data))
        self._answers.take(data)
        self._grant()

    def aside(self, count: int) -> None:
        """As Receiver says: what a server tells people, who are not here."""
        self._spend(count)
        self._grant()

    def adjust(self, count: int) -> None:
        """As Receiver says."""
        self._window += count
        self._widest = max(self._widest, self._window)

    def end_of_data(self) -> None:
        """As Receiver says."""
        self._over = True

    def closed(self) -> None:
        """As Receiver says."""
        self._over = True

    def go_on(self) -> None:
        """As Receiver says: end the wait for what is there. Raises EOFError when it cannot come any more."""
        if self._ready():
            raise _Ready
        if self._over:
            raise EOFError("the server has closed the channel")

    def due(self) -> float | None:
        """As Receiver says."""
        return monotonic() if self._looks_left else None

    def _look(self) -> None:
        """Watch over a wait; called when nothing comes, and else about each second."""
        if self._looks_left:
            self._looks_left -= 1
            if not self._looks_left:
                raise _Ready
            return
        if min(monotonic() - self._since, self._wire.silent_for) >= self._patience:
            raise TimeoutError

    def _wait(self, ready: Callable[[], bool], more_patience: float = 0.0) -> None:
        if ready():
            return
        self._ready, self._since = ready, monotonic()
        self._patience = self._usual_patience + more_patience
        self._wire.wait(self)
        try:
            self._carrier.attend()
        except _Ready:
            pass
        finally:
            self._wire.rest(self)

    def _expect(self, *, wanted: bool = True) -> int:
        self._number = self._number % 0xFFFF_FFFF + 1
        self._answers.expect(self._number, wanted=wanted)
        return self._number

    def _sendable(self, size: int) -> bool:
        return self._window >= size and not self._wire.exchanging and not self._wire.congested()

    def _send(self, packet: bytes) -> None:
        """Send a packet, in as many pieces as the server's window makes of it."""
        rest = memoryview(packet)
        while rest:
            self._wait(lambda: self._sendable(1))
            count = min(len(rest), self._max_data, self._window)
            plain, at = self._wire.plain, ROOM + HEAD.size
            HEAD.pack_into(plain, ROOM, MSG_CHANNEL_DATA, self._recipient, count)
            plain[at : at + count] = rest[:count]
            self._window -= count
            self._wire.seal(0, HEAD.size + count)
            rest = rest[count:]

    def _spend(self, count: int) -> None:
        self._in_window -= count
        self._consumed += count
        if self._in_window < 0:
            raise paramiko.SSHException("server sends more than its window allows")

    def _grant(self) -> None:
        """Let the server send as much again as was consumed, once that is worth a message."""
        if self._consumed < _GRANTED_AT or self._wire.exchanging:
            return
        HEAD.pack_into(self._wire.plain, ROOM, MSG_CHANNEL_WINDOW_ADJUST, self._recipient, self._consumed)
        self._wire.seal(0, HEAD.size)
        self._in_window += self._consumed
        self._consumed = 0

    def _layout(self, head: int, length: int) -> Layout:
        layout = self._layouts.get((head, length))
        if layout is None:
            self._layouts.clear()
            most = max(self._max_data, _SMALLEST_PACKET)
            layout = self._layouts[head, length] = Layout(self._wire.plain, head, length, most)
        return layout


def _never() -> bool:
    return False
