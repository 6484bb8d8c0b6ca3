"""Paramiko's transport as a session uses it: no key in the process, no verification of its own.

This module alone knows the parts of paramiko that are not its public interface.
"""

import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import paramiko
from paramiko.message import Message as Packet
from paramiko.packet import Packetizer

from sftpd.ssh import algorithms, signing
from sftpd.ssh.signing import RemoteSigner

_WINDOW = 2 * 1024 * 1024
_MAX_PACKET = 255 * 1024
_IDENTIFICATION_LIMIT = 1024
"""Bytes within which a client must have named itself; RFC 4253 §4.2 gives it one line of 255."""

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


class _Packetizer(Packetizer):
    """Gives up on a client that goes on and on before its first packet."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self._read_before_packets = 0

    def _read_timeout(self, timeout: float) -> bytes:
        if self._read_before_packets > _IDENTIFICATION_LIMIT:
            raise paramiko.SSHException(": it is over-long")
        data: bytes = super()._read_timeout(timeout)  # type: ignore[misc]  # private, so not in the stubs
        self._read_before_packets += len(data)
        return data


class SessionTransport(paramiko.Transport):
    """The server's side of one connection; `verify` decides on logins by public key."""

    def __init__(
        self, connection: socket.socket, identification: str, signers: Iterable[RemoteSigner], verify: Verify
    ) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(
            connection,
            default_window_size=_WINDOW,
            default_max_packet_size=_MAX_PACKET,
            packetizer_class=_Packetizer,
        )
        self.local_version = identification
        algorithms.restrict(self.get_security_options())
        # What paramiko makes of the key in a login request, by its algorithm.
        self._key_info = {name: partial(ClientKey, name, verify) for name in algorithms.SIGNATURES}
        for signer in signers:
            for name in signing.algorithms(signer.get_name()):
                self.server_key_dict[name] = signer
