"""Seeing what is sent in a thread of its own: a hash takes as long as sealing and sending together."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
    with ThreadPoolExecutor(1, thread_name_prefix="sftpd-hash") as thread:
        blocks = _Blocks(lambda block: thread.submit(see, block))
        yield blocks.take
        blocks.finish()


class _Blocks:
    """Copies what it takes into blocks, and hands over those that are full."""

    def __init__(self, hand_over: Callable[[memoryview], Future[object]]) -> None:
        self._hand_over = hand_over
        self._block = memoryview(bytearray(_BLOCK))
        self._filled = 0
        self._handed: deque[tuple[Future[object], memoryview]] = deque()

    def take(self, chunk: memoryview) -> None:
        while chunk:
            part, chunk = chunk[: _BLOCK - self._filled], chunk[_BLOCK - self._filled :]
            self._block[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            if self._filled == _BLOCK:
                self._handed.append((self._hand_over(self._block), self._block))
                self._block, self._filled = self._free(), 0

    def finish(self) -> None:
        """Return once all that was taken was seen. Raises what that raised."""
        last = self._hand_over(self._block[: self._filled])
        for seen in (*(seen for seen, _ in self._handed), last):
            seen.result()

    def _free(self) -> memoryview:
        if len(self._handed) < _BLOCKS - 1:
            return memoryview(bytearray(_BLOCK))
        seen, block = self._handed.popleft()
        seen.result()
        return block
