"""Files that a session holds open: one being fetched, one being uploaded."""

import errno
import hashlib
import os
from collections.abc import Callable, Sequence

from sftpd.errors import RefusedError
from sftpd.exchange.coverage import Stretch, joined
from sftpd.files.beneath import FILE_MODE
from sftpd.files.staging import OpenPart
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.requests import OpenFlag
from sftpd.sftp.status import Status, StatusError
from sftpd.ssh import messages
from sftpd.ssh.checksums import hashing
from sftpd.ssh.copying import copying, require_room, syncing
from sftpd.ssh.folder import fault
from sftpd.ssh.long_answer import Steps
from sftpd.ssh.place import Place

_HARMLESS = 1 << 30
"""Bytes of a hole that do no harm when they are read."""

Extend = Callable[[int], int | None]
"""How many bytes a file may have that is to have so many; None: any number. Raises RefusedError."""


class Fetch:
    """A file open for reading only. Takes over `fd`."""

    def __init__(self, fd: int, place: Place, *, staged: bool) -> None:
        self.fd = fd
        self.place = place
        self.staged = staged
        self._before: list[Stretch] = []
        self._stretch: Stretch | None = None
        """What was read last without a gap, and before that."""

    @property
    def readable_fd(self) -> int:
        """The descriptor, for what reads the file but does not fetch it."""
        return self.fd

    def read_into(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Fill buffers from `offset` on; returns how many bytes there were, 0 at the end of the file."""
        count = os.preadv(self.fd, buffers, offset)
        last = self._stretch
        if last is not None and last[0] <= offset <= last[1]:
            self._stretch = (last[0], max(last[1], offset + count))
        else:
            self._before = joined(self.read)
            self._stretch = (offset, offset + count)
        return count

    @property
    def read(self) -> tuple[Stretch, ...]:
        """The stretches that were read so far, as far as they are remembered."""
        last = () if self._stretch is None else (self._stretch,)
        return tuple(joined((*self._before, *last)))

    def attributes(self) -> Attributes:
        """The file's attributes."""
        return told(os.fstat(self.fd))

    def close(self) -> None:
        """Let the file go."""
        os.close(self.fd)


class Upload:
    """A staged file open for writing. Takes over `part`.

    SHA-256 is kept while writes come in order from the start; else `sha256` reads the file.
    """

    def __init__(
        self,
        part: OpenPart,
        place: Place,
        transfer_id: str | None,
        *,
        copied: bool,
        readable: bool,
        append: bool,
    ) -> None:
        self.part = part
        self.fd = part.fd
        self.place = place
        self.transfer_id = transfer_id
        """None where the monitor was not asked yet."""
        self.whole = True
        """False once a write failed: the file is then not what its sender meant."""
        self.unchanged_copy = copied
        """Whether the file still is the copy of a published one that it began as."""
        self._readable = readable
        self._append = append
        self._granted: int | None = None
        self._plausible = _HARMLESS
        self._extend: Extend = _unbounded
        self._durable = False
        """Whether nothing was changed since it was last made durable; what lay here before may not be."""
        self._digest = hashlib.sha256()
        self._hashed = 0

    def opened_again(self, flags: int) -> "Upload":
        """The same part, open once more as the OpenFlags in `flags` say; neither keeps a hash any longer."""
        other = Upload(
            self.part.again(),
            self.place,
            self.transfer_id,
            copied=self.unchanged_copy,
            readable=bool(flags & OpenFlag.READ),
            append=bool(flags & OpenFlag.APPEND),
        )
        other.bound(self._granted, self._extend)
        self._hashed = other._hashed = -1
        if flags & OpenFlag.TRUNCATE:
            other.truncate(0)
        return other

    def absorb(self, closed: "Upload") -> None:
        """Know what was done to the part by another one of it that is closed now."""
        self.whole = self.whole and closed.whole
        self.unchanged_copy = self.unchanged_copy and closed.unchanged_copy
        self._durable = False

    def bound(self, granted: int | None, extend: Extend) -> None:
        """Let the file grow to `granted` bytes, and ask `extend` whenever it is to have more."""
        self._granted, self._extend = granted, extend

    @property
    def readable_fd(self) -> int:
        """The descriptor. Raises OSError(EBADF) unless the file was opened for reading too."""
        if not self._readable:
            raise fault(errno.EBADF)
        return self.fd

    def read_into(self, buffers: Sequence[memoryview], offset: int) -> int:
        """As Fetch has it. Raises OSError(EBADF) unless the file was opened for reading too."""
        return os.preadv(self.readable_fd, buffers, offset)

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`, or at the end where the file was opened to append."""
        if self._append:
            offset = os.fstat(self.fd).st_size
        self._changed()
        rest, at = data, offset
        end = offset + len(data)
        try:
            self._require(end)
            while rest:
                written = os.pwrite(self.fd, rest, at)
                rest, at = rest[written:], at + written
        except (OSError, RefusedError):
            self.whole = False
            raise
        if offset == self._hashed:
            self._digest.update(data)
            self._hashed = end
        elif offset < self._hashed:
            self._hashed = -1

    def copying(self, source: "Fetch | Upload", *, read_at: int, length: int, write_at: int) -> Steps[None]:
        """Copy `length` bytes of another open file, 0 for all up to its end, as writes would have them.

        Raises StatusError for the same file under any name, and with EOF where `source` ends too soon. A copy
        that fails leaves a file that is not whole: clients close it nevertheless.
        """
        try:
            self._require_other(source)
            if self._append:
                write_at = os.fstat(self.fd).st_size
            self._changed()
            if self._granted is not None:
                size = os.fstat(source.readable_fd).st_size - read_at
                self._require(write_at + max(min(length or size, size), 0))
            copied = yield from copying(
                source.readable_fd,
                self.fd,
                read_at=read_at,
                length=length or messages.SIZE_MAX,
                write_at=write_at,
            )
        except (OSError, OverflowError, RefusedError, StatusError):
            self.whole = False
            raise
        if write_at <= self._hashed:
            self._hashed = -1
        if copied < length:
            raise StatusError(Status.EOF, "end of file")

    def truncate(self, size: int) -> None:
        """Cut or extend the file to `size` bytes. Raises RefusedError where that is too many."""
        self._require(size)
        os.ftruncate(self.fd, size)
        self._changed()
        if size < self._hashed:
            self._hashed = -1

    def attributes(self) -> Attributes:
        """The file's attributes."""
        return told(os.fstat(self.fd))

    def set_attributes(self, wanted: Attributes) -> None:
        """Change size, mode or times. Raises OSError(EPERM) for a change of owner."""
        if wanted.owner is not None:
            raise fault(errno.EPERM)
        self._changed()
        if wanted.size is not None:
            self.truncate(wanted.size)
        set_by_descriptor(self.fd, wanted)

    def sync(self) -> Steps[None]:
        """Make durable what was written. Where that fails there is no part any more."""
        if self._durable:
            return
        try:
            yield from syncing(self.fd)
        except OSError:
            # Another fsync would succeed, and what this one failed on would be on no disk.
            self.whole = False
            if self.is_at_its_place():
                self.place.folder.staging.remove(self.place.parts)
            raise
        self._durable = True

    def is_at_its_place(self) -> bool:
        """Whether the part's name leads to this file."""
        found = self.place.folder.lying_staged(self.place.parts)
        return found is not None and os.path.samestat(found, os.fstat(self.fd))

    def sha256(self, size: int) -> Steps[bytes]:
        """The hash of what the file holds, which is so many bytes."""
        if self._hashed == size:
            return self._digest.digest()
        return (yield from hashing(self.fd, "sha256", 0, size))

    def seal(self) -> None:
        """Write no more: what is left is the part's lock, to be let go by `unlock`."""
        os.close(self.fd)

    def unlock(self) -> None:
        """Let others write the part."""
        os.close(self.part.lock)

    def _changed(self) -> None:
        self.unchanged_copy = self._durable = False

    def _require_other(self, source: "Fetch | Upload") -> None:
        same_place = source.place.path == self.place.path
        if same_place or os.path.samestat(os.fstat(source.fd), os.fstat(self.fd)):
            raise StatusError(Status.FAILURE, "a file is not copied to itself")

    def _require(self, size: int) -> None:
        """Pass if the file may have so many bytes: no more than are granted, nor than there is room for.

        A hole takes no room, but all of it is read in the end. Raises RefusedError, and OSError(ENOSPC).
        """
        if size > self._plausible:
            require_room(self.fd, size)
            self._plausible = size + _HARMLESS
        if self._granted is not None and size > self._granted:
            self._granted = self._extend(size)


def _unbounded(_size: int) -> None:
    """Any size will do."""


def told(found: os.stat_result) -> Attributes:
    """The attributes that a partner is told of a file."""
    return Attributes.of(size=found.st_size, mode=found.st_mode, atime=found.st_atime, mtime=found.st_mtime)


def set_by_descriptor(fd: int, wanted: Attributes) -> None:
    """Set mode and times of an open file; we can always read and write it, and who consumes it reads it."""
    if wanted.permissions is not None:
        os.fchmod(fd, wanted.permissions & 0o777 | FILE_MODE)
    if wanted.times is not None:
        os.utime(fd, wanted.times)
