"""The process that serves one connection: SSH by paramiko, SFTP by our engine, decisions by the monitor."""

import contextlib
import math
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic

import msgspec
import paramiko
import structlog

from sftpd.clock import SystemClock
from sftpd.process import sandbox
from sftpd.process.channel import Channel
from sftpd.process.messages import Decoder
from sftpd.sftp.wire import ProtocolError
from sftpd.ssh.doorman import Doorman
from sftpd.ssh.handler import Handler
from sftpd.ssh.messages import Admitted, Direction, Lease, Leased, Sign, Signature, ToSession
from sftpd.ssh.pace import ChannelPace, Pace
from sftpd.ssh.sftp_channel import Paces, SftpChannel
from sftpd.ssh.signing import RemoteSigner
from sftpd.ssh.transport import SessionTransport
from sftpd.ssh.view import View

_log = structlog.get_logger()

Decoder.of(ToSession)  # made where this is loaded, in the zygote, and so for all sessions


class Settings(msgspec.Struct, frozen=True):
    """What a session is told at its start; it holds no secret."""

    identification: str
    banner: str
    host_keys: tuple[bytes, ...]
    """The public halves of the host keys in use, as on the wire."""
    host_keys_to_come: tuple[bytes, ...]
    """The same of those that clients are told of and that are not used yet."""
    compat: tuple[str, ...]
    """What is offered to old clients besides the standard algorithms."""
    asks_for_codes: bool
    """Whether clients may be asked for one-time codes."""
    login_grace: float
    idle_timeout: float
    limits: sandbox.Sandbox
    """Its sandbox; what it may read and write is narrowed once it is known who logged in."""


decode_settings = msgspec.msgpack.Decoder(Settings).decode
"""Reads what a session is told at its start."""


class Drain:
    """Whether the process is asked to end once no upload is open."""

    def __init__(self) -> None:
        self._asked = False

    def on_signal(self) -> None:
        """Take SIGTERM for that; in the main thread."""
        signal.signal(signal.SIGTERM, lambda *_: self.ask())

    def ask(self) -> None:
        """Ask for it."""
        self._asked = True

    def __bool__(self) -> bool:
        return self._asked


def main(channel: socket.socket, args: bytes, fds: tuple[int, ...]) -> None:
    """Serve the connection `fds[0]` until it ends; `args` are Settings."""
    settings = decode_settings(args)
    drain = Drain()
    drain.on_signal()
    # SIGALRM ends the process: whatever a silent client waits for, it does not outlast the grace.
    signal.alarm(math.ceil(settings.login_grace))
    connection = socket.socket(fileno=fds[0])
    session = Session(settings, Channel(channel, ToSession), connection, drain, lambda: signal.alarm(0))
    session.run()


