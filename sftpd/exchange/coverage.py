"""Which stretches of files partners have read: a fetch that broke off is resumed by another session."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence

_FILES = 1024
"""Files of which some was read; the one longest without a read is forgotten for another."""
STRETCHES = 64
"""Stretches of one file; where there are more the last of them are forgotten."""

Stretch = tuple[int, int]
"""The first byte of what was read without a gap, and the one after the last."""


class Coverage:
    """What of files was read and not yet all. For all threads; after a restart it begins anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: OrderedDict[Hashable, list[Stretch]] = OrderedDict()

    def add(self, file: Hashable, size: int, read: Sequence[Stretch]) -> bool:
        """Take note of what was read; returns whether with it all `size` bytes of the file were."""
        if not read:
            return False
        with self._lock:
            stretches = joined([*self._read.pop(file, ()), *read])
            if stretches[0][0] == 0 and stretches[0][1] >= size:
                return True
            self._read[file] = stretches
            if len(self._read) > _FILES:
                self._read.popitem(last=False)
            return False


def joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The same bytes in as few stretches as may be, in order; at most STRETCHES."""
    found: list[Stretch] = []
    for begin, end in sorted(stretches):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found[:STRETCHES]
