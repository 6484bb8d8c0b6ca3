"""Accepts connections and has a session serve each."""

import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from time import monotonic

import structlog

from sftpd.errors import ProcessError, SftpdError
from sftpd.link.model import Account
from sftpd.process.control import Ended
from sftpd.process.switchboard import Switchboard
from sftpd.ssh.admission import plain
from sftpd.ssh.completing import together
from sftpd.ssh.hosting import Hosting, Session
from sftpd.ssh.messages import CheckPassword
from sftpd.ssh.monitor import SessionGuard
from sftpd.ssh.penalties import Offence
from sftpd.ssh.reception import Reception

_BACKLOG = 128
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Host:
    """What the listener needs to host sessions."""

    switchboard: Switchboard
    login_grace: float
    guard: Callable[[str, Callable[[], bool]], SessionGuard]
    """Makes the monitor's side of a session: of where its client comes from, and what to ask at its login."""
    reception: Reception


@dataclass(slots=True)
class _Session:
    guard: SessionGuard
    handle: Session
    displaced: bool = False


class _Parting:
    """Has `then` run once a session's process has ended and all that it asked for has been answered."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        self._lock = threading.Lock()
        self._awaited = 2

    def happened(self) -> None:
        """One of the two has come about."""
        with self._lock:
            self._awaited -= 1
            is_last = not self._awaited
        if is_last:
            self._then()


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

    def __init__(self, sockets: Iterable[tuple[socket.socket, Hosting]], host: Host) -> None:
        """Each socket comes with where the sessions of its connections run."""
        self._sockets = tuple(sockets)
        self._host = host
        self._sessions: dict[int, _Session] = {}
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
        for sock in (*(sock for sock, _ in self._sockets), self._wake, self._waker):
            sock.close()

    def drain(self, patience: float) -> None:
        """Ask every session to end after its upload, and end those that have not after `patience` seconds."""
        for handle in self._handles():
            handle.terminate()
        with self._changed:
            self._changed.wait_for(lambda: not self._sessions, patience)
        for handle in self._handles():
            handle.kill()
        with self._changed:
            self._changed.wait_for(lambda: not self._sessions, patience)

    def end_sessions(self, of: Callable[[Account], bool]) -> None:
        """End at once the sessions of the accounts that `of` picks."""
        with self._changed:
            sessions = list(self._sessions.values())
        for session in sessions:
            partner = session.guard.partner
            if partner is not None and of(partner.account):
                session.handle.kill()

    def sessions(self) -> list[SessionGuard]:
        """The sessions there are now."""
        with self._changed:
            return [session.guard for session in self._sessions.values()]

    def _handles(self) -> list[Session]:
        with self._changed:
            return [session.handle for session in self._sessions.values()]

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            for sock, hosting in self._sockets:
                selector.register(sock, selectors.EVENT_READ, hosting)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wake:
                        return
                    assert isinstance(key.fileobj, socket.socket)
                    self._accept(key.fileobj, key.data)

    def _accept(self, sock: socket.socket, hosting: Hosting) -> None:
        try:
            connection, peer = sock.accept()
        except OSError as error:
            _log.warning("accept_failed", error=str(error))
            return
        with connection:
            address = str(plain(peer[0]))
            admitted = self._host.reception.receive(address)
            if admitted is None:
                return
            if admitted.displaced is not None:
                self._displace(admitted.displaced)
            try:
                self._begin(hosting, connection, address, admitted.number)
            except (ProcessError, OSError) as error:
                self._host.reception.leave(admitted.number, None)
                _log.error("session_not_started", address=address, error=str(error))

    def _displace(self, number: int) -> None:
        with self._changed:
            session = self._sessions.get(number)
            if session is not None:
                session.displaced = True
        if session is not None:
            session.handle.kill()

    def _begin(self, hosting: Hosting, connection: socket.socket, address: str, number: int) -> None:
        host, began = self._host, monotonic()
        guard = host.guard(address, partial(host.reception.log_in, number))

        def gone() -> None:
            guard.end(handle.ended)
            late = monotonic() - began >= host.login_grace
            host.reception.leave(number, _offence(guard, handle.ended, late=late))

        parting = _Parting(gone)

        def ended(handle: Session) -> None:
            self._ended(number, handle)
            parting.happened()

        def over() -> None:
            hosting.over(handle, well=guard.has_left)
            parting.happened()

        handle = hosting.begin(connection.fileno(), ended)
        with self._changed:
            if handle.ended is None:
                self._sessions[number] = _Session(guard, handle)
        host.switchboard.attach(handle, guard, slow=(CheckPassword,), together=together, on_over=over)

    def _ended(self, number: int, handle: Session) -> None:
        with self._changed:
            session = self._sessions.pop(number, None)
            self._changed.notify_all()
        was_displaced = session is not None and session.displaced
        if handle.ended is not None and not handle.ended.well and not was_displaced:
            _log.warning("session_died", ended=str(handle.ended))


def _offence(guard: SessionGuard, ended: Ended | None, *, late: bool) -> Offence | None:
    """What the client of a session that has ended is to blame for, if it had not logged in.

    SIGKILL comes from us or the kernel's own need, and tells nothing of the client.
    """
    if ended is None or ended.well or ended.signal == signal.SIGKILL:
        return Offence.GRACE_EXCEEDED if late and guard.offence is not None else guard.offence
    return Offence.GRACE_EXCEEDED if ended.signal == signal.SIGALRM else Offence.CRASH
