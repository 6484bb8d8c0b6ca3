"""Status codes, and the one place that turns an error into what a partner is told of it."""

import errno
from enum import IntEnum
from typing import ClassVar

from sftpd.errors import (
    ContainmentError,
    InvalidNameError,
    LimitError,
    NotFoundError,
    RefusedError,
    SftpdError,
)
from sftpd.sftp.wire import ProtocolError


class Status(IntEnum):
    """The codes of STATUS (draft-ietf-secsh-filexfer-02 §7)."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8


class StatusError(SftpdError):
    """A request ends with `status`, and the partner may read `what`."""

    code: ClassVar[str] = "STATUS"

    def __init__(self, status: Status, what: str) -> None:
        super().__init__(what)
        self.status = status


_INTERNAL = (Status.FAILURE, "internal error")

_BY_ERRNO: dict[int | None, tuple[Status, str]] = {
    errno.ENOENT: (Status.NO_SUCH_FILE, "no such file or directory"),
    errno.ENOTDIR: (Status.NO_SUCH_FILE, "not a directory"),
    errno.EBADF: (Status.NO_SUCH_FILE, "file is not open for that"),
    errno.ELOOP: (Status.NO_SUCH_FILE, "symbolic link not followed"),
    errno.EPERM: (Status.PERMISSION_DENIED, "operation not permitted"),
    errno.EACCES: (Status.PERMISSION_DENIED, "permission denied"),
    errno.EROFS: (Status.PERMISSION_DENIED, "folder is read-only"),
    errno.ENAMETOOLONG: (Status.BAD_MESSAGE, "file name too long"),
    errno.EINVAL: (Status.BAD_MESSAGE, "invalid argument"),
    errno.ENOSYS: (Status.OP_UNSUPPORTED, "operation not supported"),
    errno.EOPNOTSUPP: (Status.OP_UNSUPPORTED, "operation not supported"),
    errno.EEXIST: (Status.FAILURE, "file exists"),
    errno.EISDIR: (Status.FAILURE, "is a directory"),
    errno.ENOTEMPTY: (Status.FAILURE, "directory not empty"),
    errno.EXDEV: (Status.FAILURE, "cannot move between folders"),
    errno.ENOSPC: (Status.FAILURE, "no space left"),
    errno.EDQUOT: (Status.FAILURE, "quota exceeded"),
    errno.EFBIG: (Status.FAILURE, "file too large"),
    errno.EMFILE: (Status.FAILURE, "too many open files"),
    errno.EBUSY: (Status.FAILURE, "file is in use"),
    errno.EIO: (Status.FAILURE, "input/output error"),
}


def status_for(error: BaseException) -> tuple[Status, str]:
    """What a partner is told of `error`: a code and a text that says nothing of our inside."""
    match error:
        case StatusError():
            return error.status, error.what
        case LimitError():
            # As of a full disk: what clients make of a denied permission hides the text, or tries no more.
            return Status.FAILURE, error.what
        case RefusedError():
            return Status.PERMISSION_DENIED, error.what
        case ContainmentError(__cause__=OSError(errno=errno.ELOOP)):
            return _BY_ERRNO[errno.ELOOP]
        case ContainmentError():
            return Status.PERMISSION_DENIED, "path leaves your folders"
        case InvalidNameError():
            return Status.BAD_MESSAGE, "bad path"
        case NotFoundError():
            return Status.NO_SUCH_FILE, "no such file or directory"
        case ProtocolError():
            return Status.BAD_MESSAGE, "bad message"
        case OSError():
            return _BY_ERRNO.get(error.errno, (Status.FAILURE, "failure"))
        case OverflowError():
            # The wire's offsets and sizes have 64 bits, a file's 63.
            return _BY_ERRNO[errno.EFBIG]
    return _INTERNAL
