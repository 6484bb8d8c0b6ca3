"""Copies within the file system, by the kernel where it can, and large files made durable."""

import errno
import os

from sftpd.files.staging import OpenPart
from sftpd.files.syscalls import write_out
from sftpd.ssh.long_answer import STEP, Steps, at_once
from sftpd.ssh.messages import SIZE_MAX

_CHUNK = 1 << 20
_WRITTEN_AT_ONCE = 16 << 20
"""Bytes of a large file that are waited for at a time until they are on the disk."""

_NOT_BY_KERNEL = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def copy_range(source: int, target: int, *, read_at: int, length: int, write_at: int) -> int:
    """Copy at most `length` bytes between open files by position; return how many, fewer at the end.

    Raises OSError(ENOSPC) before the first byte where the target's file system has no room for what it
    would grow by.
    """
    return at_once(copying(source, target, read_at=read_at, length=length, write_at=write_at))


def copying(source: int, target: int, *, read_at: int, length: int, write_at: int) -> Steps[int]:
    """The steps of `copy_range`."""
    length = max(min(length, os.fstat(source).st_size - read_at), 0)
    require_room(target, write_at + length)
    copied = 0
    step = _by_kernel
    while copied < length:
        try:
            count = step(source, target, length - copied, read_at + copied, write_at + copied)
        except OSError as error:
            if step is _by_hand or error.errno not in _NOT_BY_KERNEL:
                raise
            step = _by_hand
            continue
        if not count:
            break
        copied += count
        if copied < length:
            yield
    return copied


def filling(part: OpenPart, source: int) -> Steps[None]:
    """Make a part a copy of an open file, and durable. Should we die of that, nobody takes it for whole."""
    part.begin_copy()
    yield from copying(source, part.fd, read_at=0, length=SIZE_MAX, write_at=0)
    # The mark may reach the disk before what was copied: a power loss would leave a part that is short.
    yield from syncing(part.fd)
    part.end_copy()


def syncing(fd: int) -> Steps[None]:
    """Make durable what was written to a file. Where that fails nobody knows what is on the disk."""
    for start in range(0, os.fstat(fd).st_size - _WRITTEN_AT_ONCE, _WRITTEN_AT_ONCE):
        write_out(fd, start, _WRITTEN_AT_ONCE)
        yield
    os.fsync(fd)


def require_room(target: int, end: int) -> None:
    """Pass if the file system of an open file has room for it to end there. Raises OSError(ENOSPC)."""
    room = os.fstatvfs(target)
    if end - os.fstat(target).st_size > room.f_bavail * room.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _by_kernel(source: int, target: int, count: int, read_at: int, write_at: int) -> int:
    return os.copy_file_range(source, target, min(count, STEP), read_at, write_at)


def _by_hand(source: int, target: int, count: int, read_at: int, write_at: int) -> int:
    return os.pwrite(target, os.pread(source, min(count, _CHUNK), read_at), write_at)
