"""A token bucket: how long to wait so that no more than a rate is used in the long run. Pure."""

from dataclasses import dataclass

BURST = 1.0
"""Seconds' worth that may be used at once after a pause."""


@dataclass(slots=True)
class Bucket:
    """What may be used now; times are monotonic seconds."""

    rate: float
    """A second."""
    left: float
    """Below zero: used in advance."""
    at: float

    @classmethod
    def full(cls, rate: float, now: float) -> "Bucket":
        """One of which nothing was used."""
        return cls(rate, rate * BURST, now)

    def spend(self, count: float, now: float) -> float:
        """Use so much; returns the seconds after which more may be used."""
        self.left = min(self.left + max(now - self.at, 0.0) * self.rate, self.rate * BURST) - count
        self.at = max(now, self.at)
        return max(-self.left / self.rate, 0.0)
