"""Accepts connections and gives each a session process of its own."""

import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
import structlog

from sftpd.errors import ProcessError, SftpdError
from sftpd.link.model import Account
from sftpd.process.child import Child
from sftpd.process.pool import Children
from sftpd.process.switchboard import Switchboard
from sftpd.ssh.messages import Sign, ToMonitor
from sftpd.ssh.monitor import SessionGuard
from sftpd.ssh.session import Settings

_BACKLOG = 128
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Host:
    """What the listener needs to host sessions."""

    children: Children
    switchboard: Switchboard
    settings: Settings
    guard: Callable[[str], SessionGuard]
    """Makes the monitor's side of a session, given where its client comes from."""
    max_sessions: int


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises SftpdError naming the address when it is taken or not ours.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SftpdError(
            f"cannot listen: {error.strerror or error}",
            where=f"{host}:{port}",
            remedy="see server.listen in the configuration, and what else uses the port",
        ) from error


class Listener:
    """A thread `sftpd-listener` that accepts on every listening socket."""

    def __init__(self, sockets: Iterable[socket.socket], host: Host) -> None:
        self._sockets = tuple(sockets)
        self._host = host
        self._sessions: dict[int, SessionGuard] = {}
        self._changed = threading.Condition()
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="sftpd-listener", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing more and close the sockets; sessions go on. Once stopped, nothing happens."""
        if self._thread.is_alive():
            self._waker.send(b"x")
            self._thread.join()
        for sock in (*self._sockets, self._wake, self._waker):
            sock.close()

    def drain(self, patience: float) -> None:
        """Ask every session to end after its upload, and end those that have not after `patience` seconds."""
        for child in self._session_processes():
            child.terminate()
        with self._changed:
            self._changed.wait_for(lambda: not self._sessions, patience)
        for child in self._session_processes():
            child.kill()
        with self._changed:
            self._changed.wait_for(lambda: not self._sessions, patience)

    def end_sessions(self, of: Callable[[Account], bool]) -> None:
        """End at once the sessions of the accounts that `of` picks."""
        with self._changed:
            ended = {
                number
                for number, guard in self._sessions.items()
                if guard.partner is not None and of(guard.partner.account)
            }
        for child in self._host.children.running():
            if child.id in ended:
                child.kill()

    def sessions(self) -> list[SessionGuard]:
        """The sessions there are now."""
        with self._changed:
            return list(self._sessions.values())

    def _session_processes(self) -> list[Child]:
        with self._changed:
            ids = set(self._sessions)
        return [child for child in self._host.children.running() if child.id in ids]

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (*self._sockets, self._wake):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wake:
                        return
                    assert isinstance(key.fileobj, socket.socket)
                    self._accept(key.fileobj)

    def _accept(self, sock: socket.socket) -> None:
        try:
            connection, peer = sock.accept()
        except OSError as error:
            _log.warning("accept_failed", error=str(error))
            return
        with connection:
            if len(self._sessions) >= self._host.max_sessions:
                _log.warning("too_many_sessions", address=peer[0], limit=self._host.max_sessions)
                return
            try:
                self._begin(connection, peer[0])
            except ProcessError as error:
                _log.error("session_not_started", address=peer[0], error=str(error))

    def _begin(self, connection: socket.socket, address: str) -> None:
        guard = self._host.guard(address)
        child = self._host.children.spawn(
            "sftpd.ssh.session:main",
            kind="session",
            args=msgspec.msgpack.encode(self._host.settings),
            sandbox=self._host.settings.limits,
            fds=[connection.fileno()],
            accepts=ToMonitor,
            on_end=self._ended,
        )
        with self._changed:
            if child.ended is None:
                self._sessions[child.id] = guard
        self._host.switchboard.attach(child, guard, concurrent=(Sign,), on_over=guard.end)

    def _ended(self, child: Child) -> None:
        with self._changed:
            self._sessions.pop(child.id, None)
            self._changed.notify_all()
        if child.ended is not None and not child.ended.well:
            _log.warning("session_died", pid=child.pid, ended=str(child.ended))
