"""Whether a remote is worth a try: what is known of it from the tries so far. Pure, told what time it is.

A remote that is down costs one connection a step of its back-off, however many files wait for it.
"""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from sftpd.link.model import Backoff

REFUSALS = 3
"""Refused logins in a row after which no other is tried: a server may lock the account that goes on."""

_TOLERATED = 4
"""Connections that may fail in a row while in use; one more counts like a remote that is down."""


class Phase(StrEnum):
    """What is known of a remote."""

    UNTRIED = "untried"
    PROBING = "probing"
    """One connection is being made, and nobody else tries."""
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Circuit:
    """What the tries so far have told of a remote; each method returns what is known after one more."""

    phase: Phase = Phase.UNTRIED
    failures: int = 0
    """In a row."""
    refusals: int = 0
    """Logins that were refused in a row."""
    retry_at: float = 0.0
    """While it is down: when it may be tried again."""

    def ready_at(self) -> float:
        """From when on a connection may be made; infinity while one is being tried."""
        match self.phase:
            case Phase.PROBING:
                return inf
            case Phase.DOWN:
                return self.retry_at
            case Phase.UP | Phase.UNTRIED:
                return 0.0

    def begin(self) -> "Circuit":
        """Somebody tries, who found it ready."""
        return self if self.phase is Phase.UP else dataclasses.replace(self, phase=Phase.PROBING)

    def asked(self) -> "Circuit":
        """The try under way, if it is one, came to be answered."""
        return dataclasses.replace(self, phase=Phase.UP) if self.phase is Phase.PROBING else self

    def reached(self) -> "Circuit":
        """It let us log in."""
        return dataclasses.replace(self, phase=Phase.UP, refusals=0)

    def served(self) -> "Circuit":
        """It did what it was asked, or said why not."""
        return Circuit(Phase.UP)

    def lost(self, now: float, backoff: Backoff, jitter: float) -> "Circuit":
        """A connection failed in use."""
        if self.phase is Phase.DOWN:
            return self
        failures = self.failures + 1
        if failures <= _TOLERATED:
            return dataclasses.replace(self, failures=failures)
        return self._down(failures, now, backoff, jitter)

    def unreachable(self, now: float, backoff: Backoff, jitter: float) -> "Circuit":
        """There was no connection; those that failed together count once."""
        if self.phase is Phase.DOWN:
            return self
        return self._down(max(self.failures, _TOLERATED) + 1, now, backoff, jitter)

    def refused(self, now: float, backoff: Backoff, jitter: float) -> "Circuit":
        """It answered and did not let us log in."""
        after = self.unreachable(now, backoff, jitter)
        return dataclasses.replace(after, refusals=self.refusals + 1)

    def closed(self) -> "Circuit":
        """Nobody may try until the try under way has told something."""
        return dataclasses.replace(self, phase=Phase.PROBING)

    def abandoned(self) -> "Circuit":
        """A try ended without telling anything."""
        if self.phase is not Phase.PROBING:
            return self
        return dataclasses.replace(self, phase=Phase.DOWN if self.failures else Phase.UNTRIED)

    def _down(self, failures: int, now: float, backoff: Backoff, jitter: float) -> "Circuit":
        wait = backoff.wait(failures - _TOLERATED, jitter).total_seconds()
        return Circuit(Phase.DOWN, failures, self.refusals, now + wait)


@dataclass(frozen=True, slots=True)
class Room:
    """How many connections a remote was found to take at once; each method returns what is known then."""

    most: float = inf
    failures: int = 0
    """How often in a row one more was in vain."""
    retry_at: float = 0.0
    """When one more may be tried; infinity while it is."""

    def ready_at(self, begun: int) -> float:
        """From when on another may be made beside those that are lent, or being made."""
        return self.retry_at if begun >= self.most else 0.0

    def begin(self, begun: int) -> "Room":
        """Somebody makes another, who found it ready."""
        return dataclasses.replace(self, retry_at=inf) if begun >= self.most else self

    def reached(self, lent: int) -> "Room":
        """So many are logged in."""
        return Room() if lent > self.most else self.abandoned()

    def full(self, lent: int, now: float, backoff: Backoff, jitter: float) -> "Room":
        """There was no other beside those that are logged in."""
        wait = backoff.wait(self.failures + 1, jitter).total_seconds()
        return Room(max(lent, 1), self.failures + 1, now + wait)

    def abandoned(self) -> "Room":
        """A try ended without telling anything."""
        return dataclasses.replace(self, retry_at=0.0) if self.retry_at == inf else self
