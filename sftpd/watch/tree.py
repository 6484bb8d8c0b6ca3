"""Reads what lies in a watched folder, by names in bytes and without following links."""

import os
import stat
from collections.abc import Generator, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from sftpd.exchange.waits import Reason
from sftpd.files.beneath import Parts
from sftpd.files.fingerprint import Snapshot, snapshot
from sftpd.files.writers import is_open_for_writing, why_unreadable
from sftpd.watch.selection import Selection

_BATCH = 100_000
"""How many names of one folder are held at once, or twice as many for a moment."""
_TICK = 1000
"""Entries that are read between two pauses."""
_LATEST = (1 << 64) - 1
"""What eight bytes can hold in nanoseconds, in the year 2554; file systems know later times."""


class Order(Enum):
    """In which order files that are found together are handed over."""

    NAME = "name"
    TIME = "time"
    """By their last change."""


class Sight(NamedTuple):
    """What a file was when looked at; `changed`: when its file system says that anything of it changed last.

    In seconds since 1970. Unlike the mtime nobody can set it. `lacks`: why it is not to be taken at all.
    `fault`: why a folder cannot be read; of folders only such are seen.
    """

    snapshot: Snapshot
    changed: float
    lacks: Reason | None = None
    fault: str | None = None


class Tree:
    """The files below `root`; what it says is a hint, opening one safely is the business of who takes it."""

    def __init__(self, root: Path, selection: Selection, order: Order = Order.NAME) -> None:
        self._root = root
        self._prefix = os.fsencode(root) + b"/"
        self._selection = selection
        self._by_time = order is Order.TIME

    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the root, None when there is no directory."""
        try:
            status = self._root.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None

    def parts_of(self, absolute: bytes) -> Parts | None:
        """The path below the root that `absolute` means, empty for the root itself, None when outside."""
        if absolute + b"/" == self._prefix:
            return ()
        if not absolute.startswith(self._prefix):
            return None
        return tuple(absolute.removeprefix(self._prefix).split(b"/"))

    def is_directory(self, path: Parts) -> bool:
        """Whether `path` is a directory; a link to one is not."""
        status = self._lstat(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def why_unreadable(self, path: Parts) -> str | None:
        """Why the file cannot be opened for reading; None where it can, or is gone."""
        return why_unreadable(self._absolute(path))

    def is_written(self, path: Parts) -> bool | None:
        """Whether a process has the file open for writing; None when the kernel does not say."""
        return is_open_for_writing(self._absolute(path))

    def sight(self, path: Parts) -> Sight | None:
        """What lies at `path`; None for nothing, a directory, and the done-file of one that is there."""
        status = self._lstat(path)
        if status is None or stat.S_ISDIR(status.st_mode):
            return None
        announced = self._selection.announced_by(path)
        if announced is not None and self._lstat(announced) is not None:
            return None
        lacks = self._lack(path, status) if announced is None else Reason.NO_FILE
        if lacks is Reason.NOT_A_FILE and self._selection.unfinished(path):
            return None
        return Sight(snapshot(status), status.st_ctime, lacks)

    def _lack(self, path: Parts, status: os.stat_result) -> Reason | None:
        if not stat.S_ISREG(status.st_mode):
            return Reason.NOT_A_FILE
        if self._selection.unfinished(path):
            return Reason.UNFINISHED
        done = self._selection.done_file
        has_done_file = done is None or self._is_regular((*path[:-1], path[-1] + done))
        return None if has_done_file else Reason.NO_DONE_FILE

    def files(self, below: Parts = ()) -> Iterator[tuple[Parts, Sight] | None]:
        """Every file that is meant below a directory: those of one folder in order, then its subfolders.

        Those that lack something or look unfinished are among them, done-files without a file, and folders
        that cannot be read.

        None now and then while a folder is read, so that its reader can turn to something else. A folder
        is open only while it is read: from the first None to the file after the last.
        """
        folders = [below]
        while folders:
            folder = folders.pop()
            inner: list[bytes] = []
            yield from self._files_in(folder, inner)
            folders += [(*folder, name) for name in sorted(inner, reverse=True)]

    def _files_in(self, folder: Parts, inner: list[bytes]) -> Iterator[tuple[Parts, Sight] | None]:
        """The files of one folder; the names of its subfolders go to `inner`."""
        after = b""
        while True:
            batch, fault = yield from self._batch(folder, after, inner)
            for key in batch:
                path = (*folder, key[8:] if self._by_time else key)
                if (sight := self.sight(path)) is not None:
                    yield path, sight
            if fault is not None and (status := self._lstat(folder)) is not None:
                yield folder, Sight(snapshot(status), status.st_ctime, Reason.UNREADABLE, fault)
            if len(batch) < _BATCH:
                return
            after = batch[-1]

    def _batch(
        self, folder: Parts, after: bytes, inner: list[bytes]
    ) -> Generator[None, None, tuple[list[bytes], str | None]]:
        """The first keys of a folder that come after one, sorted, and why it could not be read to its end.

        It is read once for each batch.
        """
        batch: list[bytes] = []
        bound: bytes | None = None
        fault: str | None = None
        try:
            os.lstat(self._absolute((*folder, b".")))  # who may list a folder may not know its files yet
            with os.scandir(self._absolute(folder)) as entries:
                for number, entry in enumerate(entries):
                    if number % _TICK == 0:
                        yield
                    if entry.is_dir(follow_symlinks=False):
                        if not after and self._selection.enters((*folder, entry.name)):
                            inner.append(entry.name)
                        continue
                    key = self._key(entry)
                    if key <= after or (bound is not None and key >= bound):
                        continue
                    if self._selection.concerns((*folder, entry.name)):
                        batch.append(key)
                        if len(batch) == 2 * _BATCH:
                            bound = _cut(batch)
        except OSError as error:
            fault = error.strerror or str(error)
        _cut(batch)
        return batch, fault

    def _key(self, entry: os.DirEntry[bytes]) -> bytes:
        """What entries are sorted by: the name, or before it the time of the last change."""
        if not self._by_time:
            return entry.name
        try:
            time = min(max(0, entry.stat(follow_symlinks=False).st_mtime_ns), _LATEST)
        except OSError:
            time = 0
        return time.to_bytes(8, "big") + entry.name

    def _is_regular(self, path: Parts) -> bool:
        status = self._lstat(path)
        return status is not None and stat.S_ISREG(status.st_mode)

    def _lstat(self, path: Parts) -> os.stat_result | None:
        try:
            return os.lstat(self._absolute(path))
        except OSError:
            return None

    def _absolute(self, path: Parts) -> bytes:
        return self._prefix + b"/".join(path)


def _cut(keys: list[bytes]) -> bytes | None:
    """Sort and leave one batch; returns the last of them."""
    keys.sort()
    del keys[_BATCH:]
    return keys[-1] if keys else None
