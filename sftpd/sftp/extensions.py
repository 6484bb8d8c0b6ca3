"""The extensions that VERSION advertises, and the bodies of their replies.

Sources: OpenSSH's PROTOCOL, §4, and draft-ietf-secsh-filexfer-extensions-00.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from sftpd.sftp.requests import EXTENSIONS
from sftpd.sftp.wire import MAX_DATA, MAX_PACKET, UINT32_MAX, string, uint32, uint64

CHECK_FILE = b"check-file"
"""One name for two requests: check-file-handle and check-file-name (draft §3)."""

ADVERTISED: tuple[tuple[bytes, bytes], ...] = (
    (b"posix-rename@openssh.com", b"1"),
    (b"statvfs@openssh.com", b"2"),
    (b"fstatvfs@openssh.com", b"2"),
    (b"hardlink@openssh.com", b"1"),
    (b"fsync@openssh.com", b"1"),
    (b"lsetstat@openssh.com", b"1"),
    (b"limits@openssh.com", b"1"),
    (b"expand-path@openssh.com", b"1"),
    (b"copy-data", b"1"),
    (b"home-directory", b"1"),
    (CHECK_FILE, b"1"),
    (b"space-available", b"1"),
)
"""Name and version of each extension: first those of OpenSSH, in its order, then as ProFTPD has them."""

STANDS_FOR = {CHECK_FILE: (b"check-file-handle", b"check-file-name")}
"""The requests of an extension that is none itself."""

_READ_ONLY = 0x1
_NO_SETUID = 0x2


def offered(denied: Collection[str]) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of ADVERTISED of which no request is among those `denied` to the account."""
    for name, version in ADVERTISED:
        if not any(EXTENSIONS[request].name in denied for request in STANDS_FOR.get(name, (name,))):
            yield name, version


def statvfs_body(figures: Sequence[int]) -> bytes:
    """The reply to statvfs@openssh.com; `figures` are ten, in the order of `os.statvfs_result`.

    The file system's id is told as 0, and of its flags only the portable ones.
    """
    *sizes, flags, longest_name = figures
    return b"".join(map(uint64, (*sizes, 0, flags & (_READ_ONLY | _NO_SETUID), longest_name)))


def limits_body(max_handles: int) -> bytes:
    """The reply to limits@openssh.com: longest packet, read and write in bytes, and open handles."""
    return b"".join(map(uint64, (MAX_PACKET, MAX_DATA, MAX_DATA, max_handles)))


def space_body(figures: Sequence[int]) -> bytes:
    """The reply to space-available (draft §4); `figures` as for `statvfs_body`.

    Four numbers of bytes: the device's, those unused, the user's share used or not, its unused ones. Then
    the bytes of an allocation unit.
    """
    _, unit, total, free, available, *_ = figures
    bytes_ = (blocks * unit for blocks in (total, free, total - free + available, available))
    return b"".join(map(uint64, bytes_)) + uint32(min(unit, UINT32_MAX))


def check_file_body(algorithm: str, hashes: Iterable[bytes]) -> bytes:
    """The reply to check-file-handle and check-file-name: the algorithm that was used, then bare hashes."""
    return string(algorithm.encode()) + b"".join(hashes)
