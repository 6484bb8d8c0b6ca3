"""Paramiko's transport as a session uses it: no key in the process, no verification of its own.

This module alone knows the parts of paramiko that are not its public interface.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from time import monotonic
from types import MappingProxyType
from typing import Any, cast

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import (
    MSG_DEBUG,
    MSG_DISCONNECT,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_NAMES,
    MSG_UNIMPLEMENTED,
    cMSG_CHANNEL_OPEN,
    cMSG_CHANNEL_REQUEST,
    cMSG_GLOBAL_REQUEST,
    cMSG_UNIMPLEMENTED,
)
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.message import Message as Packet
from paramiko.packet import NeedRekeyException

from sftpd.errors import RemoteRefusedError, SftpdError
from sftpd.sftp.wire import Reader
from sftpd.ssh import algorithms, signing
from sftpd.ssh.packetizer import Packetizer
from sftpd.ssh.sftp_channel import MAX_DATA, WINDOW, Peer
from sftpd.ssh.signing import RemoteSigner

KEY_EXCHANGES = MappingProxyType(
    {**paramiko.Transport._kex_info, "curve25519-sha256": KexCurve25519}  # type: ignore[attr-defined]  # noqa: SLF001
)
"""Paramiko's key exchanges, with the name that RFC 8731 gives to one of them."""

# Paramiko names what it answers with UNIMPLEMENTED (RFC 4253 §11.4), and fails for want of a name.
for _kind in range(256):
    MSG_NAMES.setdefault(_kind, "unknown")

HOST_KEYS = "hostkeys-00@openssh.com"
"""The request by which a server tells of all its host keys (OpenSSH's PROTOCOL §2.5)."""

_KEYS_LIMIT = 16
_QUESTIONS = "keyboard-interactive"
_KEY_EXCHANGE = range(30, 42)
"""Messages whose meaning depends on the key exchange in use (RFC 4250 §4.1.2)."""

_LEAST_DATA = 64
"""Bytes of channel data that a server must take in one packet."""

_BEFORE_LOGIN = 250
"""Messages that a client may send before it has logged in: each costs us an answer, and it nothing."""

Verify = Callable[["ClientKey", bytes, bytes], bool]
"""(key, signed data, signature) → whether the signature is that key's and the login is granted."""


class ClientKey(paramiko.PKey):
    """A client's public key, which only the monitor looks into."""

    public_blob = None

    def __init__(self, algorithm: str, verify: Verify, packet: Packet) -> None:
        self.algorithm = algorithm
        self.blob: bytes = packet.asbytes()
        self.user = ""
        self._verify = verify

    def asbytes(self) -> bytes:
        """The key as on the wire."""
        return self.blob

    def get_name(self) -> str:
        """The algorithm that the client names."""
        return self.algorithm

    def verify_ssh_sig(self, data: bytes, msg: Packet) -> bool:
        """Have the monitor verify; its answer is the login itself."""
        return self._verify(self, data, msg.asbytes())

    @property
    def _fields(self) -> tuple[Any, ...]:
        return (self.algorithm, self.blob)


class _AuthHandler(AuthHandler):
    """Takes any key in a login request for the monitor to judge; paramiko's ends the connection for some."""

    def __init__(self, transport: paramiko.Transport, verify: Verify) -> None:
        super().__init__(transport)
        self._verify = verify

    def _generate_key_from_request(self, algorithm: str, keyblob: bytes) -> ClientKey:
        return ClientKey(algorithm, self._verify, Packet(keyblob))

    def _parse_userauth_info_response(self, m: Packet) -> None:
        _require_items(m, 4)
        super()._parse_userauth_info_response(m)  # type: ignore[misc]  # private, so not in the stubs


