"""The monitor's side of couriers: logs them in, lends them out, and keeps a few for the next borrower."""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping

from sftpd.errors import NotFoundError, OwnFaultError, RemoteError
from sftpd.exchange.remote import Remote, only
from sftpd.names import RemoteName
from sftpd.process.pool import Children
from sftpd.ssh import courier
from sftpd.ssh import courier_messages as m
from sftpd.ssh.courier_connection import Connection, RemoteLogin
from sftpd.ssh.courier_probe import left_by_examination

_IDLE_SECONDS = 60.0
_IDLE_LIMIT = 4


class CourierRemotes:
    """Connections to remotes, each through a courier of its own; for any thread."""

    def __init__(
        self,
        children: Children,
        remotes: Mapping[RemoteName, RemoteLogin],
        *,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._children = children
        self._remotes = remotes
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._idle: defaultdict[RemoteName, list[Connection]] = defaultdict(list)
        self._lent: set[Connection] = set()
        self._closed = False

    @contextlib.contextmanager
    def borrow(self, name: RemoteName) -> Iterator[Remote]:
        """A logged-in connection to use for a while; one that failed at anything is not used again.

        Raises NotFoundError for a remote that is not configured, ProcessError where no courier can be
        started, and RemoteError, RemoteRefusedError or HostKeyError when there is no login.
        """
        if name not in self._remotes:
            raise NotFoundError("no such remote", where=name)
        connection = self._take(name) or self._connect(self._remotes[name])
        try:
            yield connection
        finally:
            self._give_back(name, connection)

    def examine(self, name: RemoteName, folder: bytes, mark: str) -> m.Findings:
        """What the server can do, tried with files in `folder` whose names hold `mark`; none is left there.

        Raises as `borrow`, and RemoteError where the connection is lost.
        """
        with self.borrow(name) as connection:
            assert isinstance(connection, Connection)
            try:
                return connection.examine(folder, mark)
            except RemoteError:
                with self.borrow(name) as another:
                    for path in left_by_examination(folder, mark):
                        if another.size(path) is not None:
                            only(another.remove([path]))
                raise

    def close(self) -> None:
        """End all couriers; those who use one get OwnFaultError."""
        with self._lock:
            self._closed = True
            connections = [*self._lent, *(one for idle in self._idle.values() for one in idle)]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def _take(self, name: RemoteName) -> "Connection | None":
        """An idle connection that still answers."""
        while True:
            with self._lock:
                if not self._idle[name]:
                    return None
                connection = self._idle[name].pop()
                self._lent.add(connection)
            if connection.answers():
                return connection
            self._give_back(name, connection)

    def _connect(self, login: RemoteLogin) -> "Connection":
        name = login.remote.name
        child = self._children.spawn(
            courier.ENTRY,
            kind="courier",
            sandbox=courier.sandbox(login.remote.port, binds=login.remote.source_address is not None),
            accepts=m.FromCourier,
        )
        connection = Connection(name, child)
        with self._lock:
            self._lent.add(connection)
            closed = self._closed
        try:
            if closed:
                raise OwnFaultError("sftpd is stopping", where=name)
            connection.log_in(login, self._idle_seconds)
        except BaseException:
            self._give_back(name, connection)
            raise
        return connection

    def _give_back(self, name: RemoteName, connection: "Connection") -> None:
        with self._lock:
            self._lent.discard(connection)
            is_good = connection.usable and connection.fresh
            keep = is_good and not self._closed and len(self._idle[name]) < _IDLE_LIMIT
            if keep:
                self._idle[name].append(connection)
        if not keep:
            connection.close()
