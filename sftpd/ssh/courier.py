"""The child that speaks to one remote: it logs in, and then moves one file after another for the monitor.

It holds no key, writes nowhere but to descriptors that come with a message, and connects to one port.
"""

import contextlib
import hashlib
import heapq
import logging
import os
import socket
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sftpd.errors import RemoteError
from sftpd.process.channel import Channel, ChannelClosedError, close_all
from sftpd.process.messages import Done, Failure, Message, Notice, Request
from sftpd.process.sandbox import Sandbox, interpreter_paths
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.status import Status
from sftpd.ssh import courier_messages as m
from sftpd.ssh.courier_login import log_in
from sftpd.ssh.courier_proof import Ranges, prove
from sftpd.ssh.courier_replies import StatusReply, errors_told
from sftpd.ssh.courier_sftp import POSIX_RENAME, Client, filling

ENTRY = "sftpd.ssh.courier:main"

LISTING_LIMIT = 10_000
"""Files that one listing names: the first by name."""

_MEMORY_LIMIT = 1 << 30
_RESOLVER = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf")


def sandbox(port: int, *, binds: bool = False) -> Sandbox:
    """What a courier is left with: its interpreter, the resolver's files, and connections to `port`.

    To come from a certain address it `binds`, to any free port: Landlock knows no addresses.
    """
    resolver = tuple(path for path in _RESOLVER if Path(path).exists())
    return Sandbox(
        read=(*interpreter_paths(), *resolver),
        connect_ports=(port,),
        binds=binds,
        files=64,
        memory=_MEMORY_LIMIT,
    )


def main(sock: socket.socket, _arguments: bytes, _fds: tuple[int, ...]) -> None:
    """Log in as the first message says and serve the next ones until the channel closes or none comes."""
    logging.getLogger("paramiko").addHandler(logging.NullHandler())  # what it would say, our errors say
    with Channel(sock, m.ToCourier) as channel, contextlib.suppress(ChannelClosedError):
        connect = _first(channel)
        try:
            client, logged_in = log_in(connect, partial(_ask, channel))
        except RemoteError as fault:
            channel.notify(m.LoginFailed(fault.code, str(fault)[: m.TEXT_LIMIT]))
            return
        channel.notify(logged_in)
        with contextlib.suppress(RemoteError):  # the remote has left: so does the courier
            _serve(channel, client, connect.idle)


def _first(channel: Channel) -> m.Connect:
    envelope, fds = channel.receive()
    close_all(fds)
    assert isinstance(envelope, Notice)
    assert isinstance(envelope.body, m.Connect)
    return envelope.body


def _ask(channel: Channel, data: bytes, algorithm: str) -> bytes:
    return channel.call(m.SignLogin(data, algorithm), m.LoginSignature).signature


def _serve(channel: Channel, client: Client, idle: float) -> None:
    work = Work(client)
    while _is_asked(channel, client, idle):
        envelope, fds = channel.receive()
        assert isinstance(envelope, Request)
        try:
            with errors_told():
                answer = work.do(envelope.body, fds)
            channel.reply(envelope, answer)
        except RemoteError as fault:
            channel.send(Failure(envelope.id, fault.code, str(fault)[: m.TEXT_LIMIT]))
        finally:
            close_all(fds)


def _is_asked(channel: Channel, client: Client, idle: float) -> bool:
    """Wait for a message, or its end, and keep the connection up meanwhile; False after `idle` seconds."""
    with errors_told():
        return client.rest(channel.fileno(), idle)


class Work:
    """What a courier does for the monitor, over one SFTP conversation. Methods raise as those of Client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._listed: list[m.Entry] = []
        self._left_out = 0

    def do(self, message: Message, fds: tuple[int, ...]) -> Message:
        """Do what a message asks and return its answer."""
        match message:
            case m.Upload():
                return m.Uploaded(self._upload(message, *fds))
            case m.Place():
                self._place(message.temporary, message.final)
            case m.AskSize():
                return m.FileSize(self._client.size(message.path))
            case m.ListDirectory():
                self._list(message.path)
                return self._next_part()
            case m.ListMore():
                return self._next_part()
            case m.Download():
                return self._download(message.path, *fds)
            case m.Remove():
                self._client.remove(message.path)
            case m.Probe():
                self._client.probe()
        return Done()

    def _upload(self, order: m.Upload, fd: int) -> m.Proof:
        try:
            sent, size = self._send(order, fd)
        except StatusReply as reply:
            if reply.status is not Status.NO_SUCH_FILE:
                raise
            self._make_parents(order.path)
            sent, size = self._send(order, fd)
        if sent.sha256 != order.sha256:
            raise RemoteError("the file changed while it was sent")
        if size != order.size:
            raise RemoteError(f"{order.size} bytes were sent, the server has {size}")
        return prove(self._client, order.path, sent)

    def _send(self, order: m.Upload, fd: int) -> tuple[Ranges, int | None]:
        sent = Ranges()
        size = self._client.write_file(order.path, filling(fd, order.size, sent.update))
        return sent, size

    def _make_parents(self, path: bytes) -> None:
        """Make the directories above `path`; those that cannot be made may be there already."""
        parts = path.split(b"/")[:-1]
        for count in range(1, len(parts) + 1):
            parent = b"/".join(parts[:count])
            if parent:
                with contextlib.suppress(StatusReply):
                    self._client.make_directory(parent)

    def _place(self, temporary: bytes, final: bytes) -> None:
        client = self._client
        if POSIX_RENAME in client.extensions:
            client.posix_rename(temporary, final)
            return
        try:
            client.rename(temporary, final)
        except StatusReply as reply:
            # SFTP 3 has no code for "it exists": look, and only then make room
            if reply.status is not Status.FAILURE or client.size(final) is None:
                raise
            client.remove(final)
            client.rename(temporary, final)

    def _list(self, path: bytes) -> None:
        found = 0

        def regular() -> Iterator[m.Entry]:
            nonlocal found
            for name, told in self._client.names(path):
                if told.permissions is None or stat.S_ISREG(told.permissions):
                    found += name not in (b".", b"..")
                    if (entry := _entry(name, told)) is not None:
                        yield entry

        self._listed = heapq.nsmallest(LISTING_LIMIT, regular(), key=lambda entry: entry.name)
        self._left_out = found - len(self._listed)

    def _next_part(self) -> m.Listing:
        part, self._listed = self._listed[: m.BATCH], self._listed[m.BATCH :]
        return m.Listing(tuple(part), more=bool(self._listed), left_out=self._left_out)

    def _download(self, path: bytes, fd: int) -> m.Downloaded:
        digest = hashlib.sha256()
        position = 0

        def take(piece: memoryview) -> None:
            nonlocal position
            digest.update(piece)
            _write(fd, piece, position)
            position += len(piece)

        self._client.read_file(path, take)
        return m.Downloaded(position, digest.hexdigest())


def _entry(name: bytes, told: Attributes) -> m.Entry | None:
    """A file of a listing; None for a name that is none, or a file of which too little is told."""
    if not 1 <= len(name) <= m.NAME_LIMIT or name in (b".", b"..") or b"/" in name or b"\0" in name:
        return None
    if told.permissions is None or told.size is None or told.size > m.SIZE_LIMIT:
        return None
    return m.Entry(name, told.size, told.times[1] if told.times else 0)


def _write(fd: int, rest: memoryview, position: int) -> None:
    try:
        while rest:
            written = os.pwrite(fd, rest, position)
            rest, position = rest[written:], position + written
    except OSError as fault:
        raise RemoteError(f"the local file cannot be written: {fault.strerror}") from fault
