"""The one place for durable change: what has returned from here survives power loss."""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sftpd.files.beneath import FILE_MODE, Parts, Root
from sftpd.files.syscalls import sync_file_system

_MANY = 16
"""Files to be made durable together that cost more one by one than with all else on their file system."""
_CHUNK = 1 << 16


class NotDurableError(OSError):
    """The disk did not take a file's content, and may have damaged what it had of it."""


def sync_directory(directory: int) -> None:
    """Make the names in a directory durable; `directory` may be an O_PATH descriptor."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_parent(root: Root, parts: Parts) -> None:
    """Make durable that `parts` was created, renamed or removed."""
    if len(parts) == 1:
        root.sync()
        return
    with root.sub(parts[:-1]) as parent:
        parent.sync()


def write_atomically(directory: int, name: bytes, data: bytes, mode: int = FILE_MODE) -> None:
    """Put `data` at `name` in an open directory: a reader sees the old content or the new, never a part.

    On any failure the old content stays and nothing is left behind. Raises OSError.
    """
    draft = b".%s.tmp" % secrets.token_hex(8).encode()
    try:
        _write_new(directory, draft, data, mode)
        os.rename(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        _unlink_quietly(directory, draft)
        raise
    sync_directory(directory)


def write_file(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """`write_atomically` at a trusted path."""
    with Root.at(path.parent) as folder:
        write_atomically(folder.fileno(), os.fsencode(path.name), data, mode)


def sync_file(root: Root, parts: Parts) -> None:
    """Make the content of a file durable. Raises NotDurableError where the disk fails."""
    fd = root.open(parts, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        with suppress(OSError):
            _write_again(root, parts)
        raise NotDurableError(error.errno, error.strerror, os.fsdecode(parts[-1])) from error
    finally:
        os.close(fd)


def _write_again(root: Root, parts: Parts) -> None:
    """Write to a file what it holds, so that the next fsync is one.

    After a failed one the kernel has the content still, but takes it as written: another would succeed and
    make nothing of it durable.
    """
    fd = root.open(parts, os.O_RDWR)
    try:
        seen, offset = os.fstat(fd), 0
        while chunk := os.pread(fd, _CHUNK, offset):
            offset += os.pwrite(fd, chunk, offset)
            os.utime(fd, ns=(seen.st_atime_ns, seen.st_mtime_ns))  # it is the same file all the while
    finally:
        os.close(fd)


def sync_attributes(root: Root, parts: Parts) -> None:
    """Make mode and times of a file or folder durable; what may not be read, with all else beside it."""
    try:
        try:
            sync_file(root, parts)
        except IsADirectoryError:
            with root.sub(parts) as folder:
                folder.sync()
    except PermissionError:
        _sync_all(root)


def write_new(root: Root, files: Sequence[tuple[Parts, bytes]], mode: int = FILE_MODE) -> None:
    """Create files whose content is durable then, and their names not yet: for drafts, to be renamed.

    Raises FileExistsError where a name is taken, OSError as the kernel does.
    """
    many = len(files) > _MANY
    for parts, data in files:
        fd = root.open(parts, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            write_all(fd, data)
            if not many:
                os.fsync(fd)
        finally:
            os.close(fd)
    if many:
        _sync_all(root)


def _sync_all(root: Root) -> None:
    """Make durable all that was written to the file system of a folder."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root.fileno())
    try:
        sync_file_system(fd)
    finally:
        os.close(fd)


def make_directories(root: Root, parts: Parts) -> None:
    """Create the missing directories above `parts`, durably."""
    for created in root.make_parents(parts):
        sync_parent(root, created)


class Unsynced:
    """Changes of names that are not durable yet; each directory is synced once, in the order of its last."""

    def __init__(self) -> None:
        self._changed: dict[tuple[Root, Parts], Parts] = {}

    def add(self, root: Root, parts: Parts) -> None:
        """`parts` was created, renamed or removed."""
        self._changed.pop((root, parts[:-1]), None)
        self._changed[root, parts[:-1]] = parts

    def sync(self) -> None:
        """Make all that was changed durable."""
        for (root, _), parts in self._changed.items():
            sync_parent(root, parts)
        self._changed.clear()


def rename(
    source: Root,
    parts: Parts,
    target: Root,
    target_parts: Parts,
    *,
    replace: bool,
    among: Unsynced | None = None,
) -> None:
    """Rename durably: both directories are synced, the new name first.

    With `among` they are not yet, but with the other changes there. Raises FileExistsError where the new name
    is taken and `replace` is not set.
    """
    source.rename(parts, target, target_parts, replace=replace)
    changes = Unsynced() if among is None else among
    changes.add(target, target_parts)
    changes.add(source, parts)
    if among is None:
        changes.sync()


def publish(source: Root, parts: Parts, target: Root, target_parts: Parts, *, replace: bool = False) -> None:
    """Move a finished file whole to where others look: its content is durable before its name is.

    Creates the directories it needs. Raises FileExistsError where the name is taken and `replace` is not set,
    NotDurableError where the content cannot be made durable.
    """
    sync_file(source, parts)
    make_directories(target, target_parts)
    rename(source, parts, target, target_parts, replace=replace)


def _write_new(directory: int, name: bytes, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(name, flags, mode, dir_fd=directory)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to an open file, where the kernel may take a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _unlink_quietly(directory: int, name: bytes) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
