"""Time as a dependency: everything that needs the time is given a Clock."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

_STEP = 0.25
"""Seconds by which civil time has to leave monotonic time to count as set anew."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Uptime(NamedTuple):
    """For how long the machine has been up; only those of the same `boot` can be compared."""

    boot: str
    lasted: timedelta


class Clock(Protocol):
    """A source of civil and of monotonic time."""

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a scale that never goes back."""
        ...

    def uptime(self) -> Uptime:
        """For how long the machine has been up, the time it slept included."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a scale that never goes back."""
        return time.monotonic()

    def uptime(self) -> Uptime:
        """For how long the machine has been up, the time it slept included.

        CLOCK_BOOTTIME, not CLOCK_MONOTONIC: the wall clock goes on while a machine is suspended, and so does
        this one (clock_gettime(2)). Both are slewed alike, so that they part by steps alone.
        """
        return Uptime(
            _BOOT_ID.read_text().strip(), timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
        )


class Steps:
    """Notices when civil time was set, or went on while the machine slept; monotonic time does neither."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead: float | None = None

    def look(self) -> timedelta:
        """By how much civil time was set since the last look; nothing at the first one."""
        ahead, before = self._clock.now().timestamp() - self._clock.monotonic(), self._ahead
        self._ahead = ahead
        return timedelta(seconds=ahead - before if before is not None and abs(ahead - before) > _STEP else 0)
