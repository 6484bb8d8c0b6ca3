"""How far the times of change that a file system keeps tell for how long a file has lain there unchanged."""

from math import inf

from sftpd.clock import Clock, Steps

_COARSE = 0.02
"""Seconds by which the kernel's stamps on files may lag behind its clock."""


class Stamps:
    """What stamps are worth: nothing of those from before civil time was set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steps = Steps(clock)
        self._steady_since = -inf

    def attend(self) -> float | None:
        """Notice when civil time was set; returns by how many seconds, None when it was not."""
        if not (step := self._steps.look()):
            return None
        self._steady_since = self._clock.monotonic()
        return step.total_seconds()

    def quiet(self, changed: float, now: float) -> float:
        """For how many seconds what has the stamp `changed` did not change, for certain."""
        since = self._clock.now().timestamp() - changed - _COARSE
        return max(0.0, min(since, now - self._steady_since))
