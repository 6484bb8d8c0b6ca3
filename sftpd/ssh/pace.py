"""How fast a session may go on: it takes leases of bytes and waits between them as it is told."""

from collections.abc import Callable

_LEASES_A_SECOND = 8
_LEAST_LEASE = 16 * 1024
_MOST_LEASE = 16 * 1024 * 1024

FREE = 16 * 1024
"""Bytes that a channel may move while its session waits for what others have moved."""

FREE_CHANNELS = 8
"""How many channels may do so before the session goes on: they count one by one, also those that are gone."""

Lease = Callable[[int], float]
"""Takes so many bytes from the account's share; returns the seconds after which more may be taken."""


class Pace:
    """One direction of a session; times are monotonic seconds.

    A lease is taken when its first byte is moved, so that many sessions of an account share its rate by
    what they move. What was leased and not moved is lost to them: an eighth of a second's worth at most.
    """

    def __init__(self, rate: int, lease: Lease, most: int = _MOST_LEASE) -> None:
        """`most` is how many bytes are moved at the most, where that is known."""
        self.due = 0.0
        """When more may be moved."""
        self.turn = 0
        """Counts the times that it went on, from each of which to the next wait channels begin anew."""
        self.ahead = 0
        """How many channels have moved something since, before it was due."""
        self._lease = lease
        self._size = min(max(rate // _LEASES_A_SECOND, _LEAST_LEASE), _MOST_LEASE, most)
        self._left = 0

    def spend(self, count: int, now: float) -> float:
        """So many bytes were moved; returns the seconds to wait before more are."""
        if now >= self.due:
            self.turn, self.ahead = self.turn + 1, 0
        self._left -= count
        if self._left < 0:
            wanted = max(self._size, -self._left)
            self.due = now + self._lease(wanted)
            self._left += wanted
        return max(self.due - now, 0.0)


class ChannelPace:
    """One direction of one of a session's channels, which is not to wait for what the others move.

    Small requests are answered while another channel waits. Their bytes are of the account's share like any
    other: the session waits for them afterwards.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._turn = -1
        self._moved = 0

    @property
    def due(self) -> float:
        """When this channel may move more."""
        pace = self._pace
        if self._turn == pace.turn:
            return pace.due if self._moved >= FREE else 0.0
        return pace.due if pace.ahead >= FREE_CHANNELS else 0.0

    def spend(self, count: int, now: float) -> None:
        """So many bytes were moved by this channel."""
        pace = self._pace
        pace_was_due = now >= pace.due
        pace.spend(count, now)
        if self._turn != pace.turn:
            self._turn, self._moved = pace.turn, 0
            pace.ahead += not pace_was_due
        self._moved += count
