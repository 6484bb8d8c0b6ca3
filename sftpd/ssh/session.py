"""The process that serves one connection: SSH by paramiko, SFTP by our engine, decisions by the monitor."""

import math
import signal
import socket
import threading
from collections.abc import Iterable

import msgspec
import paramiko
import structlog

from sftpd.clock import SystemClock
from sftpd.errors import ProcessError
from sftpd.process import sandbox
from sftpd.process.channel import Channel
from sftpd.sftp.engine import Engine
from sftpd.sftp.wire import ProtocolError
from sftpd.ssh.doorman import Doorman
from sftpd.ssh.handler import Handler
from sftpd.ssh.messages import Admitted, Sign, Signature, ToSession
from sftpd.ssh.signing import RemoteSigner
from sftpd.ssh.transport import SessionTransport
from sftpd.ssh.view import View

_CHUNK = 64 * 1024
_REPLY_BATCH = 256 * 1024
_LOOK = 0.5
"""Seconds between looks at whether the session has ended or is asked to end."""

_PATIENCE = 30.0
"""Seconds a client may take to ask for SFTP on a channel it opened."""

_log = structlog.get_logger()


class Settings(msgspec.Struct, frozen=True):
    """What a session is told at its start; it holds no secret."""

    identification: str
    banner: str
    host_keys: tuple[bytes, ...]
    """Their public halves as on the wire."""
    login_grace: float
    idle_timeout: float
    limits: sandbox.Sandbox
    """Its sandbox; what it may read and write is narrowed once it is known who logged in."""


def main(channel: socket.socket, args: bytes, fds: tuple[int, ...]) -> None:
    """Serve the connection `fds[0]` until it ends; `args` are Settings."""
    settings = msgspec.msgpack.decode(args, type=Settings)
    session = Session(settings, Channel(channel, ToSession), socket.socket(fileno=fds[0]))
    session.run()


class Session:
    """One connection, from key exchange to the end of its last SFTP channel."""

    def __init__(self, settings: Settings, monitor: Channel, connection: socket.socket) -> None:
        self._settings = settings
        self._monitor = monitor
        self._door = Doorman(monitor, settings.banner, self._narrow)
        signers = [RemoteSigner(blob, self._sign) for blob in settings.host_keys]
        self._transport = SessionTransport(connection, settings.identification, signers, self._door.verify)
        # The alarm alone limits the login: paramiko's 15 s are short for a person who compares host keys.
        self._transport.banner_timeout = self._transport.handshake_timeout = 2 * settings.login_grace
        self._handlers: set[Handler] = set()
        self._answering: set[Handler] = set()
        self._draining = threading.Event()

    def run(self) -> None:
        """Let the client in and serve its channels; returns when the connection ends."""
        signal.signal(signal.SIGTERM, lambda *_: self._draining.set())
        # SIGALRM ends the process: whatever a silent client waits for, it does not outlast the grace.
        signal.alarm(math.ceil(self._settings.login_grace))
        self._transport.start_server(event=threading.Event(), server=self._door)
        try:
            admitted = self._wait_for_login()
            if admitted is not None:
                signal.alarm(0)
                self._narrow(admitted)
                self._serve_channels(admitted)
        finally:
            self._report_fault()
            self._transport.close()

    def _sign(self, data: bytes, algorithm: str) -> bytes:
        return self._monitor.call(Sign(data, algorithm), Signature).blob

    def _wait_for_login(self) -> Admitted | None:
        while self._transport.is_active():
            if self._door.logged_in.wait(_LOOK):
                return self._door.admitted
            if self._draining.is_set():
                return None
        return None

    def _narrow(self, admitted: Admitted) -> None:
        """Leave the calling thread, and those it starts, nothing but the account's folders."""
        limits = self._settings.limits
        published = tuple(folder.published for folder in admitted.folders)
        staging = tuple(folder.staging for folder in admitted.folders if folder.staging is not None)
        sandbox.apply(
            msgspec.structs.replace(
                limits, read=published, write=staging, execute=sandbox.interpreter_paths()
            )
        )

    def _serve_channels(self, admitted: Admitted) -> None:
        while self._transport.is_active():
            channel = self._transport.accept(_LOOK)
            if channel is not None:
                thread = threading.Thread(
                    target=self._serve, args=(channel, admitted), name="sftpd-sftp", daemon=True
                )
                thread.start()
            if self._draining.is_set() and not self._owes_an_answer():
                return

    def _owes_an_answer(self) -> bool:
        """Whether an upload is open, or a client has asked for what it was not told yet."""
        return bool(self._answering) or any(handler.uploading for handler in tuple(self._handlers))

    def _serve(self, channel: paramiko.Channel, admitted: Admitted) -> None:
        if not self._door.wait_for_sftp(channel, _PATIENCE):
            self._door.forget(channel)
            _end(channel)
            return
        view = View(admitted.folders, admitted.permissions, self._monitor)
        handler = Handler(view, admitted, SystemClock())
        self._handlers.add(handler)
        channel.settimeout(self._settings.idle_timeout)
        try:
            self._answer_all(channel, handler)
        except ProtocolError as error:
            _log.warning("protocol_error", account=admitted.account, error=str(error))
        except ProcessError:
            self._transport.close()
        except TimeoutError:
            _log.info("idle", account=admitted.account)
        except (OSError, EOFError) as error:
            _log.info("connection_lost", account=admitted.account, error=str(error))
        finally:
            handler.end()
            self._handlers.discard(handler)
            self._answering.discard(handler)
            view.close()
            self._door.forget(channel)
            _end(channel)

    def _answer_all(self, channel: paramiko.Channel, handler: Handler) -> None:
        engine = Engine()
        while data := channel.recv(_CHUNK):
            self._answering.add(handler)
            for batch in _batches(handler.answer(event) for event in engine.receive(data)):
                channel.sendall(batch)
            for remark in handler.take_remarks():
                channel.sendall_stderr(f"sftpd: {remark}\r\n".encode())
            self._answering.discard(handler)

    def _report_fault(self) -> None:
        fault = self._transport.get_exception()
        if fault is not None and not isinstance(fault, EOFError):
            _log.info("connection_failed", error=str(fault))


def _batches(replies: Iterable[bytes]) -> Iterable[bytes]:
    """Join small replies to one packet's worth, so that many of them cost one send."""
    batch: list[bytes] = []
    size = 0
    for reply in replies:
        batch.append(reply)
        size += len(reply)
        if size >= _REPLY_BATCH:
            yield b"".join(batch)
            batch, size = [], 0
    if batch:
        yield b"".join(batch)


def _end(channel: paramiko.Channel) -> None:
    """Close a channel with exit status 0, without which clients such as `scp -s` report failure."""
    try:
        channel.send_exit_status(0)
        channel.close()
    except (OSError, EOFError, paramiko.SSHException):
        return
