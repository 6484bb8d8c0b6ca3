"""SSH: packets under every protection, and all that a client may send before and after the key exchange."""

import contextlib
import hashlib
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import paramiko
from account_sessions import Session
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fuzz_oracle import Source, Target, always, scratch
from paramiko.common import MSG_KEXINIT
from structlog.testing import capture_logs

from sftpd.clock import SystemClock
from sftpd.sftp.wire import frame, string, uint32
from sftpd.ssh import messages as m
from sftpd.ssh import signing
from sftpd.ssh.doorman import Doorman
from sftpd.ssh.handler import Handler
from sftpd.ssh.incoming import Incoming
from sftpd.ssh.sealing import Clear, Keys, Opening, Sealing, opening_with, sealing_with
from sftpd.ssh.sftp_channel import SftpChannel
from sftpd.ssh.signing import RemoteSigner
from sftpd.ssh.transport import SessionTransport, _AuthHandler

# Paramiko tells its log of everything that clients do wrong; so quiet it is in the daemon too.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

_HOST_KEY = paramiko.ECDSAKey.generate()
_KEY, _NONCE, _MAC_KEY = bytes(16), bytes(12), bytes(32)


class _Received:
    """A socket on which everything has come, a few bytes at a time, and the other side has gone."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._source = Source(data)
        self._piece = piece

    def recv_into(self, buffer: memoryview, nbytes: int, flags: int, /) -> int:
        del nbytes, flags
        came = self._source.take(min(self._piece, len(buffer)))
        buffer[: len(came)] = came
        return len(came)


def _clear() -> tuple[Sealing, Opening]:
    return Clear(), Clear()


def _gcm() -> tuple[Sealing, Opening]:
    keys = Keys(AESGCM(_KEY), 16, None, 16, None)
    return sealing_with(keys, etm=False, nonce=_NONCE), opening_with(keys, etm=False, nonce=_NONCE)


def _with_mac(*, etm: bool) -> tuple[Sealing, Opening]:
    cipher = Cipher(algorithms.AES(_KEY), modes.CTR(bytes(16)))
    out, back = (Keys(c, 16, hashlib.sha256, 32, _MAC_KEY) for c in (cipher.encryptor(), cipher.decryptor()))
    return sealing_with(out, etm=etm, nonce=None), opening_with(back, etm=etm, nonce=None)


_PROTECTIONS: tuple[Callable[[], tuple[Sealing, Opening]], ...] = (
    _clear,
    _gcm,
    lambda: _with_mac(etm=True),
    lambda: _with_mac(etm=False),
)


def _packets(data: bytes) -> None:
    """Packets of any length and padding, sealed well and not: each is a payload, or the connection ends."""
    source = Source(data)
    sealing, opening = _PROTECTIONS[source.number(1) % len(_PROTECTIONS)]()
    piece = 1 + source.number(1)
    incoming = Incoming(_Received(_sealed(source, sealing), piece))
    incoming.opening = opening
    with contextlib.suppress(paramiko.SSHException, EOFError):
        while True:
            payload = incoming.next_payload()
            if payload is None:
                incoming.fill(0)


def _sealed(source: Source, sealing: Sealing) -> bytes:
    """What the input makes of packets: `uint8` how, `uint16` length, and the packet or bytes as they are."""
    wire, sequence = bytearray(), 0
    while source:
        how, length = source.number(1), source.number(2)
        body = bytearray(source.take(length))
        if how & 1:
            wire += body
            continue
        said = len(body) if how & 2 else length
        packet = memoryview(bytearray(struct.pack(">I", said) + body))
        out = bytearray(len(packet) + sealing.tail + 64)
        with contextlib.suppress(ValueError):
            sealing.seal(sequence, packet, memoryview(out))
        sequence += 1
        wire += out[: len(packet) + sealing.tail]
    return bytes(wire)


class _Gate:
    """What the monitor answers at the door: one password is right."""

    def __init__(self, admitted: m.Admitted) -> None:
        self._admitted = admitted

    def call(self, body: Any, _expect: type[Any]) -> Any:
        match body:
            case m.CheckPublicKey():
                return m.Allowed(yes=True, completes=True)
            case m.ProveHostKey():
                return m.Signature(b"")
            case m.CheckPassword(password="right"):
                return self._admitted
        return m.Denied()


class _Settled(SessionTransport):
    """A transport that takes its first key exchange for done, and protects nothing: all gets through."""

    def _send_kex_init(self) -> None:
        if self.initial_kex_done:
            super()._send_kex_init()
            return
        self.session_id = self.H = bytes(32)
        self.initial_kex_done = self.packetizer._initial_kex_done = True
        self.auth_handler = _AuthHandler(self, self._verify)

    def _expect_packet(self, *kinds: int) -> None:
        if kinds != (MSG_KEXINIT,):
            super()._expect_packet(*kinds)


class _Server:
    """One connection as a session serves it, but for the process around it."""

    def __init__(self, kind: type[SessionTransport], end: socket.socket, account: Session) -> None:
        self._account = account
        self._channels: dict[int, SftpChannel] = {}
        door = Doorman(_Gate(account.admitted), "banner", True, lambda _: None, self._open)  # type: ignore[arg-type]
        signer = RemoteSigner(_HOST_KEY.asbytes(), lambda data, name: signing.sign(_HOST_KEY, data, name))
        self.transport = kind(end, "SSH-2.0-fuzz", [signer], door.verify, watch=lambda: None)
        door.count_channels = self.transport.count_channels
        self.transport.start_server(threading.Event(), door)

    def run(self) -> None:
        """Serve until the connection ends, as it should for one of two reasons."""
        try:
            self.transport.run()
        finally:
            for channel in tuple(self._channels.values()):
                channel.closed()
            self.transport.close()
        fault = self.transport.get_exception()
        if not isinstance(fault, paramiko.SSHException | EOFError | None):
            raise fault

    def _open(self, channel: paramiko.Channel, _admitted: m.Admitted) -> bool:
        number = channel.get_id()
        if number in self._channels:
            return False
        handler = Handler(self._account.view, self._account.admitted, SystemClock())

        def end(_error: object) -> None:
            self.transport.wire.detach(number)
            del self._channels[number]
            handler.end()
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.send_exit_status(0)
                channel.close()

        peer = self.transport.peer_of(channel)
        self._channels[number] = SftpChannel(self.transport.wire, peer, handler, end)
        self.transport.wire.attach(number, self._channels[number])
        return True


def _serve(kind: type[SessionTransport], account: Session, sent: bytes) -> None:
    """Let a server hear `sent` and then the end; it must end the connection, and in one of the known ways."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with theirs, ours:
        speaker = threading.Thread(target=_speak, args=(theirs, sent))
        speaker.start()
        try:
            _Server(kind, ours, account).run()
        finally:
            ours.close()
            speaker.join()