class _Transport(paramiko.Transport):
    """What both ends share: our packetizer, our name, and no trust in what messages say of themselves."""

    # Paramiko's own, which its stubs leave out.
    kex_engine: Any
    remote_cipher: str
    local_cipher: str
    _channels: Any
    _channel_handler_table: Mapping[int, Callable[..., object]]
    _check_banner: Callable[[], None]
    _enforce_strict_kex: Callable[[int], None]
    _expect_packet: Callable[[int], None]
    _expected_packet: tuple[int, ...]
    _handler_table: Mapping[int, Callable[..., object]]
    _next_channel: Callable[[], int]
    _send_kex_init: Callable[[], None]
    _send_message: Callable[[Packet], None]

    def __init__(self, connection: socket.socket, identification: str, **options: Any) -> None:
        """`options` are further ones of paramiko's Transport."""
        super().__init__(
            connection,
            default_window_size=WINDOW,
            default_max_packet_size=MAX_DATA,
            packetizer_class=partial(Packetizer, now=monotonic),  # type: ignore[arg-type]  # stands in for it
            **options,
        )
        self.wire = cast("Packetizer", self.packetizer)
        self.wire.drops_strange_data = True
        self.local_version = identification
        self._agreed_key_exchange = ""
        self._kex_info = {
            name: partial(self._begin_exchange, name, engine) for name, engine in KEY_EXCHANGES.items()
        }

    def start(self) -> None:
        """Start no thread: whoever waits for something serves the connection."""

    def legacy_in_use(self) -> list[str]:
        """The algorithms agreed on that are no standard."""
        inward, outward = self.remote_cipher, self.local_cipher
        macs = () if outward in algorithms.STANDARD.ciphers else (self.local_mac,)
        return algorithms.legacy((self._agreed_key_exchange, inward, outward, *macs))

    def peer_of(self, channel: paramiko.Channel) -> Peer:
        """The other end of a channel."""
        return Peer(channel.remote_chanid, channel.out_window_size, channel.out_max_packet_size)

    def _begin_exchange(self, name: str, engine: type[Any], transport: paramiko.Transport) -> Any:
        self._agreed_key_exchange = name
        return engine(transport)

    def _send_user_message(self, data: Packet) -> None:
        # Paramiko waits here for the end of a key exchange, in the thread that alone can bring it about.
        # The packetizer keeps the message back instead.
        self._send_message(data)

    def _parse_debug(self, m: Packet) -> None:
        """Ignore it (RFC 4253 §11.3): to log its text, paramiko takes time that grows with its square."""

    def _parse_ext_info(self, msg: Packet) -> None:
        _require_items(msg, 8)
        super()._parse_ext_info(msg)  # type: ignore[misc]  # private, so not in the stubs


class CourierTransport(_Transport):
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


class SessionTransport(_Transport):
    """The server's side of one connection, served in the thread that calls `run`."""

    def __init__(
        self,
        connection: socket.socket,
        identification: str,
        signers: Iterable[RemoteSigner],
        verify: Verify,
        *,
        watch: Callable[[], None],
        compat: Iterable[str] = (),
    ) -> None:
        """`verify` decides on logins by public key; `watch` is called as Packetizer.watch has it.

        `compat` names what is offered besides the standard (algorithms.COMPAT).
        """
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(connection, identification)
        self.wire.watch = watch
        self.wire.messages_left = _BEFORE_LOGIN
        self._open: dict[int, paramiko.Channel] = {}
        algorithms.restrict(self.get_security_options(), algorithms.offer(compat))
        self._preferred_pubkeys = algorithms.SIGNATURES
        self._verify = verify
        for signer in signers:
            for name in signing.algorithms(signer.get_name()):
                self.server_key_dict[name] = signer

    def run(self) -> None:
        """Serve until the connection ends; `get_exception` tells why, by SSHException for what is not SSH."""
        super().run()
        fault = self.saved_exception
        if isinstance(fault, ValueError):
            # Paramiko takes keys and texts from messages as if they could not be wrong.
            self.saved_exception = paramiko.SSHException(f"message cannot be read: {fault}")

    def let_in(self) -> None:
        """Take any number of messages from now on."""
        self.wire.messages_left = None

    def announce_host_keys(self, blobs: Iterable[bytes]) -> None:
        """Tell the client of all host keys (hostkeys-00@openssh.com, OpenSSH's PROTOCOL §2.5).

        While it logs in: it is told once it has been let in.
        """
        message = Packet()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string(HOST_KEYS)
        message.add_boolean(False)
        for blob in blobs:
            message.add_string(blob)
        self.wire.later(partial(self._send_user_message, message))

    def _ensure_authed(self, kind: int, message: Packet) -> Packet | None:
        refusal: Packet | None = super()._ensure_authed(kind, message)  # type: ignore[misc]  # private
        if refusal is not None and not refusal.asbytes():
            raise paramiko.SSHException(f"message {kind} comes before the login")
        return refusal

    def _activate_inbound(self) -> None:
        if self.K is None:
            raise paramiko.SSHException("new keys without a key exchange")
        super()._activate_inbound()  # type: ignore[misc]  # private, so not in the stubs

    def count_channels(self) -> int:
        """How many channels are open, or closed on one side only."""
        return len(self._open)

    def _parse_newkeys(self, m: Packet) -> None:
        if self.auth_handler is None:
            self.auth_handler = _AuthHandler(self, self._verify)
        super()._parse_newkeys(m)  # type: ignore[misc]  # private, so not in the stubs

    def _queue_incoming_channel(self, channel: paramiko.Channel) -> None:
        # Paramiko knows channels by weak references, and expects somebody to take them from a list.
        self._open[channel.get_id()] = channel

    def _unlink_channel(self, chanid: int) -> None:
        super()._unlink_channel(chanid)  # type: ignore[misc]  # private, so not in the stubs
        self._open.pop(chanid, None)


def _require_items(message: Packet, size: int) -> None:
    """Refuse a message that says it has more items, of at least `size` bytes, than it has room for.

    Paramiko counts up to what is said: a few bytes would keep it busy for hours, or fill the memory.
    """
    rest = message.get_remainder()
    if int.from_bytes(rest[:4], "big") * size > len(rest) - 4:
        raise paramiko.SSHException("message ends before its last item")


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
