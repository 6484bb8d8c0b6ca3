"""Bandwidth of accounts: a bucket for each account and direction, from which its sessions take leases."""

import threading
from collections.abc import Hashable

from sftpd.clock import Clock
from sftpd.ssh.bucket import Bucket


class Pacing:
    """The buckets of all accounts, for all threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[Hashable, Bucket] = {}

    def lease(self, who: Hashable, rate: int, size: int) -> float:
        """Let `size` bytes be moved; returns the seconds after which more may be."""
        now = self._clock.monotonic()
        with self._lock:
            bucket = self._buckets.get(who)
            if bucket is None or bucket.rate != rate:
                bucket = self._buckets[who] = Bucket.full(rate, now)
            return bucket.spend(size, now)
