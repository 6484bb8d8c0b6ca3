"""What an SFTP server sends a courier, taken apart as it comes: pure, told of requests and given bytes.

Answers wait here for who asked. The data of a file that is read goes to its sink at once, out of the buffer
in which it was decrypted.
"""

import struct
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from sftpd.sftp.replies import DATA
from sftpd.sftp.wire import MAX_PACKET, ProtocolError, Reader

GREETING = 0
"""The number under which the server's first packet, which has none, is an answer."""

_SIZE = struct.Struct(">I")
_HEAD = struct.Struct(">BI")
_DATA_HEAD = struct.Struct(">IBII")

Sink = Callable[[memoryview], object]
"""Takes the next bytes of a file, which are good until it returns."""


class Answer(NamedTuple):
    """What the server answered; the body begins behind the request's number."""

    kind: int
    body: Reader


class Streamed(NamedTuple):
    """Data that has gone to the sink."""

    size: int


class Reading:
    """The reads of one file that are under way, and where their bytes go."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.expected: deque[tuple[int, int]] = deque()
        """Number and length of each read, in the order of the file; only the first one's data is streamed."""


class Answers:
    """The requests under way and the answers that have come."""

    def __init__(self) -> None:
        self.reading: Reading | None = None
        """The file whose data is streamed."""
        self._wanted: dict[int, bool] = {}
        """The requests under way, and whether somebody wants the answer."""
        self._come: dict[int, Answer | Streamed] = {}
        self._partial = bytearray()
        self._stream: tuple[int, int, Sink] | None = None
        """Number, length and sink of the data that is coming."""
        self._left = 0

    def expect(self, number: int, *, wanted: bool = True) -> None:
        """A request is sent; its answer is dropped if it is not `wanted`."""
        self._wanted[number] = wanted

    def drop(self, number: int) -> None:
        """Want an answer no more, whether it has come or not."""
        if self._come.pop(number, None) is None:
            self._wanted[number] = False

    def __contains__(self, number: int) -> bool:
        return number in self._come

    def pop(self, number: int) -> Answer | Streamed:
        """Take an answer that has come."""
        return self._come.pop(number)

    def take(self, data: memoryview) -> None:
        """See the bytes that come next. Raises ProtocolError for nonsense, and what a sink raises."""
        while data:
            if self._stream is not None:
                data = self._pass_on(*self._stream, data)
            elif self._partial or len(data) < _DATA_HEAD.size:
                data = self._gather(data)
            else:
                data = self._packet(data)

    def _pass_on(self, number: int, count: int, sink: Sink, data: memoryview) -> memoryview:
        piece, rest = data[: self._left], data[self._left :]
        self._left -= len(piece)
        sink(piece)
        if not self._left:
            self._stream = None
            self._note(number, Streamed(count))
        return rest

    def _packet(self, data: memoryview) -> memoryview:
        """Take a packet from the front, or its head; returns what is left. There is room for a head."""
        end = 4 + _length(data)
        if self._begins_stream(data, end):
            return data[_DATA_HEAD.size :]
        if end > len(data):
            return self._gather(data)
        self._answered(data[:end])
        return data[end:]

    def _gather(self, data: memoryview) -> memoryview:
        """Keep what is no whole packet yet: up to the head, which says where the rest goes, or to the end."""
        partial = self._partial
        wanted = 4 if len(partial) < 4 else 4 + _length(partial)
        if len(partial) < _DATA_HEAD.size < wanted:
            wanted = _DATA_HEAD.size
        missing = wanted - len(partial)
        partial += data[:missing]
        if len(partial) >= 4:
            end = 4 + _length(partial)
            if len(partial) == _DATA_HEAD.size and self._begins_stream(partial, end):
                partial.clear()
            elif len(partial) == end:
                self._partial = bytearray()
                self._answered(memoryview(partial))
        return data[missing:]

    def _begins_stream(self, head: memoryview | bytearray, end: int) -> bool:
        """Whether a packet is the data that the sink takes next; if so that begins."""
        if self.reading is None or not self.reading.expected:
            return False
        _, kind, number, count = _DATA_HEAD.unpack_from(head)
        expected, most = self.reading.expected[0]
        if kind != DATA or number != expected or not 0 < count <= most or end != _DATA_HEAD.size + count:
            return False
        self.reading.expected.popleft()
        if count < most:
            self.reading.expected.clear()  # what was asked for behind it does not join on
        self._stream, self._left = (number, count, self.reading.sink), count
        return True

    def _answered(self, packet: memoryview) -> None:
        body = memoryview(bytes(packet))
        if GREETING in self._wanted:
            self._note(GREETING, Answer(body[4], Reader(body[5:])))
            return
        if len(body) < 4 + _HEAD.size:
            raise ProtocolError(f"answer of {len(body) - 4} bytes", expected="a type and a number")
        kind, number = _HEAD.unpack_from(body, 4)
        self._note(number, Answer(kind, Reader(body[4 + _HEAD.size :])))

    def _note(self, number: int, answer: Answer | Streamed) -> None:
        wanted = self._wanted.pop(number, None)
        if wanted is None:
            raise ProtocolError("server answers what was not asked")
        if wanted:
            self._come[number] = answer


def _length(packet: memoryview | bytearray) -> int:
    length: int = _SIZE.unpack_from(packet)[0]
    if not 1 <= length <= MAX_PACKET:
        raise ProtocolError(f"packet of {length} bytes", expected=f"1 to {MAX_PACKET}")
    return length