def _speak(theirs: socket.socket, sent: bytes) -> None:
    with contextlib.suppress(OSError):
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        while theirs.recv(1 << 20):
            pass


def _packet(payload: bytes) -> bytes:
    padding = 8 - (len(payload) + 5) % 8 + 4 * 2
    return struct.pack(">IB", len(payload) + 1 + padding, padding) + payload + bytes(padding)


@contextmanager
def _account() -> Iterator[Session]:
    with scratch() as folder, Session(folder) as account, capture_logs() as said:
        yield account
    assert not [line for line in said if line["event"] == "request_failed"], said


@contextmanager
def _before() -> Iterator[Callable[[bytes], None]]:
    """Messages, or bytes as they are, from the first byte of a connection on."""
    with _account() as account:

        def run(data: bytes) -> None:
            source, sent = Source(data), b""
            if not source.number(1) & 1:
                sent = b"SSH-2.0-fuzz\r\n"
            while source:
                length = source.number(2)
                payload = source.take(length & 0x7FFF)
                sent += payload if length & 0x8000 else _packet(payload)
            _serve(SessionTransport, account, sent)

        yield run


@contextmanager
def _after() -> Iterator[Callable[[bytes], None]]:
    """Messages after the first key exchange, before a login or behind one."""
    with _account() as account:

        def run(data: bytes) -> None:
            source = Source(data)
            messages = [_SERVICE, _LOGIN] if source.number(1) & 1 else []
            while source:
                messages.append(source.take(source.number(2)))
            _serve(_Settled, account, b"SSH-2.0-fuzz\r\n" + b"".join(map(_packet, messages)))

        yield run


def _kexinit(key_exchange: bytes = b"curve25519-sha256") -> bytes:
    cipher, mac = b"aes128-gcm@openssh.com", b"hmac-sha2-256-etm@openssh.com"
    lists = (key_exchange, b"ecdsa-sha2-nistp256", cipher, cipher, mac, mac, b"none", b"none", b"", b"")
    return b"\x14" + bytes(16) + b"".join(map(string, lists)) + bytes(5)


_SERVICE = b"\x05" + string(b"ssh-userauth")
_LOGIN = (
    b"\x32" + b"".join(map(string, (b"alice", b"ssh-connection", b"password"))) + b"\0" + string(b"right")
)


def _open(window: int = 1 << 21, largest: int = 1 << 15) -> bytes:
    return b"\x5a" + string(b"session") + uint32(0) + uint32(window) + uint32(largest)


def _request(kind: bytes, rest: bytes = b"") -> bytes:
    return b"\x62" + uint32(0) + string(kind) + b"\x01" + rest


def _data(data: bytes) -> bytes:
    return b"\x5e" + uint32(0) + string(data)


def _listed(first: int, messages: Iterable[bytes]) -> bytes:
    return bytes((first,)) + b"".join(struct.pack(">H", len(message)) + message for message in messages)


