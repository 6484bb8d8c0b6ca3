"""Reads what lies in a watched folder, by names in bytes and without following links."""

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from sftpd.files.beneath import Parts
from sftpd.files.fingerprint import Snapshot, snapshot
from sftpd.names import VirtualPath

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files are meant, by patterns on the file name: any of `include`, none of `exclude`."""

    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()

    def admits(self, name: bytes) -> bool:
        """Whether a file of this name is meant."""
        return _matches(name, self.include) and not _matches(name, self.exclude)


class Tree:
    """The files below `root`; what it says is a hint, opening one safely is the business of who takes it."""

    def __init__(self, root: Path, selection: Selection) -> None:
        self._root = root
        self._prefix = os.fsencode(root) + b"/"
        self._selection = selection

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

    def admits(self, path: Parts) -> bool:
        """Whether a file at `path` is meant."""
        return bool(path) and self._selection.admits(path[-1])

    def is_directory(self, path: Parts) -> bool:
        """Whether `path` is a directory; a link to one is not."""
        status = self._lstat(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def snapshot(self, path: Parts) -> Snapshot | None:
        """What lies at `path`, None when it is not there or no regular file."""
        status = self._lstat(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        return snapshot(status)

    def files(self, below: Parts = ()) -> Iterator[tuple[Parts, Snapshot]]:
        """Every regular file that is meant, at any depth below a directory but not in hidden ones."""
        try:
            with os.scandir(self._absolute(below)) as entries:
                listed = list(entries)
        except OSError as error:
            _log.warning("folder_not_readable", path=str(VirtualPath(below)), why=error.strerror)
            return
        for entry in listed:
            path = (*below, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(b"."):
                    yield from self.files(path)
            elif self.admits(path) and (seen := self.snapshot(path)) is not None:
                yield path, seen

    def _lstat(self, path: Parts) -> os.stat_result | None:
        try:
            return os.lstat(self._absolute(path))
        except OSError:
            return None

    def _absolute(self, path: Parts) -> bytes:
        return self._prefix + b"/".join(path)


def _matches(name: bytes, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, os.fsencode(pattern)) for pattern in patterns)
