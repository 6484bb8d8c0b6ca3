"""Paramiko's transport as a courier uses it: one thread, which serves the connection whenever it waits.

Key exchange and login are paramiko's; what its own thread would do with each message is done here.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Any

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import (
    MSG_DEBUG,
    MSG_DISCONNECT,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_UNIMPLEMENTED,
    cMSG_CHANNEL_OPEN,
    cMSG_CHANNEL_REQUEST,
    cMSG_UNIMPLEMENTED,
)
from paramiko.message import Message as Packet
from paramiko.packet import NeedRekeyException

from sftpd.errors import RemoteRefusedError, SftpdError
from sftpd.sftp.wire import Reader
from sftpd.ssh import algorithms
from sftpd.ssh.sftp_channel import MAX_DATA, WINDOW
from sftpd.ssh.transport import HOST_KEYS, Transport

_KEYS_LIMIT = 16
_QUESTIONS = "keyboard-interactive"
_KEY_EXCHANGE = range(30, 42)
"""Messages whose meaning depends on the key exchange in use (RFC 4250 §4.1.2)."""

_LEAST_DATA = 64
"""Bytes of channel data that a server must take in one packet."""


class CourierTransport(Transport):
    """The client's side of one connection, for one thread.

    What waits for the server raises SSHException for nonsense, EOFError or OSError when the connection is
    lost, and TimeoutError after the seconds that it is given.
    """

    def __init__(self, connection: socket.socket, identification: str, compat: Iterable[str] = ()) -> None:
        """`compat` names what is offered besides what every remote is (algorithms.REMOTE_COMPAT)."""
        super().__init__(connection, identification)
        algorithms.restrict(self.get_security_options(), algorithms.offer_to_remote(compat))
        self.announced: tuple[bytes, ...] = ()
        """The host keys that the server says it has, of which it has proven one."""
        self._channel: paramiko.Channel | None = None

    def exchange_keys(self, timeout: float) -> None:
        """Hear who the server is, then exchange keys; each may take `timeout` seconds."""
        self.active, self.banner_timeout = True, timeout
        with self._within(timeout):
            self.wire.write_all(f"{self.local_version}\r\n".encode())
            self._check_banner()
        with self._within(timeout):
            self._send_kex_init()
            self._expect_packet(MSG_KEXINIT)
            self._attend_until(lambda: self.initial_kex_done)

    def try_key(self, user: str, key: paramiko.PKey, timeout: float) -> None:
        """Make one attempt to log in; `is_authenticated` tells whether the server let us in."""
        self._attempt(lambda done: self.auth_publickey(user, key, done), timeout)

    def try_password(self, user: str, password: str, timeout: float) -> None:
        """The same with a password, or as the answer to the one question that a server asks instead."""
        self._attempt(lambda done: self.auth_password(user, password, done), timeout)
        refusal = self.saved_exception
        if isinstance(refusal, paramiko.BadAuthenticationType) and _QUESTIONS in refusal.allowed_types:
            self.auth_handler = handler = AuthHandler(self)
            answers = partial(_answers, password)
            self._attempt(lambda done: handler.auth_interactive(user, answers, done), timeout)

    def open_sftp(self, timeout: float) -> paramiko.Channel:
        """A channel that has the subsystem. Raises ChannelException where the server gives none."""
        self.wire.drops_strange_data = True
        number = self._next_channel()
        # Paramiko knows channels by weak references.
        self._channel = channel = paramiko.Channel(number)
        self._channels.put(number, channel)
        self.channels_seen[number] = True
        channel._set_transport(self)  # type: ignore[attr-defined]  # noqa: SLF001
        channel._set_window(WINDOW, MAX_DATA)  # type: ignore[attr-defined]  # noqa: SLF001
        opened = self.channel_events[number] = threading.Event()
        with self._within(timeout):
            self._send_message(_packet(cMSG_CHANNEL_OPEN, "session", number, WINDOW, MAX_DATA))
            self._attend_until(opened.is_set)
            if not channel.active:
                raise self.saved_exception or paramiko.ChannelException(0, "no channel")
            request = _packet(cMSG_CHANNEL_REQUEST, channel.remote_chanid, "subsystem", True, "sftp")
            self._send_message(request)
            self._attend_until(channel.event.is_set)
        if not channel.event_ready or channel.out_max_packet_size < _LEAST_DATA:
            raise paramiko.ChannelException(0, "no subsystem")
        return channel

    def fileno(self) -> int:
        """The descriptor of the connection."""
        return self.sock.fileno()

    def attend(self) -> None:
        """Serve the connection until a Receiver or `wire.watch` raises."""
        self._attend_until(lambda: False)

    def _attempt(self, begin: Callable[[threading.Event], object], timeout: float) -> None:
        self.saved_exception = None
        done = threading.Event()
        with self._within(timeout):
            begin(done)
            self._attend_until(done.is_set)

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Raise TimeoutError after so long."""
        deadline = monotonic() + seconds

        def look() -> None:
            if monotonic() >= deadline:
                raise TimeoutError

        usual, self.wire.watch = self.wire.watch, look
        try:
            yield
        finally:
            self.wire.watch = usual

    def _attend_until(self, done: Callable[[], bool]) -> None:
        """Do what `Transport.run` does, as long as that is not `done`."""
        while not done():
            if self.wire.need_rekey() and not self.in_kex:
                self._send_kex_init()
            try:
                kind, message = self.wire.read_message()
            except NeedRekeyException:
                continue
            try:
                self._take(kind, message)
            except (SftpdError, paramiko.SSHException, EOFError, OSError):
                raise
            except Exception as fault:
                # Paramiko takes keys and texts from messages as if they could not be wrong.
                raise paramiko.SSHException(f"message cannot be read: {fault}") from fault

    def _take(self, kind: int, message: Packet) -> None:
        """Have paramiko take a message, in the order of `Transport.run`."""
        if kind in (MSG_IGNORE, MSG_DEBUG):
            self._enforce_strict_kex(kind)
            return
        if kind == MSG_DISCONNECT:
            message.get_int()
            raise EOFError(f"the server disconnects: {message.get_text()}")
        expected, self._expected_packet = self._expected_packet, ()
        if expected:
            if kind not in expected:
                raise paramiko.SSHException(f"message {kind} comes where one of {expected} is due")
            if kind in _KEY_EXCHANGE:
                self.kex_engine.parse_next(kind, message)
                return
        handle: Callable[..., object] | None
        if (handle := self._handler_table.get(kind)) is not None:
            handle(message)
        elif (handle := self._channel_handler_table.get(kind)) is not None:
            channel = self._channels.get(message.get_int())
            if channel is not None:
                handle(channel, message)
        elif (handle := getattr(self.auth_handler, "_handler_table", {}).get(kind)) is not None:
            handle(message)
        elif kind != MSG_UNIMPLEMENTED:
            self._send_message(_packet(cMSG_UNIMPLEMENTED, message.seqno))

    def _parse_global_request(self, m: Packet) -> None:
        if m.get_text() == HOST_KEYS:
            m.get_boolean()
            rest = Reader(memoryview(m.get_remainder()))
            self.announced = tuple(rest.string() for _ in range(_KEYS_LIMIT) if not rest.at_end)
            return
        m.rewind()
        super()._parse_global_request(m)  # type: ignore[misc]  # private, so not in the stubs


def _packet(kind: bytes, *items: Any) -> Packet:
    packet = Packet()
    packet.add_byte(kind)
    packet.add(*items)
    return packet


def _answers(password: str, _title: str, _instructions: str, fields: Sequence[object]) -> list[str]:
    """What a server is told that asks for a password its own way. Raises RemoteRefusedError for more."""
    if len(fields) > 1:
        raise RemoteRefusedError("asks for more than a password")
    return [password] * len(fields)
