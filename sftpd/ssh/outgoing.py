"""Packets on their way out: sealed one behind the other into one buffer, which leaves in few writes."""

import mmap
import select
import socket
import struct
from typing import Protocol

import paramiko

from sftpd.ssh.sealing import LARGEST, Clear, Sealing

ROOM = 5
"""Bytes that the caller leaves free in `plain` before a payload: the packet's length and its padding's."""

FULL = 256 * 1024
"""Bytes that may wait for the socket before whoever makes more should wait."""

_CAPACITY = 1024 * 1024
_PLAIN = 2 * LARGEST
_LEAST_PADDING = 4
_ZEROS = bytes(64)
_PATIENCE = 60.0
"""Seconds that a peer may take nothing at all while there is no more room."""

_HEAD = struct.Struct(">IB")


class Buffer(mmap.mmap):
    """Anonymous memory, of which pages count only while they are used."""

    def __new__(cls, size: int) -> "Buffer":
        """Map `size` bytes."""
        return super().__new__(cls, -1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def give_back(self) -> None:
        """Let the kernel have the pages again; the content is lost."""
        self.madvise(mmap.MADV_DONTNEED)


class Sink(Protocol):
    """A connected socket."""

    def fileno(self) -> int:
        """Its descriptor."""
        ...

    def send(self, data: memoryview, flags: int, /) -> int:
        """As socket.send."""
        ...


class Outgoing:
    """One connection's outward half. Not for several threads at once."""

    def __init__(self, connection: Sink) -> None:
        self._socket = connection
        self._plain = Buffer(_PLAIN)
        self._sealed = Buffer(_CAPACITY)
        self._view = memoryview(self._sealed)
        self._start = self._end = 0
        self.plain = memoryview(self._plain)
        """Where payloads are written to be sealed from; each needs ROOM before it and 64 bytes behind."""
        self.sealing: Sealing = Clear()
        self.sequence = 0
        self.may_wrap = False
        """Whether the sequence number may begin again at 0: not during the first key exchange."""
        self.bytes = 0
        """Bytes sealed with the present keys."""

    @property
    def pending(self) -> int:
        """Bytes that wait for the socket."""
        return self._end - self._start

    def congested(self) -> bool:
        """Whether so much waits for the socket, after what it takes now, that no more should be made."""
        return self._end - self._start >= FULL and not self.flush() and self.pending >= FULL

    def seal(self, at: int, length: int) -> None:
        """Seal the payload of `length` bytes in `plain` that stands ROOM bytes behind `at`."""
        sealing = self.sealing
        end = at + ROOM + length
        padding = sealing.block - (end - at - sealing.uncounted) % sealing.block
        if padding < _LEAST_PADDING:
            padding += sealing.block
        self.plain[end : end + padding] = _ZEROS[:padding]
        _HEAD.pack_into(self.plain, at, 1 + length + padding, padding)
        size = end + padding - at
        total = size + sealing.tail
        if self._end + total + sealing.block > _CAPACITY:
            self._make_room(total + sealing.block)
        sealing.seal(self.sequence, self.plain[at : at + size], self._view[self._end :])
        self._end += total
        self.bytes += total
        self.sequence = (self.sequence + 1) & 0xFFFF_FFFF
        if not self.sequence and not self.may_wrap:
            raise paramiko.SSHException("sequence numbers ran out before the first key exchange was done")

    def seal_bytes(self, payload: bytes) -> None:
        """Seal a payload that lies elsewhere."""
        self.plain[ROOM : ROOM + len(payload)] = payload
        self.seal(0, len(payload))

    def put(self, data: bytes) -> None:
        """Add what is no packet: the identification string."""
        self._make_room(len(data))
        self._view[self._end : self._end + len(data)] = data
        self._end += len(data)

    def flush(self) -> bool:
        """Send what the socket takes now; returns whether that was all. Raises EOFError when it is gone."""
        try:
            while self._start < self._end:
                self._start += self._socket.send(self._view[self._start : self._end], socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as fault:
            raise EOFError(f"connection is lost: {fault.strerror}") from fault
        self._start = self._end = 0
        return True

    def flush_all(self, patience: float = _PATIENCE) -> None:
        """Send everything. Raises EOFError when the peer takes nothing for `patience` seconds."""
        while not self.flush():
            self._await_peer(patience)

    def give_back(self) -> None:
        """Let the memory go that an idle connection does not need."""
        if not self.pending:
            self._plain.give_back()
            self._sealed.give_back()

    def _make_room(self, size: int) -> None:
        while self._end + size > _CAPACITY:
            if self._start:
                pending = self._end - self._start
                self._view[:pending] = bytes(self._view[self._start : self._end])
                self._start, self._end = 0, pending
            elif not self.flush() and not self._start:
                self._await_peer(_PATIENCE)

    def _await_peer(self, patience: float) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        if not poll.poll(patience * 1000):
            raise EOFError("the other side takes nothing")
