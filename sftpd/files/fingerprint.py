"""What identifies a file: its content's hash, and cheap marks that tell whether it changed."""

import hashlib
import os

import msgspec

_CHUNK, _PAGE = 1 << 20, 4096


class Fingerprint(msgspec.Struct, frozen=True):
    """SHA-256 (32 bytes) of a content and its size in bytes."""

    sha256: bytes
    size: int


class Snapshot(msgspec.Struct, frozen=True):
    """What a file was when looked at: equal snapshots mean that nobody has written to it since."""

    inode: int
    size: int
    mtime_ns: int

    def __str__(self) -> str:
        """The snapshot as the ledger keeps it."""
        return f"{self.inode}:{self.size}:{self.mtime_ns}"


def identity(fd: int) -> Snapshot:
    """The snapshot of an open file."""
    return snapshot(os.fstat(fd))


def snapshot(stat: os.stat_result) -> Snapshot:
    """The snapshot that a file's attributes amount to."""
    return Snapshot(stat.st_ino, stat.st_size, stat.st_mtime_ns)


def fingerprint(fd: int) -> Fingerprint:
    """Hash an open file from its start, in constant memory.

    Reads by position: the offset, which other holders of the descriptor share, stays where it is.
    """
    digest = hashlib.sha256()
    # To clear a whole chunk would take longer than to hash a small file.
    buffer = memoryview(bytearray(min(_CHUNK, os.fstat(fd).st_size + _PAGE)))
    size = 0
    while count := os.preadv(fd, [buffer], size):
        digest.update(buffer[:count])
        size += count
    return Fingerprint(digest.digest(), size)
