"""Sealed files: encrypted in chunks, so that any part can be read alone and nothing can be cut off or moved.

    "sftpd sealed v1" and LF  then chunks of 64 KiB, each with its tag; the last may be shorter, or empty

AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015), as age uses it: the nonce
of a chunk is its number (11 bytes, big-endian) and whether it is the last (1 byte). That is safe because a
key seals one file and nothing else.
"""

import os
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sftpd.errors import SftpdError
from sftpd.files import durable

KEY_SIZE = 32
"""Bytes of a data key."""
CHUNK = 64 * 1024
"""Bytes of content in each chunk but the last."""

_MAGIC = b"sftpd sealed v1\n"
_TAG = 16
_SEALED_CHUNK = CHUNK + _TAG


class SealError(SftpdError):
    """A sealed file is not as it was sealed, or not by this key."""

    code = "SEAL"


def seal(source: int, target: int, key: bytes) -> int:
    """Seal the content open at `source` into the empty file at `target`; returns its size in bytes.

    `key` (32 random bytes) may be used for this once. Reads by position from the start; syncs nothing.
    Raises OSError.
    """
    cipher, number = AESGCM(key), 0
    durable.write_all(target, _MAGIC)
    chunk = _read(source, CHUNK, 0)
    while True:
        size = number * CHUNK + len(chunk)
        after = _read(source, CHUNK, size) if len(chunk) == CHUNK else b""
        durable.write_all(target, cipher.encrypt(_nonce(number, is_last=not after), chunk, _MAGIC))
        if not after:
            return size
        chunk, number = after, number + 1


class Opened:
    """A sealed file open for reading; for one thread at a time. `fd` stays the caller's."""

    def __init__(self, fd: int, key: bytes, *, where: str) -> None:
        """Raises SealError, naming `where`, where beginning or end are not as they were sealed."""
        self._fd = fd
        self._cipher = AESGCM(key)
        self._where = where
        sealed = os.fstat(fd).st_size - len(_MAGIC)
        self._last = max(-(-sealed // _SEALED_CHUNK) - 1, 0)
        self.size = sealed - (self._last + 1) * _TAG
        """Bytes of its content."""
        self._known = -1, b""
        if self.size < 0 or _read(fd, len(_MAGIC), 0) != _MAGIC:
            raise SealError("not a sealed file", where=where)
        self._chunk(self._last)  # shows that nothing was cut off

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes of the content from `offset` on; none at its end. Raises SealError."""
        end = min(offset + size, self.size)
        if offset >= end:
            return b""
        first, last = offset // CHUNK, (end - 1) // CHUNK
        data = b"".join(self._chunk(number) for number in range(first, last + 1))
        return data[offset - first * CHUNK : end - first * CHUNK]

    def chunks(self) -> Iterator[bytes]:
        """The content from its start."""
        for number in range(self._last + 1):
            yield self._chunk(number)

    def _chunk(self, number: int) -> bytes:
        if self._known[0] == number:
            return self._known[1]
        sealed = _read(self._fd, _SEALED_CHUNK, len(_MAGIC) + number * _SEALED_CHUNK)
        try:
            chunk = self._cipher.decrypt(_nonce(number, is_last=number == self._last), sealed, _MAGIC)
        except (InvalidTag, ValueError) as fault:
            raise SealError(
                f"chunk {number} of {self._last + 1} is not as it was sealed, or by another key",
                where=self._where,
                remedy="restore the file from a backup",
            ) from fault
        self._known = number, chunk
        return chunk


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _read(fd: int, size: int, offset: int) -> bytes:
    """As many bytes as there are, up to `size`: a read may bring fewer than asked for before the end."""
    parts = []
    while size and (part := os.pread(fd, size, offset)):
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
