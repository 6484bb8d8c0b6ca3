"""How one packet is protected: AES-GCM, or a cipher with a MAC (RFC 4253 §6, RFC 5647, OpenSSH's EtM).

Pure arithmetic on buffers. A packet is the length field, the padding's length, the payload and the padding.
"""

import hmac
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import paramiko

LENGTH_SIZE = 4
LARGEST = 256 * 1024 + 1024
"""The longest packet in bytes that is opened: channel data of 255 KiB with what goes around it."""

_SMALLEST = 5
_GCM_TAG = 16
_GCM_BLOCK = 16
_COUNTER_MASK = 2**64 - 1

UINT32 = struct.Struct(">I")
_UINT64 = struct.Struct(">Q")


class Sealing(Protocol):
    """Protects what goes out. Padding makes the packet, `uncounted` bytes of it aside, whole blocks."""

    block: int
    uncounted: int
    tail: int
    """Bytes that follow a sealed packet."""

    def seal(self, sequence: int, packet: memoryview, out: memoryview) -> None:
        """Write the sealed packet and its tail to the front of `out`, which has a block to spare."""
        ...


class Opening(Protocol):
    """Undoes what the other side's Sealing did."""

    head: int
    """Bytes that must be there before the length is known."""
    tail: int

    def length(self, received: memoryview) -> int:
        """The packet's length, its length field aside; `received` begins with `head` bytes of it."""
        ...

    def open(self, sequence: int, received: memoryview, plain: memoryview) -> memoryview:
        """Check and decrypt a packet and its tail; returns a window on `plain`, from the padding's length on.

        Raises SSHException where they are not what the other side sent.
        """
        ...


class Keys(NamedTuple):
    """What a key exchange gives for one direction, in the order of paramiko's arguments."""

    cipher: Any
    """AESGCM, or a CipherContext of `cryptography`."""
    block: int
    mac: Callable[[], Any] | None
    """The constructor of the MAC's hash function; None for AES-GCM."""
    mac_size: int
    mac_key: bytes | None


class _ReadableLength:
    """A length field that can be read before its packet is opened."""

    block: int
    uncounted: int

    def length(self, received: memoryview) -> int:
        """As Opening says. Raises SSHException unless it is in bounds and makes whole blocks."""
        length: int = UINT32.unpack_from(received)[0]
        counted = LENGTH_SIZE + length - self.uncounted
        if not _SMALLEST <= length <= LARGEST or counted % self.block:
            raise paramiko.SSHException(f"packet of {length} bytes")
        return length


class Clear(_ReadableLength):
    """No protection: the state before the first key exchange, in both directions."""

    block = 8
    uncounted = 0
    head = LENGTH_SIZE
    tail = 0

    def seal(self, sequence: int, packet: memoryview, out: memoryview) -> None:
        """As Sealing says."""
        del sequence
        out[: len(packet)] = packet

    def open(self, sequence: int, received: memoryview, plain: memoryview) -> memoryview:
        """As Opening says."""
        del sequence
        body = received[LENGTH_SIZE:]
        plain[: len(body)] = body
        return plain[: len(body)]


class _Gcm:
    """The nonce of AES-GCM: four fixed bytes and a counter of packets (RFC 5647 §7.1)."""

    block = _GCM_BLOCK
    uncounted = LENGTH_SIZE
    head = LENGTH_SIZE
    tail = _GCM_TAG

    def __init__(self, aead: Any, nonce: bytes) -> None:
        """`aead` is the AESGCM of `cryptography`, `nonce` the first one."""
        self._aead = aead
        self._fixed = nonce[:4]
        self._counter = int.from_bytes(nonce[4:], "big")

    def _next_nonce(self) -> bytes:
        nonce = self._fixed + _UINT64.pack(self._counter)
        self._counter = (self._counter + 1) & _COUNTER_MASK
        return nonce


class GcmSealing(_Gcm):
    """AES-GCM outwards."""

    def seal(self, sequence: int, packet: memoryview, out: memoryview) -> None:
        """As Sealing says."""
        del sequence
        size = len(packet)
        out[:LENGTH_SIZE] = packet[:LENGTH_SIZE]
        self._aead.encrypt_into(
            self._next_nonce(),
            packet[LENGTH_SIZE:],
            packet[:LENGTH_SIZE],
            out[LENGTH_SIZE : size + _GCM_TAG],
        )


