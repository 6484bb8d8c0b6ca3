"""When a watched folder is next scanned in full: pure, told what happens at what time."""

from math import inf

_SHARE = 10
"""Of how much time at most one part is spent with scans that nothing in particular calls for."""
_CROWDED = 1.0
"""Seconds between scans for files that there was no room for."""


class Rounds:
    """Decides from how long the last scan took, and from what has come up since it began."""

    def __init__(self) -> None:
        self._ended = -inf
        self._spent = 0.0
        self._is_wanted = False
        self._has_left_out = False

    def want(self) -> None:
        """Have a scan as soon as the last one allows: reports may have been lost."""
        self._is_wanted = True

    def leave_out(self) -> None:
        """Have one soon: a file was passed over."""
        self._has_left_out = True

    def begin(self) -> None:
        """A scan begins."""
        self._is_wanted = self._has_left_out = False
        self._spent = 0.0

    def spend(self, seconds: float) -> None:
        """It took so much time."""
        self._spent += seconds

    def end(self, now: float) -> None:
        """It is over."""
        self._ended = now

    def next(self, pace: float) -> float:
        """The monotonic time of the next scan: `pace` seconds after the last, or as something calls for."""
        if self._is_wanted:
            return self._ended + self._spent
        wait = min(pace, _CROWDED) if self._has_left_out else pace
        return self._ended + max(wait, (_SHARE - 1) * self._spent)
