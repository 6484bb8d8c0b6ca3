"""The child that speaks to one remote: it logs in, and then moves one file after another for the monitor.

It holds no key, writes nowhere but to descriptors that come with a message, and connects to one port.
"""

import contextlib
import hashlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TypeVar

from sftpd.errors import OwnFaultError, RemoteError
from sftpd.link.model import Handling
from sftpd.process.channel import Channel, ChannelClosedError
from sftpd.process.descriptors import close_all
from sftpd.process.messages import Done, Failure, Message, Notice, Request
from sftpd.process.sandbox import Sandbox, interpreter_paths
from sftpd.ssh import courier_messages as m
from sftpd.ssh.courier_delivery import Deliveries
from sftpd.ssh.courier_listing import find
from sftpd.ssh.courier_login import log_in
from sftpd.ssh.courier_probe import Examination
from sftpd.ssh.courier_proof import Known, require_read
from sftpd.ssh.courier_replies import errors_told, told
from sftpd.ssh.courier_sftp import Client, at_will
from sftpd.ssh.messages import Leased
from sftpd.ssh.pace import Pace

ENTRY = "sftpd.ssh.courier:main"

F = TypeVar("F")
B = TypeVar("B")
R = TypeVar("R")

_MEMORY_LIMIT = 1 << 30
_AHEAD = 8
"""What part of a second's worth is under way where the rate is limited."""
_TAKEN = 1 << 20
"""Bytes of which a server has to say that it wrote them until it counts as one that takes files."""
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
            _serve(channel, client, connect)


def _first(channel: Channel) -> m.Connect:
    envelope, fds = channel.receive()
    close_all(fds)
    assert isinstance(envelope, Notice)
    assert isinstance(envelope.body, m.Connect)
    return envelope.body


def _ask(channel: Channel, data: bytes, algorithm: str) -> bytes:
    return channel.call(m.SignLogin(data, algorithm), m.LoginSignature).signature


def _serve(channel: Channel, client: Client, connect: m.Connect) -> None:
    work = Work(client, connect.handling, channel)
    while _is_asked(channel, client, connect.idle):
        envelope, fds = channel.receive()
        assert isinstance(envelope, Request)
        try:
            answer = _answer(work, envelope.body, fds)
        except RemoteError as fault:
            channel.send(Failure(envelope.id, fault.code, str(fault)[: m.TEXT_LIMIT]))
        else:
            channel.reply(envelope, answer)


def _answer(work: "Work", order: Message, fds: tuple[int, ...]) -> Message:
    """Carry out an order; its files are closed before it is answered, for then they count as written."""
    try:
        with errors_told():
            return work.do(order, fds)
    finally:
        close_all(fds)


def _is_asked(channel: Channel, client: Client, idle: float) -> bool:
    """Wait for a message, or its end, and keep the connection up meanwhile; False after `idle` seconds."""
    with errors_told():
        return client.rest(channel.fileno(), idle)


