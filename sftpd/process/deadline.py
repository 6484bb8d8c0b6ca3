"""Waiting with an end."""

from sftpd.clock import Clock, SystemClock

_CLOCK = SystemClock()


class Deadline:
    """An instant on the monotonic scale by which a wait must end, or none."""

    def __init__(self, seconds: float | None, clock: Clock = _CLOCK) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock.monotonic() + seconds

    def remaining(self) -> float | None:
        """Seconds left, never below 0; None for no end."""
        return None if self._end is None else max(0.0, self._end - self._clock.monotonic())

    def passed(self) -> bool:
        """Whether no time is left."""
        return self.remaining() == 0.0
