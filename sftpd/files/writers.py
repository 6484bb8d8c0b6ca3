"""Whether a file may be read, is open for writing or in use at all, as far as the kernel will tell."""

import ctypes
import errno
import fcntl
import os
import signal

# Asking takes a lease and gives it back at once. The interpreter's lock is held between the two, so that no
# other thread comes between them: a writer that opens the file meanwhile waits for microseconds.
_libc = ctypes.PyDLL(None, use_errno=True)

_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO)
_NOT_ITS_FAULT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR)


def is_unreadable(error: OSError) -> bool:
    """Whether what opening or reading a file ran into says that it cannot be read: permissions, a disk."""
    return error.errno not in (*_NO_FILE, *_NOT_ITS_FAULT)


def why_unreadable(path: bytes) -> str | None:
    """Why the file at a trusted path cannot be opened for reading; None where it can, or is gone."""
    try:
        os.close(os.open(path, _READING))
    except OSError as error:
        return (error.strerror or str(error)) if is_unreadable(error) else None
    return None


def is_open_for_writing(path: bytes) -> bool | None:
    """Whether any process, in this kernel, has the file at a trusted path open or mapped for writing.

    The kernel grants a read lease (fcntl(2), F_SETLEASE) only on a file that nobody has open for writing.
    None when it does not say: for a file of another owner without CAP_LEASE, on a file system without
    leases, and when the file is gone.
    """
    try:
        fd = os.open(path, _READING)
    except BlockingIOError:
        return True  # another process has a write lease and is asked to give it back
    except OSError:
        return None
    try:
        return _is_refused(fd, fcntl.F_RDLCK)
    finally:
        os.close(fd)


def is_in_use(fd: int) -> bool | None:
    """Whether the file of `fd`, open for reading, is open or mapped by any other descriptor in this kernel.

    The kernel grants a write lease only on a file that nobody else has open. None as above.
    """
    return _is_refused(fd, fcntl.F_WRLCK)


def _is_refused(fd: int, lease: int) -> bool | None:
    # Whoever opens the file in that moment has a signal sent to us, by default one that kills.
    _libc.fcntl(fd, fcntl.F_SETSIG, int(signal.SIGURG))
    if _libc.fcntl(fd, fcntl.F_SETLEASE, lease) == 0:
        _libc.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    return True if ctypes.get_errno() == errno.EAGAIN else None
