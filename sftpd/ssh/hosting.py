"""Where sessions run: a process for each, or many as threads of few processes.

A process for each keeps sessions apart by the kernel; threads cost a fiftieth of the memory, are sandboxed
one by one all the same (Landlock restricts threads), and share what a crash takes along.
"""

import contextlib
import itertools
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from sftpd.process.channel import Channel, ChannelClosedError, channel_pair
from sftpd.process.child import Child
from sftpd.process.control import Ended
from sftpd.process.messages import Done
from sftpd.process.pool import Children
from sftpd.ssh.messages import Serve, ToMonitor
from sftpd.ssh.session import Settings

_WELL = Ended(0, 0, None)
_LAST_MOMENT = 1.0

OnEnd = Callable[["Session"], None]
"""Called once a session has ended, quickly."""


class Session(Protocol):
    """The listener's handle on one session, as Child is for one with a process of its own."""

    id: int
    kind: str
    channel: Channel

    @property
    def ended(self) -> Ended | None:
        """How it ended; None while it runs."""
        ...

    def terminate(self) -> None:
        """Ask it to end once no upload is open; others of its process are asked too."""
        ...

    def kill(self) -> None:
        """End it."""
        ...


class Hosting(Protocol):
    """Starts sessions."""

    def begin(self, connection: int, on_end: OnEnd) -> Session:
        """Serve a connection, whose descriptor stays the caller's. Raises ProcessError and OSError."""
        ...

    def over(self, session: Session, *, well: bool) -> None:
        """The session's channel has closed and all that came over it has been handled.

        `well`: the session has said that it ends. May wait for a second.
        """
        ...


class OwnProcesses:
    """A process for each session."""

    def __init__(self, children: Children, settings: Settings, asks_for_codes: Callable[[], bool]) -> None:
        self._children = children
        self._settings = settings
        self._asks_for_codes = asks_for_codes

    def begin(self, connection: int, on_end: OnEnd) -> Session:
        """As Hosting says."""
        settings = msgspec.structs.replace(self._settings, asks_for_codes=self._asks_for_codes())
        return self._children.spawn(
            "sftpd.ssh.session:main",
            kind="session",
            args=msgspec.msgpack.encode(settings),
            sandbox=self._settings.limits,
            fds=[connection],
            accepts=ToMonitor,
            on_end=on_end,
        )

    def over(self, session: Session, *, well: bool) -> None:
        """As Hosting says: its process ends by itself."""


class _Guest:
    """A session that runs as a thread of a host."""

    kind = "session"

    def __init__(
        self, number: int, line: socket.socket, channel: Channel, host: "_Host", on_end: OnEnd
    ) -> None:
        """`line` is a descriptor of its connection, to hang up by."""
        self.id = number
        self._line = line
        self.channel = channel
        self.host = host
        self.killed = False
        self._on_end: OnEnd | None = on_end
        self._over = False

    @property
    def pid(self) -> int:
        """The process it runs in."""
        return self.host.child.pid

    @property
    def ended(self) -> Ended | None:
        """How it ended; its host's end is its own."""
        if self.host.child.ended is not None and not self.host.child.ended.well:
            return self.host.child.ended
        return _WELL if self._over else None

    def terminate(self) -> None:
        """As Session says."""
        self.host.child.terminate()

    def kill(self) -> None:
        """End it: its client is cut off at once, and the thread hears of that when it looks."""
        self.killed = True
        self.hang_up()
        self.channel.close()

    def hang_up(self) -> None:
        """Let nothing more go to its client or come from it; harmless when repeated."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()

    def finish(self) -> None:
        """Take note of its end and tell who asked to know."""
        self._over = True
        # It leads back here, and is not needed again.
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)


class _Host:
    """A process with room for sessions."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.guests = 0
        self.is_new = True
        """Whether it was given no session yet."""
        self.is_lost = False
        """Whether it takes no more: it could not be given one."""

    @property
    def is_over(self) -> bool:
        """Whether it takes no more sessions."""
        return self.is_lost or self.child.ended is not None


class SharedProcesses:
    """Sessions as threads of processes that have room for `size` of them each."""

    def __init__(
        self, children: Children, settings: Settings, asks_for_codes: Callable[[], bool], size: int
    ) -> None:
        self._children = children
        self._settings = settings
        self._asks_for_codes = asks_for_codes
        self._size = size
        self._limits = msgspec.structs.replace(
            settings.limits,
            files=_times(settings.limits.files, size),
            memory=_times(settings.limits.memory, size),
        )
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._hosts: list[_Host] = []

    def begin(self, connection: int, on_end: OnEnd) -> Session:
        """As Hosting says."""
        ours, theirs = channel_pair()
        try:
            line = socket.socket(fileno=os.dup(connection))
            try:
                host = self._given([connection, theirs.fileno()])
            except BaseException:
                line.close()
                raise
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return _Guest(next(self._numbers), line, Channel(ours, ToMonitor), host, on_end)

    def over(self, session: Session, *, well: bool) -> None:
        """As Hosting says."""
        assert isinstance(session, _Guest)
        session.hang_up()
        if not well and not session.killed:
            # Its host is about to be told dead: the channel closes a moment before.
            with contextlib.suppress(TimeoutError):
                session.host.child.wait(_LAST_MOMENT)
        self._leave(session.host)
        session.finish()

    def _given(self, fds: Sequence[int]) -> _Host:
        """A host that was given a session; one that died, of which nobody has told yet, is passed over."""
        while True:
            host = self._enter()
            try:
                host.child.channel.notify(Serve(self._asks_for_codes()), fds)
            except ChannelClosedError:
                host.is_lost = True
                self._leave(host)
                if host.is_new:
                    raise
            except BaseException:
                self._leave(host)
                raise
            else:
                host.is_new = False
                return host

    def _enter(self) -> _Host:
        """Take a place in a host that runs; a new one where all are full."""
        with self._lock:
            self._bury()
            for host in self._hosts:
                if host.guests < self._size and not host.is_over:
                    host.guests += 1
                    return host
            host = _Host(self._spawn())
            host.guests = 1
            self._hosts.append(host)
            return host

    def _bury(self) -> None:
        """Let go of hosts that have ended while they were empty, which no guest tells of (lock held)."""
        for host in [host for host in self._hosts if not host.guests and host.is_over]:
            self._hosts.remove(host)
            host.child.channel.close()

    def _leave(self, host: _Host) -> None:
        """Give a place back; a host that is empty ends, unless it is the only one."""
        with self._lock:
            host.guests -= 1
            ends = not host.guests and (len(self._hosts) > 1 or host.is_over)
            if ends and host in self._hosts:
                self._hosts.remove(host)
        if ends:
            host.child.channel.close()

    def _spawn(self) -> Child:
        return self._children.spawn(
            "sftpd.ssh.session_host:main",
            kind="sessions",
            args=msgspec.msgpack.encode(self._settings),
            sandbox=self._limits,
            accepts=Done,
        )


def _times(limit: int | None, count: int) -> int | None:
    return None if limit is None else limit * count
