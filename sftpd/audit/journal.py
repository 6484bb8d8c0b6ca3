"""The journal: the leaves that are not yet in a full entry bundle, each durable before it is acknowledged.

A header (magic, index of the first leaf, checksum) and then records of length, checksum and leaf, big-endian.
The checksum covers length and leaf. It is CRC-32 as in zlib, at a gigabyte a second and with no dependency,
where CRC-32C in Python would cost more than all else here: it has to tell a torn tail from a record, and
changes made on purpose are for the tree to find.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sftpd.audit._store import PRIVATE_FILE, replace_file, write_all
from sftpd.errors import AuditError

_MAGIC = b"sftpdaj1"
_BASE = struct.Struct(">8sQ")
_CHECKSUM = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_HEADER_SIZE = _BASE.size + _CHECKSUM.size
_RECORD_SIZE = _LENGTH.size + _CHECKSUM.size


@dataclass(frozen=True, slots=True)
class JournalContents:
    """What a journal holds up to its first byte that is no whole record.

    `base` is the index of the first leaf, `offsets` where each record starts, `end` where the last one ends.
    """

    base: int
    leaves: list[bytes]
    offsets: list[int]
    end: int

    @property
    def stop(self) -> int:
        """The index after the last leaf."""
        return self.base + len(self.leaves)


def encode_journal(base: int, leaves: Sequence[bytes]) -> bytes:
    """The bytes of a journal whose first leaf has the index `base`."""
    head = _BASE.pack(_MAGIC, base)
    return head + _CHECKSUM.pack(zlib.crc32(head)) + encode_records(leaves)


def encode_records(leaves: Sequence[bytes]) -> bytes:
    """The records of `leaves`, one after the other."""
    records: list[bytes] = []
    for leaf in leaves:
        length = _LENGTH.pack(len(leaf))
        records += (length, _CHECKSUM.pack(zlib.crc32(leaf, zlib.crc32(length))), leaf)
    return b"".join(records)


def decode_journal(raw: bytes, where: str) -> JournalContents:
    """Read a journal as far as its records are whole.

    Raises AuditError if the header, which is never torn, is damaged.
    """
    head = raw[: _BASE.size]
    if len(raw) < _HEADER_SIZE or raw[_BASE.size : _HEADER_SIZE] != _CHECKSUM.pack(zlib.crc32(head)):
        raise AuditError("header is damaged at byte 0", where=where)
    magic, base = _BASE.unpack(head)
    if magic != _MAGIC:
        raise AuditError("not a journal of this version", where=where)
    leaves: list[bytes] = []
    offsets: list[int] = []
    start = _HEADER_SIZE
    while (leaf := _record_at(raw, start)) is not None:
        leaves.append(leaf)
        offsets.append(start)
        start += _RECORD_SIZE + len(leaf)
    return JournalContents(base, leaves, offsets, start)


def _record_at(raw: bytes, start: int) -> bytes | None:
    body = start + _RECORD_SIZE
    if body > len(raw):
        return None
    length = raw[start : start + _LENGTH.size]
    end = body + _LENGTH.unpack(length)[0]
    leaf = raw[body:end]
    whole = end <= len(raw) and _CHECKSUM.pack(zlib.crc32(leaf, zlib.crc32(length))) == raw[body - 4 : body]
    return leaf if whole else None


class Journal:
    """An open journal file, for one writer."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self._path = path
        self._scratch = scratch
        self._fd = self._open()

    def append(self, leaves: Sequence[bytes]) -> None:
        """Add `leaves`; when this returns they survive a power loss."""
        write_all(self._fd, encode_records(leaves))
        os.fdatasync(self._fd)

    def restart(self, base: int, leaves: Sequence[bytes]) -> None:
        """Begin anew with `leaves`, the first of index `base`."""
        replace_file(self._path, encode_journal(base, leaves), scratch=self._scratch, mode=PRIVATE_FILE)
        replaced, self._fd = self._fd, self._open()
        os.close(replaced)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
