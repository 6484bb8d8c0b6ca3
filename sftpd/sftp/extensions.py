"""The extensions that VERSION advertises, and the bodies of their replies (OpenSSH's PROTOCOL, §4)."""

from collections.abc import Sequence

from sftpd.sftp.wire import MAX_DATA, MAX_PACKET, uint64

ADVERTISED: tuple[tuple[bytes, bytes], ...] = (
    (b"posix-rename@openssh.com", b"1"),
    (b"statvfs@openssh.com", b"2"),
    (b"fstatvfs@openssh.com", b"2"),
    (b"hardlink@openssh.com", b"1"),
    (b"fsync@openssh.com", b"1"),
    (b"limits@openssh.com", b"1"),
    (b"home-directory", b"1"),
)
"""Name and version of each extension, in OpenSSH's order."""

_READ_ONLY = 0x1
_NO_SETUID = 0x2


def statvfs_body(figures: Sequence[int]) -> bytes:
    """The reply to statvfs@openssh.com; `figures` are ten, in the order of `os.statvfs_result`.

    The file system's id is told as 0, and of its flags only the portable ones.
    """
    *sizes, flags, longest_name = figures
    return b"".join(map(uint64, (*sizes, 0, flags & (_READ_ONLY | _NO_SETUID), longest_name)))


def limits_body(max_handles: int) -> bytes:
    """The reply to limits@openssh.com: longest packet, read and write in bytes, and open handles."""
    return b"".join(map(uint64, (MAX_PACKET, MAX_DATA, MAX_DATA, max_handles)))
