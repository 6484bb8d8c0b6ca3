"""A token bucket: how long to wait so that no more than a rate is used in the long run. Pure."""

from dataclasses import dataclass

BURST = 1.0
"""Seconds' worth that may be used at once after a pause, unless it is said otherwise."""


@dataclass(slots=True)
class Bucket:
    """What may be used now; times are monotonic seconds."""

    rate: float
    """A second."""
    most: float
    """What may be used at once after a pause."""
    left: float
    """Below zero: used in advance."""
    at: float

    @classmethod
    def full(cls, rate: float, now: float, most: float | None = None) -> "Bucket":
        """One of which nothing was used; without `most` it holds BURST seconds' worth."""
        most = rate * BURST if most is None else most
        return cls(rate, most, most, now)

    def spend(self, count: float, now: float) -> float:
        """Use so much; returns the seconds after which more may be used."""
        self.left = min(self.left + max(now - self.at, 0.0) * self.rate, self.most) - count
        self.at = max(now, self.at)
        return max(-self.left / self.rate, 0.0)
