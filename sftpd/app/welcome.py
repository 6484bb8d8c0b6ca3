"""Who may be logged in now: asked at each login, and again and again for as long as sessions last."""

from collections.abc import Callable

import structlog

from sftpd.app.instance import Instance
from sftpd.errors import NotFoundError, RefusedError
from sftpd.link.model import Account
from sftpd.ssh.auth import Authenticator

LOOK = 1.0
"""Seconds between two looks at those who are logged in: what they rest on may end with a day."""

_log = structlog.get_logger()


class Welcome:
    """Judges accounts by what is in force."""

    def __init__(self, instance: Instance, authenticator: Callable[[], Authenticator]) -> None:
        """`authenticator` is asked anew each time: a reload brings another."""
        self._instance = instance
        self._authenticator = authenticator

    def require(self, account: Account) -> None:
        """Pass if there is such an account, and it and its link may be used now. Raises RefusedError."""
        if not self._authenticator().knows(account):
            raise RefusedError("a reload has taken the account out or changed it", reason="ACCOUNT_CHANGED")
        if account.has_expired(self._instance.clock.now()):
            raise RefusedError("its last day is over", reason="ACCOUNT_EXPIRED")
        self._instance.register.require_open(account.link)

    def look(self) -> Callable[[Account], bool]:
        """What tells whether the sessions of an account must end, and judges each account once."""
        # By identity: to hash an account costs more than to judge it.
        judged: dict[int, tuple[Account, bool]] = {}

        def has_ended(account: Account) -> bool:
            if id(account) not in judged:
                judged[id(account)] = account, self._has_ended(account)
            return judged[id(account)][1]

        return has_ended

    def _has_ended(self, account: Account) -> bool:
        try:
            self.require(account)
        except RefusedError as refusal:
            _log.info("session_ended", account=account.name, link=account.link, reason=refusal.reason)
            return True
        except NotFoundError:
            return False  # a reload is taking the link out: once it has, the account is among no others
        return False
