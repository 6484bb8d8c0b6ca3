"""A process in which many sessions run, each in a thread with a sandbox and a channel of its own."""

import contextlib
import ctypes
import gc
import socket
import threading

import msgspec
import structlog

from sftpd.errors import ProcessError
from sftpd.process.channel import Channel, ChannelClosedError, NoticeLostError
from sftpd.process.descriptors import close_all
from sftpd.process.messages import Notice
from sftpd.ssh.messages import Farewell, Serve, ToSession
from sftpd.ssh.session import Drain, Session, Settings, decode_settings

_log = structlog.get_logger()

_M_ARENA_MAX = -8
"""The option of mallopt(3) for the number of heaps."""


def main(channel: socket.socket, args: bytes, _fds: tuple[int, ...]) -> None:
    """Serve the connections that come over `channel` until it closes; `args` are Settings."""
    # glibc gives each thread a heap of its own, which pays where threads allocate at the same time: not here.
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    settings = decode_settings(args)
    # What a session is narrowed to is its thread's; how much all of them take is the process's.
    own = msgspec.structs.replace(settings.limits, files=None, memory=None)
    settings = msgspec.structs.replace(settings, limits=own)
    drain = Drain()
    drain.on_signal()
    with Channel(channel, Serve) as monitor:
        while True:
            try:
                envelope, fds = monitor.receive()
            except ChannelClosedError:
                return
            except NoticeLostError as error:
                # Its connection is closed with what came of it; the other sessions go on.
                _log.error("session_not_started", error=str(error))
                continue
            if not (isinstance(envelope, Notice) and isinstance(envelope.body, Serve) and len(fds) == 2):
                close_all(fds)
                raise ProcessError("host of sessions takes connections and nothing else")
            asks = envelope.body.asks_for_codes
            settings = msgspec.structs.replace(settings, asks_for_codes=asks)
            threading.Thread(
                target=_serve, args=(settings, drain, fds), name="sftpd-session", daemon=True
            ).start()


def _serve(settings: Settings, drain: Drain, fds: tuple[int, ...]) -> None:
    connection, channel = (socket.socket(fileno=fd) for fd in fds)
    with Channel(channel, ToSession) as monitor, connection:
        try:
            Session(settings, monitor, connection, drain).run()
            monitor.notify(Farewell())
        except ProcessError as error:
            _log.info("session_ended", cause=str(error))
    # A session is full of cycles and has megabytes of buffers; this is quick, for what it shares is frozen.
    gc.collect()
