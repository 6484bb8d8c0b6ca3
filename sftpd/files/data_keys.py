"""The data keys of sealed files, apart from these: wrapped, in slots that are overwritten at the end.

    "sftpd keys v1" and LF, the size of a slot (2 bytes)  then slots: id, wrapped key, zeros

A file whose key is destroyed is unreadable for ever, wherever copies of it lie (NIST SP 800-88 §2.5,
cryptographic erase). A slot is overwritten in its place; on a file system that never does that, such as Btrfs
or ZFS, and within a flash drive, the old wrapped key remains until its block is used again.
"""

import errno
import os
import secrets
import threading
from contextlib import suppress
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sftpd.errors import NotFoundError, SftpdError
from sftpd.files.sealed import KEY_SIZE

_MAGIC = b"sftpd keys v1\n"
_SMALLEST = 64
"""Bytes of a slot at least; the header takes the place of the first."""
_NONCE = 12
_LENGTH = 2
_BLOCK = 1 << 20


class KeyFileError(SftpdError):
    """A file of keys cannot be read, or a key in it is not as it was written."""

    code = "KEY_FILE"


class Wrapping(Protocol):
    """What wraps data keys: a key of ours, or a device or service that keeps its own."""

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """The key as it may lie on disk, bound to its context."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key again. Raises KeyFileError where it is not what was wrapped, or in another context."""
        ...


class WrappingKey:
    """Wraps with a key of ours: AES-256-GCM with a random nonce."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 bytes."""
        self._cipher = AESGCM(secret)

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """As Wrapping says: nonce (12 bytes), key and tag (16 bytes)."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """As Wrapping says."""
        try:
            return self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], context)
        except (InvalidTag, ValueError) as fault:
            raise KeyFileError("a wrapped key is not as it was written, or by another key") from fault


class DataKeys:
    """The keys of one link, in one file; for any thread. No other process may have it open."""

    def __init__(self, fd: int, wrapping: Wrapping, *, name: str, where: str) -> None:
        """`fd` is open for reading and writing and now ours; `name` is bound to every key.

        Raises KeyFileError, naming `where`, for a file that is none of keys.
        """
        self._fd = fd
        self._wrapping = wrapping
        self._name = name
        self._where = where
        self._lock = threading.Lock()
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._slot = 0
        self._count = 0
        self.damaged: list[int] = []
        """Slots that cannot be read; they are left as they are."""
        try:
            self._load()
        except BaseException:
            os.close(fd)
            raise

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._slots

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def make(self, identifier: str) -> bytes:
        """A new key for what has this id, durable when it is returned; an earlier one is destroyed."""
        key = secrets.token_bytes(KEY_SIZE)
        wrapped = self._wrapping.wrap(key, self._context(identifier))
        entry = _entry(identifier, wrapped)
        with self._lock:
            if self._slot == 0 or (len(entry) > self._slot and self._is_empty()):
                self._begin(len(entry))
            if len(entry) > self._slot:
                raise KeyFileError(
                    f"a wrapped key takes {len(entry)} bytes",
                    where=self._where,
                    expected=f"at most {self._slot}, as when the file was made",
                )
            slot = self._slots.get(identifier)
            if slot is None:
                slot = self._free.pop() if self._free else self._count
            self._count = max(self._count, slot + 1)
            self._put(slot, entry)
            self._slots[identifier] = slot
        return key

    def get(self, identifier: str) -> bytes:
        """The key of what has this id. Raises NotFoundError when there is none, KeyFileError."""
        with self._lock:
            slot = self._slots.get(identifier)
            if slot is None:
                raise NotFoundError(f"no key of {identifier}: it was destroyed", where=self._where)
            found, wrapped = _parse(os.pread(self._fd, self._slot, self._place(slot)), self._where)
        if found != identifier:
            raise KeyFileError(f"slot {slot} is of another file", where=self._where)
        return self._wrapping.unwrap(wrapped, self._context(identifier))

    def destroy(self, identifier: str) -> bool:
        """Overwrite a key, durably; says whether there was one."""
        with self._lock:
            slot = self._slots.get(identifier)
            if slot is None:
                return False
            self._put(slot, b"")
            del self._slots[identifier]
            self._free.append(slot)
        return True

    def identifiers(self) -> set[str]:
        """Of what there are keys."""
        with self._lock:
            return set(self._slots)

    def require_readable(self) -> None:
        """Pass if there are no keys, or one of them can be unwrapped. Raises KeyFileError."""
        with self._lock:
            some = next(iter(self._slots), None)
        if some is not None:
            with suppress(NotFoundError):  # somebody has just destroyed it
                self.get(some)

    def _context(self, identifier: str) -> bytes:
        return f"{self._name}\0{identifier}".encode()

    def _place(self, slot: int) -> int:
        return (slot + 1) * self._slot

    def _is_empty(self) -> bool:
        return not self._slots and not self.damaged

    def _begin(self, needed: int) -> None:
        os.ftruncate(self._fd, 0)
        self._free, self._count = [], 0
        # A power of two, so that none lies across two sectors or blocks: it is written whole or not at all.
        self._slot = max(_SMALLEST, 1 << (needed - 1).bit_length())
        header = _MAGIC + self._slot.to_bytes(_LENGTH, "big")
        os.pwrite(self._fd, header.ljust(self._slot, b"\0"), 0)

    def _put(self, slot: int, entry: bytes) -> None:
        if os.pwrite(self._fd, entry.ljust(self._slot, b"\0"), self._place(slot)) != self._slot:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._where)
        os.fdatasync(self._fd)

    def _load(self) -> None:
        header = os.pread(self._fd, _SMALLEST, 0)
        if not header:
            return
        self._slot = int.from_bytes(header[len(_MAGIC) : len(_MAGIC) + _LENGTH], "big")
        if not header.startswith(_MAGIC) or self._slot < _SMALLEST or self._slot & (self._slot - 1):
            raise KeyFileError("not a file of keys", where=self._where)
        many = _BLOCK // self._slot
        while block := os.pread(self._fd, many * self._slot, self._place(self._count)):
            for start in range(0, len(block), self._slot):
                self._learn(block[start : start + self._slot])
                self._count += 1

    def _learn(self, entry: bytes) -> None:
        """What the next slot holds. A power loss may leave one half written, whose key nobody was told of."""
        if not entry.strip(b"\0"):
            self._free.append(self._count)
            return
        try:
            self._slots[_parse(entry, self._where)[0]] = self._count
        except KeyFileError:
            self.damaged.append(self._count)


def _entry(identifier: str, wrapped: bytes) -> bytes:
    name = identifier.encode()
    sizes = len(name).to_bytes(_LENGTH, "big") + len(wrapped).to_bytes(_LENGTH, "big")
    return sizes + name + wrapped


def _parse(entry: bytes, where: str) -> tuple[str, bytes]:
    name = int.from_bytes(entry[:_LENGTH], "big")
    wrapped = int.from_bytes(entry[_LENGTH : 2 * _LENGTH], "big")
    end = 2 * _LENGTH + name
    try:
        if not name or end + wrapped > len(entry):
            raise ValueError(entry)
        return entry[2 * _LENGTH : end].decode(), entry[end : end + wrapped]
    except ValueError as fault:
        raise KeyFileError(
            "a slot is damaged", where=where, remedy="restore the file from a backup"
        ) from fault
