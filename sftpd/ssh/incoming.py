"""Packets on their way in: read in large pieces, opened one by one into a buffer that the next one reuses."""

from typing import Protocol

import paramiko

from sftpd.ssh.outgoing import Buffer
from sftpd.ssh.sealing import LARGEST, LENGTH_SIZE, Clear, Opening

_CAPACITY = 1024 * 1024
_LEAST_READ = 64 * 1024
_IDENTIFICATION_LIMIT = 1024
"""Bytes within which a peer must have named itself; RFC 4253 §4.2 gives it one line of 255."""

_LEAST_PADDING = 4


class Source(Protocol):
    """A connected socket."""

    def recv_into(self, buffer: memoryview, nbytes: int, flags: int, /) -> int:
        """As socket.recv_into."""
        ...


class Incoming:
    """One connection's inward half. For one thread."""

    def __init__(self, connection: Source) -> None:
        self._socket = connection
        self._received = Buffer(_CAPACITY)
        self._view = memoryview(self._received)
        self._start = self._end = 0
        self._wanted = LENGTH_SIZE
        self._plain = Buffer(LARGEST + 64)
        self._plain_view = memoryview(self._plain)
        self._identification = 0
        self.opening: Opening = Clear()
        self.sequence = 0
        self.may_wrap = False
        """Whether the sequence number may begin again at 0: not during the first key exchange."""
        self.bytes = 0
        """Bytes opened with the present keys."""

    def next_payload(self) -> memoryview | None:
        """The next packet's payload, good until the next call; None when more must be received first.

        Raises SSHException for what is no packet of the other side.
        """
        opening, start = self.opening, self._start
        available = self._end - start
        if available < opening.head:
            self._wanted = opening.head
            return None
        length = opening.length(self._view[start : start + opening.head])
        total = LENGTH_SIZE + length + opening.tail
        if available < total:
            self._wanted = total
            return None
        packet = opening.open(self.sequence, self._view[start : start + total], self._plain_view)
        self._start = start + total
        self.bytes += total
        self.sequence = (self.sequence + 1) & 0xFFFF_FFFF
        if not self.sequence and not self.may_wrap:
            raise paramiko.SSHException("sequence numbers ran out before the first key exchange was done")
        padding = packet[0]
        if not _LEAST_PADDING <= padding <= length - 2:
            raise paramiko.SSHException(f"packet of {length} bytes with {padding} bytes of padding")
        return packet[1 : length - padding]

    def line(self) -> bytes | None:
        """The next line before the packets, without its end; None when it has not come whole.

        Raises SSHException when the other side goes on and on before its first packet.
        """
        lying = bytes(self._view[self._start : min(self._end, self._start + _IDENTIFICATION_LIMIT)])
        end = lying.find(b"\n") + 1
        if self._identification + (end or len(lying)) >= _IDENTIFICATION_LIMIT:
            raise paramiko.SSHException(": it is over-long")
        if not end:
            return None
        self._identification += end
        self._start += end
        return lying[:end].rstrip(b"\r\n")

    def fill(self, flags: int) -> bool:
        """Read once; returns False when nothing came. Raises EOFError at the end of the connection."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start + self._wanted > _CAPACITY or _CAPACITY - self._end < _LEAST_READ:
            lying = self._end - self._start
            self._view[:lying] = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, lying
        try:
            count = self._socket.recv_into(self._view[self._end :], 0, flags)
        except BlockingIOError:
            return False
        except OSError as fault:
            raise EOFError(f"connection is lost: {fault.strerror}") from fault
        if not count:
            raise EOFError("the other side has closed the connection")
        self._end += count
        return True

    def give_back(self) -> None:
        """Let the memory go that an idle connection does not need."""
        if self._start == self._end:
            self._received.give_back()
        self._plain.give_back()
