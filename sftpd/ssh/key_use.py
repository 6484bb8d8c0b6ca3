"""How long the keys of a connection serve, and how often they may change: pure, told of bytes and of time."""

import paramiko

from sftpd.ssh.bucket import Bucket

RENEW_AFTER_BYTES = 1 << 30
"""Bytes, both ways together, after which new keys are asked for (RFC 4253 §9)."""

RENEW_AFTER_SECONDS = 3600.0
"""The same in time."""

_PATIENCE_BYTES = 256 << 20
"""Bytes that may still come before the other side lets the keys be changed."""

_WORTH_BYTES = 1 << 20
"""Bytes that make a change of keys no waste of time."""

_ALLOWANCE = 16
_ALLOWANCE_SECONDS = 10.0
"""A change of keys that were hardly used is free so often, and once more each so many seconds."""


class KeyUse:
    """The use of one connection's present keys."""

    def __init__(self, now: float, renew_after: int = RENEW_AFTER_BYTES) -> None:
        """`now` and all later times are monotonic seconds; `renew_after` in bytes."""
        self.due = False
        """Whether new keys should be asked for."""
        self.half_changed = False
        """Whether one direction has new keys and the other has not."""
        self._renew_after = renew_after
        self._since = now
        self._used = 0
        self._allowance = Bucket.full(1 / _ALLOWANCE_SECONDS, now, most=_ALLOWANCE)

    def use(self, used: int) -> None:
        """They have protected `used` bytes. Raises SSHException when they are long overdue for a change."""
        # While only one direction has new keys, what the other has protected is counted no more.
        self._used = max(self._used, used)
        if used >= self._renew_after:
            self.due = True
            if used >= self._renew_after + _PATIENCE_BYTES:
                raise paramiko.SSHException("the other side does not let the keys be changed")

    def look(self, now: float) -> None:
        """See whether they have become old, if they were used at all."""
        if self._used and now - self._since >= RENEW_AFTER_SECONDS:
            self.due = True

    def changed(self, now: float) -> None:
        """One direction, and with the second both, have new keys.

        Raises SSHException when that happens all the time without need.
        """
        self.half_changed = not self.half_changed
        if self.half_changed:
            return
        if self._allowance.spend(self._used < _WORTH_BYTES, now) > 0:
            raise paramiko.SSHException("the other side changes keys all the time")
        self.due, self._used, self._since = False, 0, now
