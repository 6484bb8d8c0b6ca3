"""One-time codes by the clock (TOTP, RFC 6238): six digits, thirty seconds, SHA-1, as every app has them."""

import hmac
import threading

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP = 30
_DIGITS = 6
_DRIFT = (0, -1, 1)
"""The steps that are taken: this one, the last and the next (RFC 6238 §5.2)."""


class Codes:
    """Checks codes, each good for one login: for any thread.

    Which were used is kept in memory: for a minute and a half after a restart one might be used again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}

    def is_right(self, account: str, secret: bytes, code: str, now: float) -> bool:
        """Whether `code` is right at `now`, in seconds since 1970, and newer than the last that was."""
        totp = TOTP(secret, _DIGITS, SHA1(), STEP, enforce_key_length=False)  # noqa: S303  (what apps have)
        step = int(now) // STEP
        given = code.strip().encode()
        right = [
            step + drift
            for drift in _DRIFT
            if hmac.compare_digest(totp.generate((step + drift) * STEP), given)
        ]
        with self._lock:
            if not right or right[0] <= self._used.get(account, -1):
                return False
            self._used[account] = right[0]
        return True
