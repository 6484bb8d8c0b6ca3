"""The remotes of one link behind their guards, each connection for as long as the link may use it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sftpd.errors import RefusedError, RemoteError
from sftpd.exchange.guard import Guards, RemoteGuard
from sftpd.exchange.remote import Remote, Remotes
from sftpd.link.model import Backoff
from sftpd.names import RemoteName

PATIENCE = 30.0
"""Seconds that who is in no queue waits, before those that are, where no more connections are taken."""


class GuardedRemotes:
    """The remotes of one link behind their guards."""

    def __init__(
        self, link: str, remotes: Remotes, guards: Guards, backoff: Callable[[RemoteName], Backoff]
    ) -> None:
        """`backoff`: how long to wait before the next connection to a remote that is down."""
        self._link = link
        self._remotes = remotes
        self._guards = guards
        self._backoff = backoff
        self._lock = threading.Lock()
        self._stoppable: list[tuple[Remote, Callable[[], None]]] = []

    def guard(self, name: RemoteName) -> RemoteGuard:
        """The guard of a remote."""
        return self._guards.of(self._link, name)

    @contextmanager
    def borrow(
        self, name: RemoteName, require_open: Callable[[], None] | None = None, patience: float = 0.0
    ) -> Iterator[Remote]:
        """A connection to use for a while. Raises RemoteAwayError where there is none.

        `patience`: seconds to wait for one where the remote takes no more at once.
        `require_open` raises NotOpenError once it may not be used any more: that is then raised whatever
        becomes of the connection, which `hang_up` ends.
        """
        with self.guard(name).lent(self._remotes, name, self._backoff(name), patience) as remote:
            if require_open is None:
                yield remote
                return
            use = remote, require_open
            with self._lock:
                self._stoppable.append(use)
            try:
                require_open()
                yield remote
            except RemoteError:
                require_open()
                raise
            finally:
                with self._lock:
                    self._stoppable.remove(use)

    def while_open(self, require_open: Callable[[], None]) -> Remotes:
        """The same for whoever may use them only as long as `require_open` passes."""
        return _WhileOpen(self, require_open)

    def backoff(self, name: RemoteName) -> Backoff:
        """How long to wait before the next try at a remote that is down, or takes nothing."""
        return self._backoff(name)

    def hang_up(self) -> None:
        """End the connections that may not be used any more."""
        with self._lock:
            for remote, require_open in self._stoppable:
                try:
                    require_open()
                except RefusedError:
                    remote.hang_up()


class _WhileOpen:
    """The remotes of one link, each connection cut off once it may not be used any more."""

    def __init__(self, remotes: GuardedRemotes, require_open: Callable[[], None]) -> None:
        self._remotes = remotes
        self._require_open = require_open

    def borrow(self, name: RemoteName) -> AbstractContextManager[Remote]:
        """As GuardedRemotes says."""
        return self._remotes.borrow(name, self._require_open, PATIENCE)