class Session:
    """One connection, from key exchange to its end; all in the thread that runs it."""

    def __init__(
        self,
        settings: Settings,
        monitor: Channel,
        connection: socket.socket,
        drain: Drain,
        on_login: Callable[[], object] = lambda: None,
    ) -> None:
        """`on_login` is called once somebody has logged in."""
        self._settings = settings
        self._drain = drain
        self._on_login = on_login
        self._monitor = monitor
        self._door = Doorman(monitor, settings.banner, settings.asks_for_codes, self._let_in, self._open_sftp)
        self._transport = SessionTransport(
            connection,
            settings.identification,
            [RemoteSigner(blob, self._sign) for blob in settings.host_keys],
            self._door.verify,
            watch=self._look,
            compat=settings.compat,
        )
        # The grace alone limits the login: paramiko's 15 s are short for a person who compares host keys.
        self._transport.banner_timeout = self._transport.handshake_timeout = 2 * settings.login_grace
        self._door.count_channels = self._count_channels
        self._channels: dict[int, SftpChannel] = {}
        self._paces: tuple[Pace | None, Pace | None] = None, None
        self._active_at = monotonic()

    def run(self) -> None:
        """Let the client in and serve its channels; returns when the connection ends."""
        self._transport.start_server(event=threading.Event(), server=self._door)
        try:
            self._transport.run()
        finally:
            with contextlib.ExitStack() as closing:  # done whatever the one before has raised, the last first
                closing.callback(self._transport.close)
                closing.callback(self._report_fault)
                for channel in self._channels.values():
                    closing.callback(channel.end, lambda: not self._monitor.is_closed())

    def _sign(self, data: bytes, algorithm: str) -> bytes:
        return self._monitor.call(Sign(data, algorithm), Signature).blob

    def _let_in(self, admitted: Admitted) -> None:
        """Leave this thread nothing but the account's folders, before the client can ask for anything."""
        limits = self._settings.limits
        published = tuple(folder.published for folder in admitted.folders)
        staging = tuple(folder.staging for folder in admitted.folders if folder.staging is not None)
        sandbox.apply(msgspec.structs.replace(limits, read=published, write=staging))
        self._paces = (
            self._pace(admitted.upload_rate, "upload"),
            self._pace(admitted.download_rate, "download"),
        )
        self._on_login()
        self._transport.let_in()
        self._transport.announce_host_keys((*self._settings.host_keys, *self._settings.host_keys_to_come))
        if legacy := self._transport.legacy_in_use():
            _log.warning("legacy_algorithms", account=admitted.account, algorithms=legacy)
        self._active_at = monotonic()

    def _pace(self, rate: int | None, direction: Direction) -> Pace | None:
        if rate is None:
            return None
        return Pace(rate, lambda size: self._monitor.call(Lease(direction, size), Leased).wait)

    def _open_sftp(self, channel: paramiko.Channel, admitted: Admitted) -> bool:
        if channel.get_id() in self._channels:
            return False
        view = View(admitted.folders, admitted.permissions, self._monitor, rationed=admitted.rationed)
        handler = Handler(view, admitted, SystemClock(), self._handles)
        peer, number = self._transport.peer_of(channel), channel.get_id()
        end = partial(self._end_sftp, channel, view, handler)
        paces = Paces(*(None if pace is None else ChannelPace(pace) for pace in self._paces))
        self._channels[number] = SftpChannel(self._transport.wire, peer, handler, end, paces)
        self._transport.wire.attach(number, self._channels[number])
        return True

    def _count_channels(self) -> int:
        """How many there are: open ones, and those in which something outlasts its client."""
        return self._transport.count_channels() + sum(c.outlasts for c in self._channels.values())

    def _handles(self) -> int:
        return sum(channel.handler.handles for channel in self._channels.values())

    def _end_sftp(
        self, channel: paramiko.Channel, view: View, handler: Handler, error: ProtocolError | None
    ) -> None:
        if error is not None:
            _log.warning("protocol_error", error=str(error))
        self._transport.wire.detach(channel.get_id())
        self._active_at = self._channels.pop(channel.get_id()).active_at
        try:
            handler.end()
        finally:
            view.close()
        # Without an exit status clients such as `scp -s` report failure.
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            if not channel.closed:
                channel.send_exit_status(0)
            channel.close()

    def _look(self) -> None:
        """See whether the session is to end. Raises EOFError when it is."""
        if self._monitor.is_closed():
            raise EOFError("the monitor has ended it")
        if self._drain and not any(c.busy or c.handler.uploading for c in self._channels.values()):
            raise EOFError("sftpd is stopping")
        if self._door.admitted is None:
            if self._idle_for() >= self._settings.login_grace:
                raise EOFError("nobody has logged in in time")
        elif self._idle_for() >= self._settings.idle_timeout:
            _log.info("idle", account=self._door.admitted.account)
            raise EOFError("nothing has moved for too long")

    def _idle_for(self) -> float:
        return monotonic() - max([self._active_at, *(c.active_at for c in self._channels.values())])

    def _report_fault(self) -> None:
        fault = self._transport.get_exception()
        if isinstance(fault, EOFError):
            _log.debug("connection_ended", cause=str(fault))
        elif fault is not None:
            _log.info("connection_failed", error=str(fault))
