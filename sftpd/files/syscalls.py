"""System calls that the standard library lacks: openat2, renameat2, sync_file_range, syncfs and statfs."""

import ctypes
import errno
import functools
import os
import platform
import stat
from typing import Any

from sftpd.errors import ContainmentError

_OPENAT2 = ctypes.c_long(437)
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276}
_RENAME_NOREPLACE = 1
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_WRITTEN_OUT = 0x1 | 0x2 | 0x4
"""SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE and _WAIT_AFTER."""
_RACES_BORNE = 64
_STATFS_BYTES = 256
"""More than `struct statfs` has on any architecture; its first field is the type, a long."""
_ESCAPES = {
    errno.EXDEV: "path leaves the folder",
    errno.ELOOP: "path goes through a link that may not be followed",
}

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    """`struct open_how` of linux/openat2.h."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW_SIZE = ctypes.c_size_t(ctypes.sizeof(_OpenHow))


@functools.lru_cache
def _how(flags: int, mode: int) -> Any:
    """A reference to how to open so; the kernel only reads it."""
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS
    return ctypes.byref(_OpenHow(flags=flags | os.O_CLOEXEC, mode=mode, resolve=resolve))


def open_beneath(directory: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open `path`, resolved by the kernel strictly beneath `directory`, and return the descriptor.

    No component, `..`, absolute link or /proc magic link can lead outside. A rename that races with the
    resolution makes the kernel say EAGAIN; that is tried again a bounded number of times.
    Raises ContainmentError (its cause has the errno) for a path that leaves, OSError otherwise.
    """
    how = _how(flags, mode)
    for _ in range(_RACES_BORNE):
        fd: int = _libc.syscall(_OPENAT2, directory, path, how, _HOW_SIZE)
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    # An error that a variable here named would hold on to its own traceback, for the collector to find.
    if number in _ESCAPES:
        raise ContainmentError(_ESCAPES[number], where=repr(path)) from OSError(
            number, os.strerror(number), path
        )
    raise OSError(number, os.strerror(number), path)


def rename_without_replacing(directory: int, name: bytes, other_directory: int, other_name: bytes) -> None:
    """Rename in one step that fails with FileExistsError where the new name is taken (RENAME_NOREPLACE).

    Network file systems and FUSE mostly lack that step. There a file gets its new name before it loses the
    old one, and a crash may leave both; a directory cannot be renamed so.
    """
    result = _libc.syscall(
        ctypes.c_long(_RENAMEAT2[platform.machine()]),
        directory,
        name,
        other_directory,
        other_name,
        ctypes.c_uint(_RENAME_NOREPLACE),
    )
    if result == 0:
        return
    number = ctypes.get_errno()
    if number != errno.EINVAL or stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
        raise OSError(number, os.strerror(number), name, None, other_name)
    os.link(name, other_name, src_dir_fd=directory, dst_dir_fd=other_directory, follow_symlinks=False)
    os.unlink(name, dir_fd=directory)


def write_out(fd: int, start: int, length: int) -> None:
    """Have a range of a regular file written to its disk, in which it may still be lost: that takes an fsync.

    An error is told once: an fsync after it may succeed. Raises OSError.
    """
    offsets = ctypes.c_int64(start), ctypes.c_int64(length)
    if _libc.sync_file_range(ctypes.c_int(fd), *offsets, ctypes.c_uint(_WRITTEN_OUT)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def sync_file_system(fd: int) -> None:
    """Make durable all that was written to the file system of an open file or directory (not O_PATH)."""
    if _libc.syncfs(ctypes.c_int(fd)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def file_system_magic(path: bytes) -> int:
    """The number that tells the type of the file system at `path`, as linux/magic.h has it.

    Raises OSError.
    """
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.statfs(path, buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF
