"""How often the log says the same of one source: pure, told what happened at what time."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

_PERIOD = 10.0
"""Seconds between two lines of one source."""

_SOURCES = 1024
"""Sources that are counted; the one longest without a line is forgotten for another."""


@dataclass(slots=True)
class _Count:
    said: float
    unsaid: int = 0


class Tally:
    """Counts what happens until the log says it; times are monotonic seconds."""

    def __init__(self) -> None:
        self._counts: OrderedDict[Hashable, _Count] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, source: Hashable, now: float) -> int:
        """Count once more; returns how many times a line must tell of now, 0 when none is due."""
        count = self._counts.get(source)
        if count is not None and now - count.said < _PERIOD:
            count.unsaid += 1
            return 0
        self._counts[source] = _Count(now)
        self._counts.move_to_end(source)
        if len(self._counts) > _SOURCES:
            self._counts.popitem(last=False)
        return 1 if count is None else count.unsaid + 1