class GcmOpening(_Gcm, _ReadableLength):
    """AES-GCM inwards."""

    def open(self, sequence: int, received: memoryview, plain: memoryview) -> memoryview:
        """As Opening says."""
        del sequence
        size = len(received) - LENGTH_SIZE - _GCM_TAG
        body = plain[:size]
        try:
            self._aead.decrypt_into(self._next_nonce(), received[LENGTH_SIZE:], received[:LENGTH_SIZE], body)
        except Exception as fault:
            raise paramiko.SSHException("packet is not authentic") from fault
        return body


class _Mac:
    """A cipher's running state and the MAC that goes with it (RFC 4253 §6.4)."""

    def __init__(self, keys: Keys) -> None:
        assert keys.mac is not None
        assert keys.mac_key is not None
        self._cipher = keys.cipher
        self.block = keys.block
        self.tail = keys.mac_size
        self._keyed = hmac.new(keys.mac_key, digestmod=keys.mac)

    def _mac(self, sequence: int, packet: memoryview) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(UINT32.pack(sequence))
        keyed.update(packet)
        return keyed.digest()[: self.tail]

    def _require(self, sequence: int, packet: memoryview, mac: memoryview) -> None:
        if not hmac.compare_digest(self._mac(sequence, packet), mac):
            raise paramiko.SSHException("packet is not authentic")


class EtmSealing(_Mac):
    """Encrypt, then MAC, outwards: the length stays readable."""

    uncounted = LENGTH_SIZE

    def seal(self, sequence: int, packet: memoryview, out: memoryview) -> None:
        """As Sealing says."""
        size = len(packet)
        out[:LENGTH_SIZE] = packet[:LENGTH_SIZE]
        self._cipher.update_into(packet[LENGTH_SIZE:], out[LENGTH_SIZE : size + self.block])
        out[size : size + self.tail] = self._mac(sequence, out[:size])


class EtmOpening(_Mac, _ReadableLength):
    """Encrypt, then MAC, inwards."""

    uncounted = LENGTH_SIZE
    head = LENGTH_SIZE

    def open(self, sequence: int, received: memoryview, plain: memoryview) -> memoryview:
        """As Opening says."""
        size = len(received) - self.tail
        self._require(sequence, received[:size], received[size:])
        self._cipher.update_into(received[LENGTH_SIZE:size], plain[: size + self.block])
        return plain[: size - LENGTH_SIZE]


class MacSealing(_Mac):
    """Encrypt and MAC, outwards: RFC 4253's own order, in which the length is encrypted."""

    uncounted = 0

    def seal(self, sequence: int, packet: memoryview, out: memoryview) -> None:
        """As Sealing says."""
        size = len(packet)
        mac = self._mac(sequence, packet)
        self._cipher.update_into(packet, out[: size + self.block])
        out[size : size + self.tail] = mac


class MacOpening(_Mac, _ReadableLength):
    """Encrypt and MAC, inwards: the first block is decrypted to learn the length, and only once."""

    uncounted = 0

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys)
        self.head = keys.block
        self._first: bytes | None = None

    def length(self, received: memoryview) -> int:
        """As Opening says."""
        if self._first is None:
            self._first = self._cipher.update(bytes(received[: self.block]))
        return super().length(memoryview(self._first))

    def open(self, sequence: int, received: memoryview, plain: memoryview) -> memoryview:
        """As Opening says."""
        assert self._first is not None
        size, block = len(received) - self.tail, self.block
        plain[:block] = self._first
        self._first = None
        if size > block:
            self._cipher.update_into(received[block:size], plain[block : size + block])
        self._require(sequence, plain[:size], received[size:])
        return plain[LENGTH_SIZE:size]


def sealing_with(keys: Keys, *, etm: bool, nonce: bytes | None) -> Sealing:
    """What seals with these keys; with a first `nonce` they are AES-GCM's."""
    if nonce is not None:
        return GcmSealing(keys.cipher, nonce)
    return EtmSealing(keys) if etm else MacSealing(keys)


def opening_with(keys: Keys, *, etm: bool, nonce: bytes | None) -> Opening:
    """What opens with these keys."""
    if nonce is not None:
        return GcmOpening(keys.cipher, nonce)
    return EtmOpening(keys) if etm else MacOpening(keys)
