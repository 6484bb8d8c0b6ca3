"""The staging area of one account: unpublished parts, in the shape of the tree the partner writes to."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import NamedTuple, Self

from sftpd.errors import RefusedError
from sftpd.files.beneath import FILE_MODE, Listing, Parts, Root

_TEMPORARY = (b".part", b".filepart", b".partial", b".tmp", b"~")
_REMOVED = b".fuse_hidden"
"""How the name begins that FUSE gives a file which is removed while it is open."""

READ_WRITE = os.O_RDWR | os.O_NOFOLLOW
"""The flags by which a part is opened that is read as well."""

_TRIES = 16
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_TRUNC
_MAKING = os.O_CREAT | os.O_EXCL | os.O_TRUNC


_UNFINISHED = stat.S_ISVTX
"""The bit in the mode of a part that is being filled with a copy: clients never set it."""
_HOLES_MEANT = stat.S_ISGID
"""The bit in the mode of a part that was closed with holes in it, and is as its client wants it: the same."""


def is_unfinished(found: os.stat_result) -> bool:
    """Whether something staged is a copy that is not whole: one being made, or left by who died of it."""
    return bool(found.st_mode & _UNFINISHED) and stat.S_ISREG(found.st_mode)


def looks_temporary(name: bytes) -> bool:
    """Whether a client means to rename this file when it is whole (DESIGN §5), or to remove it."""
    return name.lower().endswith(_TEMPORARY) or name.startswith(_REMOVED)


def final_name(name: bytes) -> bytes:
    """What a file is to be called whose name looks temporary: the name without what says so."""
    ends = [len(name) - len(end) for end in _TEMPORARY if name.lower().endswith(end)]
    return name[: min(ends, default=0)]


class Cut(NamedTuple):
    """A part that had holes: how long it is now, and was."""

    parts: Parts
    size: int
    before: int


class OpenPart(NamedTuple):
    """A part that is open for writing, alone."""

    fd: int
    lock: int
    """A descriptor for reading, which keeps all other writers away until it is closed."""

    def again(self) -> Self:
        """The same, to be closed for itself."""
        return self._replace(fd=os.dup(self.fd), lock=os.dup(self.lock))

    def begin_copy(self) -> None:
        """Empty it, and have it taken for unfinished until `end_copy`, whoever dies before that."""
        os.fchmod(self.fd, FILE_MODE | _UNFINISHED)
        os.ftruncate(self.fd, 0)

    def end_copy(self) -> None:
        """Have it taken for what it is."""
        os.fchmod(self.fd, FILE_MODE)

    def keep_holes(self) -> None:
        """Have the holes of a durable part last, which was closed as it is."""
        status = os.fstat(self.fd)
        if _first_hole(self.fd, status.st_size) < status.st_size:
            os.fchmod(self.fd, stat.S_IMODE(status.st_mode) | _HOLES_MEANT)
            os.fsync(self.fd)

    def write_on(self) -> None:
        """Have it taken for one that is being written, again."""
        mode = os.fstat(self.fd).st_mode
        if mode & _HOLES_MEANT:
            os.fchmod(self.fd, stat.S_IMODE(mode) & ~_HOLES_MEANT)

    def close(self) -> None:
        """Let the part and its lock go."""
        os.close(self.fd)
        os.close(self.lock)


class Staging:
    """Parts beneath one root. At most one descriptor at a time, in any process, writes a part."""

    def __init__(self, root: Root) -> None:
        self.root = root

    def open_part(self, parts: Parts, flags: int, *, for_copy: bool = False) -> OpenPart:
        """Open a part for writing, creating the folders above it; one made `for_copy` is unfinished.

        Nobody opens it for writing who does not hold its lock; O_TRUNC takes effect once it is held.
        Raises RefusedError `PART_IN_USE` where another writer has it, OSError as the kernel does.
        """
        mode = FILE_MODE | (_UNFINISHED if for_copy else 0)
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

    def cut_at_holes(self) -> Iterator[Cut]:
        """End each part that nobody closed where its first hole begins. For when nobody writes to the area.

        A file system may know how long a file is before it has its content: where the power went in between,
        the file has a hole there, which reads as zeros. Who resumes it goes by its size, and sends no more of
        it than is missing at the end.
        """
        for parts, status in self.root.walk():
            if not stat.S_ISREG(status.st_mode) or status.st_mode & (_HOLES_MEANT | _UNFINISHED):
                continue
            unreadable_or_in_use = suppress(OSError, RefusedError)
            with unreadable_or_in_use, closing(self.open_part(parts, READ_WRITE)) as part:
                before = os.fstat(part.fd).st_size
                if (size := _first_hole(part.fd, before)) < before:
                    os.ftruncate(part.fd, size)
                    os.fsync(part.fd)
                    yield Cut(parts, size, before)

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


def _first_hole(fd: int, size: int) -> int:
    """Where the first hole of a file of a `size` begins; its size where there is none, or none is told."""
    try:
        return os.lseek(fd, 0, os.SEEK_HOLE) if size else 0
    except OSError:
        return size


def _lock(fd: int, parts: Parts) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        raise _in_use(parts) from fault


def _in_use(parts: Parts) -> RefusedError:
    name = repr(b"/".join(parts))
    return RefusedError("another session is writing this file", reason="PART_IN_USE", where=name)
