"""One-time codes by the clock (TOTP, RFC 6238): six digits, thirty seconds, SHA-1, as every app has them."""

import hmac
import threading
from collections import deque

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from sftpd.clock import Clock
from sftpd.ssh.bucket import Bucket

STEP = 30
_DIGITS = 6
_DRIFT = (0, -1, 1)
"""The steps that are taken: this one, the last and the next (RFC 6238 §5.2)."""

_REMEMBERED = 256
"""The codes of an account that are known to be used: once the clock was set back older ones come again."""

_TRIES = 10
_SECONDS_A_TRY = 60.0
"""Wrong codes of one account that are free, and how soon there is another try (RFC 4226 §7.3)."""

_NOBODYS_SECRET = bytes(20)


class Codes:
    """Checks codes, each good for one login: for any thread.

    Which were used, and how many were wrong, is kept in memory: for a minute and a half after a restart one
    might be used again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[str, deque[int]] = {}
        self._tries: dict[str, Bucket] = {}

    def may_try(self, account: str) -> bool:
        """Whether one more code of an account may be tried: a wrong one, until `is_right` says otherwise.

        Only for who has proven something else before: others could use up the account's tries.
        """
        now = self._clock.monotonic()
        with self._lock:
            tries = self._tries.setdefault(account, Bucket.full(1 / _SECONDS_A_TRY, now, most=_TRIES - 1))
            if tries.spend(0, now):
                return False
            tries.spend(1, now)
        return True

    def is_right(self, account: str, secret: bytes | None, code: str) -> bool:
        """Whether `code` is right, and newer than the last that was by this clock.

        Without a secret it takes as long.
        """
        key = secret or _NOBODYS_SECRET
        totp = TOTP(key, _DIGITS, SHA1(), STEP, enforce_key_length=False)  # noqa: S303  (what apps have)
        step = int(self._clock.now().timestamp()) // STEP
        given = code.strip().encode()
        right = [
            step + drift
            for drift in _DRIFT
            if hmac.compare_digest(totp.generate((step + drift) * STEP), given)
        ]
        if secret is None or not right:
            return False
        with self._lock:
            used = self._used.setdefault(account, deque(maxlen=_REMEMBERED))
            newest = max(used, default=-1)
            # One that is still to come was used before the clock was set back: nobody is kept out until then.
            if right[0] in used or right[0] <= newest <= step + max(_DRIFT):
                return False
            used.append(right[0])
            if (tries := self._tries.get(account)) is not None:
                tries.spend(-1, self._clock.monotonic())
        return True
