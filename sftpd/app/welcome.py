"""Who may be logged in now: asked at each login, and again and again for as long as sessions last."""

from collections.abc import Callable

import structlog

from sftpd.app.instance import Instance
from sftpd.app.work import Work
from sftpd.errors import NotFoundError, RefusedError
from sftpd.link.model import Account

LOOK = 1.0
"""Seconds between two looks at those who are logged in: what they rest on may end with a day."""

_log = structlog.get_logger()


class Welcome:
    """Judges accounts by what is in force."""

    def __init__(self, instance: Instance, work: Callable[[], Work]) -> None:
        """`work` is asked anew each time: a reload brings another."""
        self._instance = instance
        self._work = work

    def require(self, account: Account) -> None:
        """Pass if there is such an account, and it and its link may be used now. Raises RefusedError."""
        if account not in self._work().accounts:
            raise RefusedError("a reload has taken the account out or changed it", reason="ACCOUNT_CHANGED")
        if account.has_expired(self._instance.clock.now()):
            raise RefusedError("its last day is over", reason="ACCOUNT_EXPIRED")
        self._instance.register.require_open(account.link)

    def has_ended(self, account: Account) -> bool:
        """Whether a session of the account must end."""
        try:
            self.require(account)
        except RefusedError as refusal:
            _log.info("session_ended", account=account.name, link=account.link, reason=refusal.reason)
            return True
        except NotFoundError:
            return False  # a reload is taking the link out: once it has, the account is among no others
        return False
