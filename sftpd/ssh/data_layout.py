"""Where the packets of one message that carries a file's bytes lie, so that it is read straight into them."""

import struct
from collections.abc import Callable

from paramiko.common import MSG_CHANNEL_DATA

from sftpd.ssh.outgoing import ROOM

HEAD = struct.Struct(">BII")
"""What stands before channel data: the message, the channel, and how many bytes follow."""

_GAP = 64
"""Bytes between payloads that are laid out together: room for padding and tail."""

Seal = Callable[[int, int], None]
"""As Wire has it."""


class Layout:
    """Where in `plain` the packets of one DATA reply or WRITE lie: a file is read into all at once."""

    def __init__(self, plain: memoryview, head: int, length: int, max_data: int) -> None:
        """`head` is the size of what precedes the file's `length` bytes."""
        self.buffers: list[memoryview] = []
        self._plain = plain
        self._packets: list[tuple[int, int]] = []
        """Of each packet, where it begins and how many bytes of channel data it takes."""
        at, left = 0, length
        while left:
            count = min(left, max_data - head)
            start = at + ROOM + HEAD.size + head
            self.buffers.append(plain[start : start + count])
            self._packets.append((at, head + count))
            at, left, head = start + count + _GAP, left - count, 0

    def seal(self, seal: Seal, recipient: int, head: bytes, count: int) -> None:
        """Send the message, of which `count` bytes have been read behind its head."""
        plain, left = self._plain, len(head) + count
        start = ROOM + HEAD.size
        plain[start : start + len(head)] = head
        for at, most in self._packets:
            size = min(most, left)
            HEAD.pack_into(plain, at + ROOM, MSG_CHANNEL_DATA, recipient, size)
            seal(at, HEAD.size + size)
            left -= size
            if not left:
                break
