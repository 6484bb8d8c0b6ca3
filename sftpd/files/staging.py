"""The staging area of one account: unpublished parts, in the shape of the tree the partner writes to."""

import fcntl
import os
from typing import NamedTuple, Self

from sftpd.errors import RefusedError
from sftpd.files.beneath import FILE_MODE, Listing, Parts, Root

_TEMPORARY = (b".part", b".filepart", b".partial", b".tmp", b"~")
_REMOVED = b".fuse_hidden"
"""How the name begins that FUSE gives a file which is removed while it is open."""

_TRIES = 16
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_TRUNC
_MAKING = os.O_CREAT | os.O_EXCL | os.O_TRUNC


def looks_temporary(name: bytes) -> bool:
    """Whether a client means to rename this file when it is whole (DESIGN §5), or to remove it."""
    return name.lower().endswith(_TEMPORARY) or name.startswith(_REMOVED)


class OpenPart(NamedTuple):
    """A part that is open for writing, alone."""

    fd: int
    lock: int
    """A descriptor for reading, which keeps all other writers away until it is closed."""

    def again(self) -> Self:
        """The same, to be closed for itself."""
        return self._replace(fd=os.dup(self.fd), lock=os.dup(self.lock))

    def close(self) -> None:
        """Let the part and its lock go."""
        os.close(self.fd)
        os.close(self.lock)


class Staging:
    """Parts beneath one root. At most one descriptor at a time, in any process, writes a part."""

    def __init__(self, root: Root) -> None:
        self.root = root

    def open_part(self, parts: Parts, flags: int, mode: int = FILE_MODE) -> OpenPart:
        """Open a part for writing, creating the folders above it.

        Nobody opens it for writing who does not hold its lock; O_TRUNC takes effect once it is held.
        Raises RefusedError `PART_IN_USE` where another writer has it, OSError as the kernel does.
        """
        for _ in range(_TRIES):
            try:
                lock = self._open(parts, flags & ~_WRITING, mode)
            except FileNotFoundError:
                if not flags & os.O_CREAT:
                    raise
                continue
            try:
                _lock(lock, parts)
                fd = self._open_locked(lock, parts, flags)
            except BaseException:
                os.close(lock)
                raise
            if fd is not None:
                return OpenPart(fd, lock)
            os.close(lock)
        raise _in_use(parts)

    def read_part(self, parts: Parts) -> int:
        """Open a part for reading, whoever writes it."""
        return self.root.open(parts, os.O_RDONLY)

    def stat(self, parts: Parts) -> os.stat_result:
        """The attributes of a part or of a folder of the area."""
        return self.root.stat(parts)

    def rename(self, parts: Parts, new_parts: Parts, *, replace: bool) -> None:
        """Give a part another name in the area. Raises FileExistsError unless free or to be replaced."""
        self.root.make_parents(new_parts)
        self.root.rename(parts, self.root, new_parts, replace=replace)
        self.prune(parts)

    def remove(self, parts: Parts) -> None:
        """Drop a part and the folders it leaves empty."""
        self.root.unlink(parts)
        self.prune(parts)

    def prune(self, parts: Parts) -> None:
        """Remove the folders above `parts` that are empty."""
        for depth in range(len(parts) - 1, 0, -1):
            try:
                self.root.rmdir(parts[:depth])
            except FileNotFoundError:
                continue
            except OSError:
                return

    def entries(self, parts: Parts = ()) -> Listing:
        """What lies in one folder of the area."""
        return self.root.scan(parts)

    def _open(self, parts: Parts, flags: int, mode: int) -> int:
        if flags & os.O_CREAT:
            self.root.make_parents(parts)
        return self.root.open(parts, flags, mode)

    def _open_locked(self, lock: int, parts: Parts, flags: int) -> int | None:
        """Open a locked part; None where the name leads elsewhere: its last writer may have renamed it."""
        try:
            fd = self.root.open(parts, flags & ~_MAKING)
        except FileNotFoundError:
            return None
        try:
            if os.path.samestat(os.fstat(fd), os.fstat(lock)):
                if flags & os.O_TRUNC:
                    os.ftruncate(fd, 0)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None


def _lock(fd: int, parts: Parts) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        raise _in_use(parts) from fault


def _in_use(parts: Parts) -> RefusedError:
    name = repr(b"/".join(parts))
    return RefusedError("another session is writing this file", reason="PART_IN_USE", where=name)
