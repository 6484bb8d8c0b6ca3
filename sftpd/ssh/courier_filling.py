"""Where the bytes come from that a courier writes at its remote."""

import io
import os
from collections.abc import Callable, Sequence

from sftpd.errors import OwnFaultError
from sftpd.ssh.courier_channel import Fill


def filling(fd: int, size: int, see: Callable[[memoryview], object]) -> Fill:
    """Fills buffers with the first `size` bytes of an open file, whose offset does not move; `see` sees them.

    It raises OwnFaultError when the file cannot be read.
    """

    def fill(buffers: Sequence[memoryview], position: int) -> int:
        try:
            left = count = min(os.preadv(fd, buffers, position), size - position)
        except OSError as fault:
            raise OwnFaultError(f"the local file cannot be read: {fault.strerror}") from fault
        for buffer in buffers:
            if left <= 0:
                break
            see(buffer[:left])
            left -= len(buffer)
        return count

    return fill


def filling_with(content: bytes) -> Fill:
    """Fills buffers with these bytes."""
    source = io.BytesIO(content)

    def fill(buffers: Sequence[memoryview], position: int) -> int:
        source.seek(position)
        return sum(source.readinto(buffer) for buffer in buffers)

    return fill
