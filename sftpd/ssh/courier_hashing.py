"""Seeing what is sent in a thread of its own: a hash takes as long as sealing and sending together."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

See = Callable[[memoryview], object]

FROM = 8 << 20
"""Bytes from which the thread is worth its while."""

_BLOCK = 1 << 20
_BLOCKS = 3
"""Blocks that are filled or seen at the same time; they bound the memory."""


@contextmanager
def beside(see: See, size: int) -> Iterator[See]:
    """What sees `size` bytes in the caller's stead: all of them, in order, before the context is left.

    What it is given may be changed as soon as it returns.
    """
    if size < FROM:
        yield see
        return
    free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
    full: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
    for _ in range(_BLOCKS):
        free.put(bytearray(_BLOCK))
    thread = threading.Thread(target=_see_all, args=(see, full, free), name="sftpd-hash")
    thread.start()
    blocks = _Blocks(free, full)
    try:
        yield blocks.take
    finally:
        blocks.hand_over()
        full.put(None)
        thread.join()


class _Blocks:
    """Copies what it takes into blocks, and hands over those that are full."""

    def __init__(
        self, free: "queue.SimpleQueue[bytearray]", full: "queue.SimpleQueue[memoryview | None]"
    ) -> None:
        self._free = free
        self._full = full
        self._block = memoryview(free.get())
        self._filled = 0

    def take(self, chunk: memoryview) -> None:
        while chunk:
            part, chunk = chunk[: _BLOCK - self._filled], chunk[_BLOCK - self._filled :]
            self._block[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            if self._filled == _BLOCK:
                self.hand_over()
                self._block = memoryview(self._free.get())

    def hand_over(self) -> None:
        """Have what was taken seen."""
        self._full.put(self._block[: self._filled])
        self._filled = 0


def _see_all(
    see: See, full: "queue.SimpleQueue[memoryview | None]", free: "queue.SimpleQueue[bytearray]"
) -> None:
    while (part := full.get()) is not None:
        see(part)
        block = part.obj
        assert isinstance(block, bytearray)
        free.put(block)
