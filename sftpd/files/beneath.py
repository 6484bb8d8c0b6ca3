"""Path containment: a folder whose paths the kernel itself keeps inside."""

import errno
import os
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Self

from sftpd.errors import ContainmentError
from sftpd.files.syscalls import open_beneath, rename_without_replacing

Parts = tuple[bytes, ...]
"""A path relative to a root, one component each, as `VirtualPath.parts` has it; empty for the root itself."""

DIRECTORY_MODE = 0o750
FILE_MODE = 0o640

_FOLDER = os.O_PATH | os.O_DIRECTORY
_NOT_NAMES = (b"", b".", b"..")


class Entry(NamedTuple):
    """A name in a directory and its own attributes; a link's are the link's."""

    name: bytes
    stat: os.stat_result


class Listing:
    """The entries of one open directory, in the order the kernel gives them; those that vanish are left out.

    An iterator that holds a descriptor until it is exhausted or closed.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        try:
            self._scan = os.scandir(fd)
        except OSError:
            os.close(fd)
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Entry:
        if self._fd < 0:
            raise StopIteration
        for entry in self._scan:
            try:
                return Entry(os.fsencode(entry.name), entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Let the directory go; harmless when repeated."""
        if self._fd >= 0:
            self._scan.close()
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Root:
    """A folder that no path given to it can leave.

    Every method takes paths as `Parts`, raises OSError as the kernel does, and ContainmentError, with the
    OSError as its cause, for a path that leads out. What changes a directory resolves that directory
    beneath the root first and then names a single component in it, so that no swapped link can divert it.
    """

    def __init__(self, fd: int, label: str) -> None:
        """Take over `fd`, an open directory; `label` is what errors call it."""
        self._fd = fd
        self._synced = -1
        self._lock = Lock()
        self.label = label

    @classmethod
    def at(cls, path: Path) -> Self:
        """Open the folder at a trusted path."""
        return cls(os.open(path, _FOLDER | os.O_CLOEXEC), str(path))

    def sub(self, parts: Parts) -> Self:
        """A root of its own for a folder beneath this one."""
        fd = open_beneath(self._fd, _joined(parts), _FOLDER)
        return type(self)(fd, f"{self.label}/{os.fsdecode(b'/'.join(parts))}")

    def __repr__(self) -> str:
        return f"Root({self.label!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor of the folder (O_PATH), -1 when closed."""
        return self._fd

    def close(self) -> None:
        """Let the folder go; harmless when repeated."""
        with self._lock:
            for fd in (self._fd, self._synced):
                if fd >= 0:
                    os.close(fd)
            self._fd = self._synced = -1

    def reopen(self, path: Path) -> None:
        """Stand for the folder that is at a trusted path now, for who uses this root at the moment too."""
        with self._lock:
            for fd, flags in ((self._fd, _FOLDER), (self._synced, os.O_RDONLY | os.O_DIRECTORY)):
                if fd >= 0:
                    opened = os.open(path, flags | os.O_CLOEXEC)
                    # In one step: the number never means anything but the old folder or the new one.
                    os.dup2(opened, fd, inheritable=False)
                    os.close(opened)

    def sync(self) -> None:
        """Make the names in the folder itself durable."""
        with self._lock:
            if self._synced < 0:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                self._synced = os.open(".", flags, dir_fd=self._fd)
        os.fsync(self._synced)

    def open(self, parts: Parts, flags: int, mode: int = FILE_MODE) -> int:
        """Open a regular file and return its descriptor.

        Never waits on a FIFO or device: raises IsADirectoryError for a directory and OSError(ENXIO) for
        what is neither.
        """
        creating = flags & os.O_CREAT
        safe = flags | os.O_NOCTTY | os.O_NONBLOCK
        fd = open_beneath(self._fd, _joined(parts), safe, mode if creating else 0)
        kind = modes.S_IFMT(os.fstat(fd).st_mode)
        if kind == modes.S_IFREG:
            return fd
        os.close(fd)
        number = errno.EISDIR if kind == modes.S_IFDIR else errno.ENXIO
        raise OSError(number, os.strerror(number), _joined(parts))

    def read(self, parts: Parts, limit: int) -> bytes:
        """The first `limit` bytes of a regular file, which is no link. Raises as `open` does."""
        fd = self.open(parts, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            return os.read(fd, limit)
        finally:
            os.close(fd)

    def stat(self, parts: Parts, *, follow: bool = True) -> os.stat_result:
        """The attributes of what the path names, or of the link itself when not to follow."""
        if not parts:
            return os.fstat(self._fd)
        if len(parts) == 1 and not follow:
            # One name in this very folder, not followed, cannot lead out: no need to resolve it beneath.
            return os.stat(_name(parts), dir_fd=self._fd, follow_symlinks=False)
        fd = open_beneath(self._fd, _joined(parts), os.O_PATH | (0 if follow else os.O_NOFOLLOW))
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def exists(self, parts: Parts) -> bool:
        """Whether anything, a dangling link too, has this name."""
        try:
            self.stat(parts, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def scan(self, parts: Parts = ()) -> Listing:
        """Open a directory to be listed."""
        return Listing(open_beneath(self._fd, _joined(parts), os.O_RDONLY | os.O_DIRECTORY))

    def walk(self) -> Iterator[tuple[Parts, os.stat_result]]:
        """Every path that is no directory, with its own attributes; directories that vanish are left out."""
        directories: list[Parts] = [()]
        while directories:
            directory = directories.pop()
            with suppress(FileNotFoundError, NotADirectoryError), self.scan(directory) as entries:
                for name, status in entries:
                    if modes.S_ISDIR(status.st_mode):
                        directories.append((*directory, name))
                    else:
                        yield (*directory, name), status

    def readlink(self, parts: Parts) -> bytes:
        """The target of a symbolic link, as it is written there."""
        with _parent(self, parts) as (directory, name):
            return os.readlink(name, dir_fd=directory)

    def statvfs(self, parts: Parts = ()) -> os.statvfs_result:
        """The figures of the file system that holds the path."""
        with self._handle(parts) as fd:
            return os.fstatvfs(fd)

    def mkdir(self, parts: Parts, mode: int = DIRECTORY_MODE) -> None:
        """Create one directory."""
        with _parent(self, parts) as (directory, name):
            os.mkdir(name, mode, dir_fd=directory)

    def make_parents(self, parts: Parts, mode: int = DIRECTORY_MODE) -> tuple[Parts, ...]:
        """Create the directories above `parts` that are missing, and return those that were created."""
        created = []
        for depth in range(1, len(parts)):
            try:
                self.mkdir(parts[:depth], mode)
            except FileExistsError:
                continue
            created.append(parts[:depth])
        return tuple(created)

    def unlink(self, parts: Parts) -> None:
        """Remove a file or a link."""
        with _parent(self, parts) as (directory, name):
            os.unlink(name, dir_fd=directory)

    def rmdir(self, parts: Parts) -> None:
        """Remove an empty directory."""
        with _parent(self, parts) as (directory, name):
            os.rmdir(name, dir_fd=directory)

    def rename(self, parts: Parts, other: "Root", other_parts: Parts, *, replace: bool) -> None:
        """Give a file or directory a new name beneath `other`, in one step.

        Raises FileExistsError where the new name is taken and `replace` is not set.
        """
        with _parent(self, parts) as (source, name), _parent(other, other_parts) as (target, new_name):
            if replace:
                os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
            else:
                rename_without_replacing(source, name, target, new_name)

    def link(self, parts: Parts, other: "Root", other_parts: Parts) -> None:
        """Give a file a second name beneath `other`; a symbolic link itself, not what it points to."""
        with _parent(self, parts) as (source, name), _parent(other, other_parts) as (target, new_name):
            os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    def symlink(self, target: bytes, parts: Parts) -> None:
        """Create a symbolic link; `target` may say anything, for following it is contained too."""
        with _parent(self, parts) as (directory, name):
            os.symlink(target, name, dir_fd=directory)

    def chmod(self, parts: Parts, mode: int) -> None:
        """Set the permission bits of a file or directory."""
        with self._handle(parts) as fd:
            os.chmod(_itself(fd), mode)  # noqa: PTH101  (the magic link of a descriptor is not a path)

    def utime(self, parts: Parts, ns: tuple[int, int], *, follow: bool = True) -> None:
        """Set access and modification time, nanoseconds since the epoch."""
        if follow:
            with self._handle(parts) as fd:
                os.utime(_itself(fd), ns=ns)
        else:
            with _parent(self, parts) as (directory, name):
                os.utime(name, ns=ns, dir_fd=directory, follow_symlinks=False)

    def truncate(self, parts: Parts, size: int) -> None:
        """Cut or extend a file to `size` bytes; what remains keeps its content."""
        fd = self.open(parts, os.O_WRONLY)
        try:
            os.ftruncate(fd, size)
        finally:
            os.close(fd)

    @contextmanager
    def _handle(self, parts: Parts) -> Iterator[int]:
        fd = open_beneath(self._fd, _joined(parts), os.O_PATH)
        try:
            yield fd
        finally:
            os.close(fd)


class _parent:  # noqa: N801  (used as a function; a generator would take three times as long)
    """The directory that holds the last component, resolved beneath the root, and that component."""

    __slots__ = ("_opened", "_parts", "_root")

    def __init__(self, root: Root, parts: Parts) -> None:
        self._root = root
        self._parts = parts
        self._opened = -1

    def __enter__(self) -> tuple[int, bytes]:
        root, parts = self._root, self._parts
        if not parts:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), root.label)
        name = _name(parts)
        if len(parts) == 1:
            return root.fileno(), name
        self._opened = open_beneath(root.fileno(), _joined(parts[:-1]), _FOLDER)
        return self._opened, name

    def __exit__(self, *_: object) -> None:
        if self._opened >= 0:
            os.close(self._opened)


def _name(parts: Parts) -> bytes:
    name = parts[-1]
    if name in _NOT_NAMES or b"/" in name:
        raise ContainmentError("last component is not a name", where=repr(name))
    return name


def _joined(parts: Parts) -> bytes:
    return b"/".join(parts) or b"."


def _itself(fd: int) -> str:
    """The file behind an O_PATH descriptor, for calls that refuse such a descriptor."""
    return f"/proc/self/fd/{fd}"
