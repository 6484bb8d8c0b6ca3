"""The file of an erasure ledger: lines are only ever added, and each is durable before its removal counts."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from sftpd.erasure.erased import (
    NO_HASH,
    Beginning,
    Entry,
    ErasureLedgerError,
    Head,
    Read,
    UnusableError,
    decode,
    encode,
)
from sftpd.files import durable
from sftpd.files.beneath import Root

_MODE = 0o600


class LedgerFile:
    """An open erasure ledger; one process at a time may have it open."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd
        first: Read | None = None
        head, end = None, 0
        for read in self._read():
            first = first or read
            head, end = read.head, read.end
        if first is None or head is None or not isinstance(first.entry, Beginning):
            raise UnusableError("is no erasure ledger", where=str(path))
        self.beginning = first.entry
        self.head = head
        """Its last epoch, and the hash of that line."""
        self._mend(end)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the ledger that is there, and cut off what a crash left of a line at its end.

        Raises UnusableError where it is damaged, FileNotFoundError where there is none, ErasureLedgerError.
        """
        with ExitStack() as undo:
            try:
                fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
                undo.callback(os.close, fd)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                opened = cls(path, fd)
            except BlockingIOError as error:
                raise ErasureLedgerError("another instance has it open", where=str(path)) from error
            except FileNotFoundError:
                raise
            except OSError as error:
                raise _failed(path, error) from error
            undo.pop_all()
        return opened

    @classmethod
    def create(cls, path: Path, beginning: Beginning) -> Self:
        """Begin a ledger, durably, and open it. Raises ErasureLedgerError."""
        line, _ = encode(beginning, NO_HASH)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            durable.write_file(path, line, _MODE)
            with Root.at(path.parent.parent) as above:
                above.sync()
        except OSError as error:
            raise _failed(path, error) from error
        return cls.open(path)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    @property
    def is_there(self) -> bool:
        """Whether its path still leads to this file; what is added to another one is lost."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._fd))

    def append(self, entry: Entry) -> Head:
        """Add an entry with the next epoch; when this returns it survives a power loss.

        Raises ErasureLedgerError; whether the entry is there is then known only after opening it again.
        """
        assert entry.epoch == self.head.epoch + 1
        line, head = encode(entry, self.head.hash)
        try:
            durable.write_all(self._fd, line)
            os.fdatasync(self._fd)
        except OSError as error:
            raise _failed(self._path, error) from error
        self.head = head
        return head

    def entries(self, after: int) -> Iterator[Read]:
        """The entries above an epoch, in their order."""
        return (read for read in self._read() if read.head.epoch > after)

    def hash_at(self, epoch: int) -> bytes | None:
        """The hash of the line with that epoch; None where there is none."""
        if epoch == self.head.epoch:
            return self.head.hash
        return next((read.head.hash for read in self._read() if read.head.epoch == epoch), None)

    def _read(self) -> Iterator[Read]:
        # Opened anew, for a position of its own.
        with Path(f"/proc/self/fd/{self._fd}").open("rb") as lines:
            yield from decode(lines, str(self._path))

    def _mend(self, end: int) -> None:
        """Cut off a line that was never whole, and so never acknowledged."""
        if os.fstat(self._fd).st_size > end:
            os.ftruncate(self._fd, end)
        # What could be read may be on no disk: an earlier sync may have failed on it.
        os.fsync(self._fd)


def _failed(path: Path, error: OSError) -> ErasureLedgerError:
    remedy = "see erasure.ledger in the configuration"
    return ErasureLedgerError(f"cannot be used: {error.strerror}", where=str(path), remedy=remedy)