def _packet_seeds() -> Iterable[bytes]:
    body = bytes((8,)) + b"\x02" + bytes(14)
    for protection in range(len(_PROTECTIONS)):
        head = bytes((protection, 40))
        yield head + (b"\x02" + struct.pack(">H", len(body)) + body) * 3
        yield head + b"\x00\x00\x0c" + bytes(12)
        yield head + b"\x01\x00\x08" + b"\xff" * 8
    for padding in (0, 3, 15, 255):
        yield bytes((0, 9)) + b"\x02\x00\x0c" + bytes((padding,)) + bytes(11)


def _before_seeds() -> Iterable[bytes]:
    init = _kexinit()
    share = b"\x1e" + string(os.urandom(32))
    yield _listed(0, [init])
    yield _listed(0, [init, share, b"\x15"])
    yield _listed(0, [init, b"\x1e" + string(bytes(32))])
    yield _listed(0, [init, b"\x1e" + uint32(0xFFFF_FFFF)])
    yield _listed(0, [_kexinit(b"mlkem768x25519-sha256"), b"\x1e" + string(bytes(1216))])
    yield _listed(0, [_SERVICE, _LOGIN])
    yield _listed(0, [init, _LOGIN])
    yield _listed(0, [b"\x34"])
    yield _listed(0, [b"\x02" + string(b"ignored"), b"\x04\x01" + string(b"debug") + string(b""), b"\x01"])
    yield _listed(1, [])
    yield bytes((1,)) + b"\x80\x10" + b"GET / HTTP/1.1\r\n"


def _after_seeds() -> Iterable[bytes]:
    init = frame(1, uint32(3))
    sftp = [_open(), _request(b"subsystem", string(b"sftp"))]
    path = string(b"/upload/x")
    upload = frame(3, uint32(1), path, uint32(0x1A), uint32(0)) + frame(17, uint32(2), path)
    yield _listed(1, [*sftp, _data(init), _data(upload), b"\x60" + uint32(0), b"\x61" + uint32(0)])
    yield _listed(1, [*sftp, b"\x5d" + uint32(0) + uint32(0xFFFF_FFFF), _data(init) * 2])
    yield _listed(1, [*sftp, b"\x5f" + uint32(0) + uint32(1) + string(b"stderr")])
    yield _listed(1, [_open(0, 0), *sftp[1:], _data(init)])
    yield _listed(1, [_open(), *(_request(kind) for kind in (b"shell", b"auth-agent-req@openssh.com"))])
    yield _listed(1, [_open(), _request(b"pty-req", string(b"xterm") + bytes(16) + string(b""))])
    yield _listed(1, [_open(), _request(b"x11-req", b"\0" + string(b"") * 2 + uint32(0))])
    yield _listed(1, [_open(), _request(b"exec", string(b"id")), _request(b"env", string(b"A") * 2)])
    yield _listed(1, [b"\x50" + string(b"tcpip-forward") + b"\x01" + string(b"") + uint32(22)])
    yield _listed(1, [b"\x50" + string(b"hostkeys-prove-00@openssh.com") + b"\x01" + string(b"key")])
    yield _listed(1, [b"\x5a" + string(b"direct-tcpip") + bytes(12) + (string(b"h") + uint32(1)) * 2])
    yield _listed(1, [_kexinit(), _data(b"late"), _open(), b"\x1e" + string(os.urandom(32)), b"\x15"])
    yield _listed(1, [*sftp, _data(init), _kexinit(), _data(upload), b"\x1e" + string(bytes(32))])
    yield _listed(0, [_SERVICE, _LOGIN.replace(b"right", b"wrong"), _LOGIN])
    user = b"".join(map(string, (b"alice", b"ssh-connection")))
    blob = string(b"ssh-ed25519") + string(bytes(32))
    key = string(b"publickey") + b"\x01" + string(b"ssh-ed25519") + string(blob) + string(b"signature")
    yield _listed(0, [_SERVICE, b"\x32" + user + key])
    yield _listed(0, [_SERVICE, b"\x32" + user + string(b"keyboard-interactive") + string(b"") * 2, b"\x3d"])
    yield _listed(0, [_SERVICE, b"\x32" + user + string(b"none")])
    yield _listed(0, [_open(), _data(b"x"), b"\x34", b"\x33" + string(b"none") + b"\0"])
    # Paramiko would count up to what these say.
    yield _listed(1, [b"\x07" + uint32(0xFFFF_FFFF)])
    yield _listed(0, [b"\x07" + uint32(0xFFFF_FFFF)])
    yield _listed(0, [_SERVICE, b"\x3d" + uint32(0xFFFF_FFFF)])
    # And spell out 590,848 bytes that are not there, each time from the first.
    yield _listed(0, [b"\x04\0" + uint32(590_848)])
    yield from (_listed(1, [bytes((kind,))]) for kind in range(256))
    yield from (_listed(0, [bytes((kind,))]) for kind in range(256))


TARGETS = (
    Target("ssh-packets", always(_packets), _packet_seeds),
    Target("ssh-before-keys", _before, _before_seeds),
    Target("ssh-after-keys", _after, _after_seeds),
)
