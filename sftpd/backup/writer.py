"""Writing a backup: a POSIX tar archive (pax), in one go and in bounded memory."""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, NamedTuple

import msgspec

from sftpd.backup.manifest import INODE, MANIFEST, SIGNATURE, SUMMARY, Entry, Tally
from sftpd.errors import ContainmentError
from sftpd.files import durable
from sftpd.files.beneath import Parts, Root

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20


class _Piece(NamedTuple):
    """How much of a file was taken, and whether it was as large as it said."""

    sha256: str
    whole: bool


class Writer:
    """Writes members to an open file; folders and files first, then what closes it."""

    def __init__(self, output: int, lines: BinaryIO) -> None:
        """`lines`: an empty file, for the manifest until its turn."""
        self._output = output
        self._lines = lines
        self._itself = _identity(os.fstat(output))
        self.tally = Tally()
        self.changed = 0
        """Files that were written to while they were taken."""

    def folder(self, name: bytes, mode: int) -> None:
        """Add a folder."""
        self._header(Entry(name, mode), tarfile.DIRTYPE)
        self._lines.write(self.tally.add(Entry(name, mode)))

    def file(self, name: bytes, fd: int) -> None:
        """Add an open file as it is now; of one that shrinks meanwhile the rest is zeros."""
        status = os.fstat(fd)
        if _identity(status) == self._itself:
            return
        told = Entry(name, status.st_mode & 0o777, status.st_ino, status.st_mtime_ns, status.st_size)
        self._header(told)
        taken = self._content(fd, status.st_size)
        after = os.fstat(fd)
        same = (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
        self.changed += not (taken.whole and same)
        self._lines.write(self.tally.add(msgspec.structs.replace(told, sha256=taken.sha256)))

    def tree(self, name: bytes, root: Root, parts: Parts = ()) -> None:
        """Add a folder with all that is in it, or a file; what is neither, and what vanishes, is left out."""
        for path, is_folder in _walk(root, parts):
            told = b"/".join((name, *path[len(parts) :]))
            with suppress(FileNotFoundError, NotADirectoryError, ContainmentError):
                if is_folder:
                    self.folder(told, root.stat(path).st_mode & 0o777)
                else:
                    self._file_in(told, root, path)

    def close(self, summary: bytes, signature: bytes) -> None:
        """Add the manifest, its summary and the signature, and make all of it durable."""
        self._lines.flush()
        size = self._lines.tell()
        self._header(Entry(MANIFEST, 0o600, size=size))
        self._content(self._lines.fileno(), size)
        for name, data in ((SUMMARY, summary), (SIGNATURE, signature)):
            self._header(Entry(name, 0o600, size=len(data)))
            durable.write_all(self._output, data + bytes(-len(data) % _BLOCK))
        durable.write_all(self._output, bytes(2 * _BLOCK))
        os.fsync(self._output)

    def _file_in(self, name: bytes, root: Root, path: Parts) -> None:
        fd = root.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            self.file(name, fd)
        finally:
            os.close(fd)

    def _header(self, entry: Entry, kind: bytes = tarfile.REGTYPE) -> None:
        info = tarfile.TarInfo(entry.name.decode("utf-8", "surrogateescape"))
        info.size, info.mode, info.type = entry.size, entry.mode, kind
        if entry.inode:
            # The time as a record of its own: as a number of tarfile's it would lose its last digits.
            seconds, rest = divmod(entry.mtime_ns, 10**9)
            info.pax_headers = {"mtime": f"{seconds}.{rest:09}", INODE: str(entry.inode)}
        durable.write_all(self._output, info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _content(self, fd: int, size: int) -> _Piece:
        digest, position = hashlib.sha256(), 0
        while position < size:
            chunk = os.pread(fd, min(_CHUNK, size - position), position)
            if not chunk:
                break
            digest.update(chunk)
            durable.write_all(self._output, chunk)
            position += len(chunk)
        whole = position == size
        while position < size:
            filling = bytes(min(_CHUNK, size - position))
            digest.update(filling)
            durable.write_all(self._output, filling)
            position += len(filling)
        durable.write_all(self._output, bytes(-size % _BLOCK))
        return _Piece(digest.hexdigest(), whole)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _walk(root: Root, top: Parts) -> Iterator[tuple[Parts, bool]]:
    """The folders and files from `top` on, each folder before what is in it; and whether it is one."""
    if stat.S_ISREG(root.stat(top, follow=False).st_mode):
        yield top, False
        return
    folders: list[Parts] = [top]
    while folders:
        folder = folders.pop()
        yield folder, True
        with suppress(FileNotFoundError, NotADirectoryError), root.scan(folder) as listing:
            for name, status in listing:
                if stat.S_ISDIR(status.st_mode):
                    folders.append((*folder, name))
                elif stat.S_ISREG(status.st_mode):
                    yield (*folder, name), False
