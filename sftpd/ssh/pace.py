"""How fast a session may go on: it takes leases of bytes and waits between them as it is told."""

from collections.abc import Callable

_LEASES_A_SECOND = 8
_LEAST_LEASE = 16 * 1024
_MOST_LEASE = 16 * 1024 * 1024

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
        self._lease = lease
        self._size = min(max(rate // _LEASES_A_SECOND, _LEAST_LEASE), _MOST_LEASE, most)
        self._left = 0

    def spend(self, count: int, now: float) -> float:
        """So many bytes were moved; returns the seconds to wait before more are."""
        self._left -= count
        if self._left < 0:
            wanted = max(self._size, -self._left)
            self.due = now + self._lease(wanted)
            self._left += wanted
        return max(self.due - now, 0.0)