class Work:
    """What a courier does for the monitor, over one SFTP conversation. Methods raise as those of Client."""

    def __init__(self, client: Client, handling: Handling, monitor: Channel) -> None:
        self._client = client
        self._monitor = monitor
        self._deliveries = Deliveries(client, handling)
        self._hashes = handling.check_file
        self._listed: list[m.Entry] = []
        self._left_out = 0

    def do(self, message: Message, fds: tuple[int, ...]) -> Message:
        """Do what a message asks and return its answer."""
        match message:
            case m.Upload(files=files):
                with self._paced(message.rate, sum(file.size for file in files)), self._followed(message):
                    return m.Uploaded(self._each(self._deliveries.upload, files, fds))
            case m.Publish():
                return m.Published(self._published(message))
            case m.Place(files=placed):
                return m.Dealt(self._each(self._deliveries.place, placed, [message] * len(placed)))
            case m.AskContent():
                return m.Content(self._deliveries.holds(message))
            case m.AskSize():
                return m.FileSize(self._client.size(message.path))
            case m.ListDirectory():
                self._list(message)
                return self._next_part()
            case m.ListMore():
                return self._next_part()
            case m.Download(files=fetched):
                sizes = [file.size for file in fetched if file.size is not None]
                with self._paced(message.rate, sum(sizes) if len(sizes) == len(fetched) else None):
                    return m.Downloaded(self._each(self._download, fetched, fds))
            case m.Remove(paths=paths):
                return m.Dealt(self._each(lambda path, _: self._deliveries.remove(path), paths, paths))
            case m.Probe():
                self._client.probe()
            case m.Examine():
                return Examination(self._client, message).findings()
        return Done()

    def _each(
        self, work: Callable[[F, B], R], files: Sequence[F], besides: Sequence[B]
    ) -> tuple[R | m.Fault, ...]:
        """Do it with each file and what belongs to it, all at once; what fails costs that file alone."""
        works = [partial(work, file, other) for file, other in zip(files, besides, strict=True)]
        done = self._client.together(works)
        return tuple(_fault(told(one)) if isinstance(one, RemoteError) else one for one in done)

    def _published(self, order: m.Publish) -> tuple[m.Placed | m.Refused | m.Fault, ...]:
        """Rename files; a refusal is told also where the connection is lost then: it would not come again."""
        known: dict[int, m.Placed | m.Refused] = {}

        def publish(file: m.Renaming, number: int) -> m.Placed | m.Refused:
            known[number] = self._deliveries.publish(file, order)
            return known[number]

        numbers = range(len(order.files))
        try:
            with errors_told():
                return self._each(publish, order.files, numbers)
        except RemoteError as error:
            if not any(isinstance(one, m.Refused) for one in known.values()):
                raise
            return tuple(known.get(number, _fault(error)) for number in numbers)

    @contextlib.contextmanager
    def _paced(self, rate: int | None, size: int | None) -> Iterator[None]:
        """Move a file of that size no faster than the monitor lets."""
        if rate is None:
            yield
            return
        pace = Pace(rate, self._lease) if size is None else Pace(rate, self._lease, size)
        with self._client.paced(lambda count: self._rest(pace.spend(count, monotonic())), rate // _AHEAD):
            yield

    @contextlib.contextmanager
    def _followed(self, order: m.Upload) -> Iterator[None]:
        """Tell the monitor, if it wants to know, once the server has written a part of the files."""
        left = _TAKEN

        def taken(count: int) -> None:
            nonlocal left
            before, left = left, left - count
            if left <= 0 < before:
                self._monitor.call(m.Taken(), Done)

        self._client.taken = taken if order.follow else at_will
        try:
            yield
        finally:
            self._client.taken = at_will

    def _lease(self, size: int) -> float:
        return self._monitor.call(m.Lease(size), Leased).wait

    def _rest(self, seconds: float) -> None:
        if seconds > 0 and self._client.rest(self._monitor.fileno(), seconds):
            raise EOFError("sftpd has hung up")

    def _list(self, order: m.ListDirectory) -> None:
        found = find(self._client, order)
        self._listed, self._left_out = found.files, found.left_out

    def _next_part(self) -> m.Listing:
        part, self._listed = self._listed[: m.BATCH], self._listed[m.BATCH :]
        return m.Listing(tuple(part), more=bool(self._listed), left_out=self._left_out)

    def _download(self, order: m.Fetching, fd: int) -> m.Fetched:
        digest = hashlib.sha256()
        position = 0

        def take(piece: memoryview) -> None:
            nonlocal position
            digest.update(piece)
            _write(fd, piece, position)
            position += len(piece)

        self._client.read_file(order.path, take, order.size, steady=order.steady)
        if order.steady:
            require_read(self._client, order.path, Known(position, digest.hexdigest()), self._hashes)
        return m.Fetched(position, digest.hexdigest())


def _fault(error: RemoteError) -> m.Fault:
    return m.Fault(error.code, str(error)[: m.TEXT_LIMIT])


def _write(fd: int, rest: memoryview, position: int) -> None:
    try:
        while rest:
            written = os.pwrite(fd, rest, position)
            rest, position = rest[written:], position + written
    except OSError as fault:
        raise OwnFaultError(f"the local file cannot be written: {fault.strerror}") from fault
