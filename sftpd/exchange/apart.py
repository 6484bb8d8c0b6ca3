"""Files in a watched folder that somebody writes to unseen: by another name, or setting their time back."""

import os

from sftpd.errors import SftpdError
from sftpd.exchange.places import is_at
from sftpd.exchange.records import Parts, Transfer
from sftpd.files import durable
from sftpd.files.beneath import FILE_MODE, Root
from sftpd.files.fingerprint import fingerprint, identity
from sftpd.names import made_at

_CHUNK = 1 << 20
_COARSE = 0.02
"""Seconds by which the kernel's stamps on files may lag behind its clock."""


class RewrittenError(SftpdError):
    """A file has the marks that it was screened with, and other bytes."""

    code = "REWRITTEN"


def require_content(source: Root, transfer: Transfer) -> None:
    """See that a file still has the bytes that it was screened with; one with other marks is left to others.

    It is read again only if anything of it changed since then: the ctime, unlike the mtime, nobody can set.
    Raises RewrittenError, OSError.
    """
    fd = source.open(transfer.path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if os.fstat(fd).st_ctime < made_at(transfer.id).timestamp() - _COARSE:
            return
        is_same = fingerprint(fd).sha256.hex() == transfer.sha256
    finally:
        os.close(fd)
    if not is_same and is_at(source, transfer.path, transfer.source):
        raise RewrittenError("its content was changed, and its time set back; drop it anew")


def set_apart(source: Root, parts: Parts, fd: int, drafts: Root, draft: Parts) -> bool:
    """Put a copy in place of the file at `parts`, open at `fd`, if that has other names; returns whether.

    `draft`: the name in `drafts`, on the same file system, under which it is made. A file that is changed or
    taken away meanwhile is left alone. Raises OSError, as where there is no room.
    """
    status = os.fstat(fd)
    if status.st_nlink <= 1:
        return False
    before = identity(fd)
    copy = drafts.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        position = 0
        while chunk := os.pread(fd, _CHUNK, position):
            durable.write_all(copy, chunk)
            position += len(chunk)
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        is_whole = identity(fd) == before and is_at(source, parts, str(before))
        if is_whole:
            drafts.rename(draft, source, parts, replace=True)
        else:
            drafts.unlink(draft)
    except BaseException:
        drafts.unlink(draft)
        raise
    finally:
        os.close(copy)
    return is_whole
