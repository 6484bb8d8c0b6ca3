"""The receiving side of the protocol: bytes in, events out."""

import struct
from collections.abc import Iterator

import msgspec

from sftpd.sftp.requests import EXTENDED, EXTENSIONS, INIT, REQUESTS, Request, Write
from sftpd.sftp.wire import MAX_PACKET, ProtocolError, Reader

_LENGTH = 4
_UINT32 = struct.Struct(">I")
_HEAD = struct.Struct(">BI")
"""A packet's type and the request's id, or INIT and the version."""

_WRITE = b"\x06"


class Init(msgspec.Struct, frozen=True):
    """The client opens the protocol; it is answered with VERSION, whatever `version` it named."""

    version: int
    extensions: tuple[tuple[bytes, bytes], ...] = ()


class Requested(msgspec.Struct, frozen=True):
    """A request that waits for a reply with the same id."""

    id: int
    request: Request


class Continued(msgspec.Struct, frozen=True):
    """More data of the last Write, which said that it goes on; so does this one while there is `more`."""

    data: memoryview
    more: bool


class Malformed(msgspec.Struct, frozen=True):
    """A request whose fields do not fit; to be answered with BAD_MESSAGE."""

    id: int


class Unsupported(msgspec.Struct, frozen=True):
    """A request of an unknown type or extension; to be answered with OP_UNSUPPORTED."""

    id: int


Event = Init | Requested | Continued | Malformed | Unsupported


class Engine:
    """Cuts one client's bytes into packets and packets into events.

    It holds at most one packet that has not arrived whole, and of a WRITE nothing but its beginning: the data
    of one comes as it arrives. INIT must come first, and once.
    """

    def __init__(self, *, max_packet: int = MAX_PACKET) -> None:
        self._max_packet = max_packet
        self._partial = bytearray()
        self._initialised = False
        self._data_left = 0
        self._ignored = 0

    def receive(self, data: bytes | memoryview) -> Iterator[Event]:
        """Yield the events that `data` completes, each when it is asked for; as `next_event` has them."""
        rest = memoryview(data)
        while rest:
            event, rest = self.next_event(rest)
            if event is not None:
                yield event

    def next_event(self, data: memoryview) -> tuple[Event | None, memoryview]:
        """The first event that `data` completes, if it does one, and what is left of `data`.

        The data of a Write is a window on `data` or on the engine's own copy: it is good until the next call.
        Raises ProtocolError where the bytes cannot be cut into packets or INIT is missing or comes again; the
        connection must then end.
        """
        if self._data_left:
            part, rest = data[: self._data_left], data[self._data_left :]
            self._data_left -= len(part)
            return Continued(part, bool(self._data_left)), rest
        if self._ignored:
            ignored = min(self._ignored, len(data))
            self._ignored -= ignored
            data = data[ignored:]
        packet, rest = self._next_packet(data)
        if packet is not None:
            return self._event(packet), rest
        return (self._begun_write() if self._partial[_LENGTH : _LENGTH + 1] == _WRITE else None), rest

    def _begun_write(self) -> Event | None:
        """The first part of a WRITE whose data has begun to arrive; the rest of it is never held."""
        if not self._initialised:
            raise _init_missing()
        reader = Reader(memoryview(self._partial))
        try:
            length = reader.uint32()
            _, request_id = reader.numbers(_HEAD)
            handle, offset, size = reader.string(), reader.uint64(), reader.uint32()
        except ProtocolError:
            return None
        data = reader.rest()
        behind = _LENGTH + length - len(self._partial) + len(data) - size
        if behind < 0 or not 0 < len(data) < size:
            return None
        self._partial = bytearray()
        self._data_left, self._ignored = size - len(data), behind
        return Requested(request_id, Write(handle, offset, data, more=True))

    def _next_packet(self, rest: memoryview) -> tuple[memoryview | None, memoryview]:
        behind = len(rest) - _LENGTH
        if behind > 0 and not self._partial:
            length = _UINT32.unpack_from(rest)[0]
            if 0 < length <= behind and length <= self._max_packet:
                end = _LENGTH + length
                return rest[_LENGTH:end], rest[end:]
        return self._collect(rest)

    def _collect(self, rest: memoryview) -> tuple[memoryview | None, memoryview]:
        rest = self._fill(_LENGTH, rest)
        if len(self._partial) < _LENGTH:
            return None, rest
        end = _LENGTH + self._length()
        rest = self._fill(end, rest)
        if len(self._partial) < end:
            return None, rest
        whole, self._partial = self._partial, bytearray()
        return memoryview(whole)[_LENGTH:], rest

    def _fill(self, size: int, rest: memoryview) -> memoryview:
        missing = max(size - len(self._partial), 0)
        self._partial += rest[:missing]
        return rest[missing:]

    def _length(self) -> int:
        length: int = _UINT32.unpack_from(self._partial)[0]
        if not 1 <= length <= self._max_packet:
            raise ProtocolError(f"packet of {length} bytes", expected=f"1 to {self._max_packet} bytes")
        return length

    def _event(self, packet: memoryview) -> Event:
        reader = Reader(packet)
        kind, number = reader.numbers(_HEAD)
        if kind == INIT:
            return self._init(number, reader)
        if not self._initialised:
            raise _init_missing()
        try:
            spec = EXTENSIONS.get(reader.string()) if kind == EXTENDED else REQUESTS.get(kind)
            if spec is None:
                return Unsupported(number)
            return Requested(number, spec.kind(*[take(reader) for take in spec.fields]))
        except ProtocolError:
            return Malformed(number)

    def _init(self, version: int, extensions: Reader) -> Init:
        if self._initialised:
            raise ProtocolError("INIT comes again", expected="INIT once")
        self._initialised = True
        return Init(version, tuple(_pairs(extensions)))


def _init_missing() -> ProtocolError:
    return ProtocolError("INIT is missing", expected="INIT first")


def _pairs(reader: Reader) -> Iterator[tuple[bytes, bytes]]:
    while not reader.at_end:
        yield reader.string(), reader.string()
