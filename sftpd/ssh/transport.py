"""Paramiko's transport as a session uses it: no key in the process, no verification of its own.

This module and `courier_transport` alone know the parts of paramiko that are not its public interface.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import monotonic
from types import MappingProxyType
from typing import Any, cast

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import MSG_NAMES, cMSG_GLOBAL_REQUEST
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.message import Message as Packet

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

_GUESSED = ("kex_algo_list", "server_key_algo_list")
"""What must be the first choice of both sides for a guess to be right."""

_DIRECTIONS = (
    ("client_encrypt_algo_list", "client_mac_algo_list"),
    ("server_encrypt_algo_list", "server_mac_algo_list"),
)

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


class Transport(paramiko.Transport):
    """What both ends share: our packetizer, our name, and no trust in what messages say of themselves."""

    # Paramiko's own, which its stubs leave out.
    kex_engine: Any
    remote_cipher: str
    local_cipher: str
    remote_kex_init: bytes
    local_kex_init: bytes
    _channels: Any
    _channel_handler_table: Mapping[int, Callable[..., object]]
    _check_banner: Callable[[], None]
    _enforce_strict_kex: Callable[[int], None]
    _expect_packet: Callable[[int], None]
    _expected_packet: tuple[int, ...]
    _handler_table: Mapping[int, Callable[..., object]]
    _next_channel: Callable[[], int]
    _cipher_info: Mapping[str, Mapping[str, Any]]
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

    def _parse_kex_init(self, m: Packet) -> None:
        """Have the packet dropped that the other side sent on a wrong guess (RFC 4253 §7)."""
        super()._parse_kex_init(m)  # type: ignore[misc]  # private, so not in the stubs
        theirs = self._really_parse_kex_init(Packet(self.remote_kex_init), ignore_first_byte=True)
        if theirs["kex_follows"]:
            ours = self._really_parse_kex_init(Packet(self.local_kex_init), ignore_first_byte=True)
            self.wire.drops_guess = any(theirs[what][:1] != ours[what][:1] for what in _GUESSED)

    def _really_parse_kex_init(self, m: Packet, ignore_first_byte: bool = False) -> dict[str, Any]:
        """What a KEXINIT offers; of MACs ours too, where the cipher authenticates by itself."""
        told: dict[str, Any] = super()._really_parse_kex_init(m, ignore_first_byte)  # type: ignore[misc]  # private
        for ciphers, macs in _DIRECTIONS:
            ours, theirs = self.preferred_ciphers, told[ciphers]
            choosing, choice = (theirs, ours) if self.server_mode else (ours, theirs)
            agreed = next((name for name in choosing if name in choice), "")
            if agreed and self._cipher_info[agreed].get("is_aead"):
                told[macs] = [*told[macs], *self.preferred_macs]
        return told

    def _parse_debug(self, m: Packet) -> None:
        """Ignore it (RFC 4253 §11.3): to log its text, paramiko takes time that grows with its square."""

    def _parse_ext_info(self, msg: Packet) -> None:
        _require_items(msg, 8)
        super()._parse_ext_info(msg)  # type: ignore[misc]  # private, so not in the stubs


class SessionTransport(Transport):
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
        """Take any number of messages from now on, and data for channels that nobody reads.

        Before, data is a message out of its turn, which strict key exchange does not forgive.
        """
        self.wire.messages_left, self.wire.drops_strange_data = None, True

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
