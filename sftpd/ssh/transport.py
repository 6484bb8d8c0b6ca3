"""Paramiko's transport as a session uses it: no key in the process, no verification of its own.

This module alone knows the parts of paramiko that are not its public interface.
"""

import socket
from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import Any, cast

import paramiko
from paramiko.message import Message as Packet

from sftpd.ssh import algorithms, signing
from sftpd.ssh.packetizer import Packetizer
from sftpd.ssh.sftp_channel import MAX_DATA, WINDOW, Peer
from sftpd.ssh.signing import RemoteSigner

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


class SessionTransport(paramiko.Transport):
    """The server's side of one connection, served in the thread that calls `run`."""

    def __init__(
        self,
        connection: socket.socket,
        identification: str,
        signers: Iterable[RemoteSigner],
        verify: Verify,
        watch: Callable[[], None],
    ) -> None:
        """`verify` decides on logins by public key; `watch` is called as Packetizer.watch has it."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(
            connection,
            default_window_size=WINDOW,
            default_max_packet_size=MAX_DATA,
            packetizer_class=partial(Packetizer, now=monotonic),  # type: ignore[arg-type]  # stands in for it
        )
        self.wire = cast("Packetizer", self.packetizer)
        self.wire.watch = watch
        self._open: dict[int, paramiko.Channel] = {}
        self.wire.drops_strange_data = True
        self.local_version = identification
        algorithms.restrict(self.get_security_options())
        # What paramiko makes of the key in a login request, by its algorithm.
        self._key_info = {name: partial(ClientKey, name, verify) for name in algorithms.SIGNATURES}
        for signer in signers:
            for name in signing.algorithms(signer.get_name()):
                self.server_key_dict[name] = signer

    def start(self) -> None:
        """Start no thread: whoever has called `start_server` calls `run`."""

    def count_channels(self) -> int:
        """How many channels are open, or closed on one side only."""
        return len(self._open)

    def peer_of(self, channel: paramiko.Channel) -> Peer:
        """The client's end of a channel."""
        return Peer(channel.remote_chanid, channel.out_window_size, channel.out_max_packet_size)

    def _send_user_message(self, data: Packet) -> None:
        # Paramiko waits here for the end of a key exchange, in the thread that alone can bring it about.
        # The packetizer keeps the message back instead.
        self._send_message(data)  # type: ignore[attr-defined]  # private, so not in the stubs

    def _queue_incoming_channel(self, channel: paramiko.Channel) -> None:
        # Paramiko knows channels by weak references, and expects somebody to take them from a list.
        self._open[channel.get_id()] = channel

    def _unlink_channel(self, chanid: int) -> None:
        super()._unlink_channel(chanid)  # type: ignore[misc]  # private, so not in the stubs
        self._open.pop(chanid, None)
