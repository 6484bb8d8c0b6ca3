"""The primitives of SFTP packets: integers, strings and frames."""

import struct
from typing import ClassVar

from sftpd.errors import SftpdError

MAX_PACKET = 256 * 1024
"""The longest packet, in bytes after the length field, that is read; OpenSSH's limit too."""

MAX_DATA = MAX_PACKET - 1024
"""The most bytes of a file that one READ or WRITE carries; leaves room for the packet's other fields."""

UINT32_MAX = 0xFFFF_FFFF

_UINT8 = struct.Struct(">B")
_UINT32 = struct.Struct(">I")
_UINT64 = struct.Struct(">Q")
_HEAD = struct.Struct(">IB")


class ProtocolError(SftpdError):
    """The peer's bytes are not SFTP version 3."""

    code: ClassVar[str] = "PROTOCOL"


class Reader:
    """Takes the fields of one packet in order; raises ProtocolError where the packet ends too soon.

    Bytes behind the last field that is asked for are ignored, as OpenSSH does; rclone sends some.
    """

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)

    @property
    def at_end(self) -> bool:
        """Whether every byte has been taken."""
        return self._at == self._end

    def uint8(self) -> int:
        """Take one byte."""
        return self.numbers(_UINT8)[0]

    def uint32(self) -> int:
        """Take an unsigned integer of 4 bytes, big-endian."""
        return self.numbers(_UINT32)[0]

    def uint64(self) -> int:
        """Take an unsigned integer of 8 bytes, big-endian."""
        return self.numbers(_UINT64)[0]

    def numbers(self, form: struct.Struct) -> tuple[int, ...]:
        """Take several integers, as `form` has them."""
        try:
            values = form.unpack_from(self._data, self._at)
        except struct.error:
            raise _cut_short(form.size) from None
        self._at += form.size
        return values

    def string(self) -> bytes:
        """Take a string: its length in 4 bytes, then a copy of its bytes."""
        return bytes(self.view())

    def view(self) -> memoryview:
        """Take a string without a copy: a window on the packet, good for as long as the packet is."""
        start = self._at + 4
        if start > self._end:
            raise _cut_short(4)
        end = start + _UINT32.unpack_from(self._data, self._at)[0]
        if end > self._end:
            raise _cut_short(end - start)
        self._at = end
        return self._data[start:end]

    def rest(self) -> memoryview:
        """Take all that is left: a window, as `view` has it."""
        start, self._at = self._at, self._end
        return self._data[start:]


def _cut_short(missing: int) -> ProtocolError:
    return ProtocolError("packet ends inside a field", expected=f"{missing} more bytes")


def uint32(value: int) -> bytes:
    """`value` as 4 bytes, big-endian."""
    return _UINT32.pack(value)


def uint64(value: int) -> bytes:
    """`value` as 8 bytes, big-endian."""
    return _UINT64.pack(value)


def string(value: bytes) -> bytes:
    """`value` behind its length."""
    return _UINT32.pack(len(value)) + value


def frame(kind: int, *fields: bytes | memoryview) -> bytes:
    """One packet: length, type `kind`, and the fields, which are encoded already."""
    body = b"".join(fields)
    return _HEAD.pack(1 + len(body), kind) + body
