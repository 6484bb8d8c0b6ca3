"""Packets: what is sealed is opened, by paramiko's own Packetizer too, and what was touched is refused."""

import hashlib
import os
import socket
from collections.abc import Callable

import paramiko
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.packet import Packetizer as Stock

from sftpd.ssh.incoming import Incoming
from sftpd.ssh.outgoing import Outgoing
from sftpd.ssh.sealing import Clear, Keys, Opening, Sealing, opening_with, sealing_with

KEY, IV, MAC_KEY = bytes(range(16)), bytes(range(16, 32)), bytes(range(32))
SIZES = [1, 2, 11, 12, 13, 27, 28, 100, 4096, 32_777, 255 * 1024 + 9]

Pair = Callable[[], tuple[Sealing, Opening]]


def cbc_or_ctr(mode: str) -> tuple[object, object]:
    cipher = Cipher(algorithms.AES(KEY), {"ctr": modes.CTR, "cbc": modes.CBC}[mode](IV))
    return cipher.encryptor(), cipher.decryptor()


def with_mac(mode: str, *, etm: bool) -> tuple[Sealing, Opening]:
    encryptor, decryptor = cbc_or_ctr(mode)
    out, back = (Keys(cipher, 16, hashlib.sha256, 32, MAC_KEY) for cipher in (encryptor, decryptor))
    return sealing_with(out, etm=etm, nonce=None), opening_with(back, etm=etm, nonce=None)


def gcm() -> tuple[Sealing, Opening]:
    keys = Keys(AESGCM(KEY), 16, None, 16, None)
    return sealing_with(keys, etm=False, nonce=IV[:12]), opening_with(keys, etm=False, nonce=IV[:12])


PAIRS: dict[str, Pair] = {
    "clear": lambda: (Clear(), Clear()),
    "gcm": gcm,
    "ctr, then mac": lambda: with_mac("ctr", etm=True),
    "ctr and mac": lambda: with_mac("ctr", etm=False),
    "cbc and mac": lambda: with_mac("cbc", etm=False),
}


class Pipe:
    """A socket that keeps what is sent, and gives it back in pieces."""

    def __init__(self, piece: int = 1 << 20) -> None:
        self.sent = bytearray()
        self.piece = piece

    def fileno(self) -> int:
        raise AssertionError("nothing is waited for")

    def send(self, data: memoryview, flags: int, /) -> int:
        self.sent += data
        return len(data)

    def recv_into(self, buffer: memoryview, nbytes: int, flags: int, /) -> int:
        part = self.sent[: min(self.piece, len(buffer))]
        if not part:
            raise BlockingIOError
        buffer[: len(part)] = part
        del self.sent[: len(part)]
        return len(part)


def receive(incoming: Incoming) -> bytes:
    while (payload := incoming.next_payload()) is None:
        assert incoming.fill(0)
    return bytes(payload)


def seal(sealing: Sealing, payloads: list[bytes]) -> Pipe:
    pipe = Pipe()
    outgoing = Outgoing(pipe)
    outgoing.sealing = sealing
    for payload in payloads:
        outgoing.seal_bytes(payload)
        assert outgoing.flush()
    return pipe


@pytest.mark.parametrize("piece", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize("kind", PAIRS)
def test_what_is_sealed_is_opened(kind: str, piece: int) -> None:
    sealing, opening = PAIRS[kind]()
    payloads = [os.urandom(size) for size in (SIZES if piece > 1000 else SIZES[:8])]
    pipe = seal(sealing, payloads)
    pipe.piece = piece
    incoming = Incoming(pipe)
    incoming.opening = opening
    assert [receive(incoming) for _ in payloads] == payloads
    assert incoming.next_payload() is None


@pytest.mark.parametrize("kind", [kind for kind in PAIRS if kind != "clear"])
@pytest.mark.parametrize("at", [4, 5, 30, -1])
def test_what_was_touched_is_refused(kind: str, at: int) -> None:
    sealing, opening = PAIRS[kind]()
    pipe = seal(sealing, [bytes(100)])
    pipe.sent[at] ^= 1
    incoming = Incoming(pipe)
    incoming.opening = opening
    with pytest.raises(paramiko.SSHException):
        receive(incoming)


def test_padding_is_not_what_was_sent_before() -> None:
    pipe = seal(Clear(), [b"secret" * 50, b"x"])
    assert pipe.sent[-16:] == bytes([0, 0, 0, 12, 10]) + b"x" + bytes(10)


@pytest.mark.parametrize("length", [0, 4, 5, 13, 16 + 1, 263_169 + 16, 2**32 - 1])
@pytest.mark.parametrize("kind", ["clear", "gcm", "ctr, then mac"])
def test_a_length_out_of_bounds_is_refused_before_its_packet_has_come(kind: str, length: int) -> None:
    pipe = Pipe()
    pipe.sent += length.to_bytes(4, "big") + bytes(28)
    incoming = Incoming(pipe)
    incoming.opening = PAIRS[kind]()[1]
    with pytest.raises(paramiko.SSHException, match="bytes"):
        receive(incoming)


@pytest.mark.parametrize("padding", [0, 3, 11, 255])
def test_padding_out_of_bounds_is_refused(padding: int) -> None:
    pipe = Pipe()
    pipe.sent += (12).to_bytes(4, "big") + bytes([padding]) + bytes(11)
    with pytest.raises(paramiko.SSHException, match="padding"):
        receive(Incoming(pipe))


@pytest.mark.parametrize("kind", PAIRS)
def test_paramiko_s_own_packetizer_understands_each(kind: str) -> None:
    sealing, opening = PAIRS[kind]()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stock = Stock(theirs)
        _key_stock(stock, kind)
        outgoing, incoming = Outgoing(ours), Incoming(ours)
        outgoing.sealing, incoming.opening = sealing, opening
        for size in (1, 27, 28, 4096, 32_777):
            payload = bytes([94]) + os.urandom(size)
            outgoing.seal_bytes(payload)
            outgoing.flush_all()
            number, message = stock.read_message()
            assert bytes([number]) + message.asbytes() == payload
            reply = paramiko.Message(payload)
            stock.send_message(reply)
            assert receive(incoming) == payload


def _key_stock(stock: Stock, kind: str) -> None:
    if kind == "gcm":
        for direction, iv in ((stock.set_outbound_cipher, "iv_out"), (stock.set_inbound_cipher, "iv_in")):
            direction(AESGCM(KEY), 16, None, 16, None, aead=True, **{iv: IV[:12]})
    elif kind != "clear":
        encryptor, decryptor = cbc_or_ctr(kind[:3])
        etm = "then" in kind
        stock.set_outbound_cipher(
            encryptor, 16, hashlib.sha256, 32, MAC_KEY, sdctr=kind[:3] == "ctr", etm=etm
        )
        stock.set_inbound_cipher(decryptor, 16, hashlib.sha256, 32, MAC_KEY, etm=etm)


def test_a_sequence_number_does_not_begin_again_before_keys_are_there() -> None:
    outgoing = Outgoing(Pipe())
    outgoing.sequence = 2**32 - 1
    with pytest.raises(paramiko.SSHException, match="sequence"):
        outgoing.seal_bytes(b"x")
    outgoing = Outgoing(Pipe())
    outgoing.sequence, outgoing.may_wrap = 2**32 - 1, True
    outgoing.seal_bytes(b"x")
    assert outgoing.sequence == 0
