"""Which of the files at a remote are to be fetched: meant by their names, and unchanged for a while. Pure."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sftpd.exchange.remote import RemoteFile
from sftpd.files.staging import final_name, looks_temporary


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files are meant: any of `include`, none of `exclude`, and none whose name says it is unfinished.

    A pattern with a slash is matched with the path, another with the name.
    """

    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()

    def admits(self, path: bytes) -> bool:
        """Whether the file at `path` is meant."""
        return self._would_be_meant(path) and not looks_temporary(_name(path))

    def unfinished(self, path: bytes) -> bool:
        """Whether the name at `path` looks unfinished, and the file will be meant once it has its own."""
        name = _name(path)
        if not looks_temporary(name):
            return False
        final = path.removesuffix(name) + final_name(name)
        return self._would_be_meant(final) and not _any_matches(self.exclude, path)

    def _would_be_meant(self, path: bytes) -> bool:
        if _name(path) == b"" or any(part.startswith(b".") for part in path.split(b"/")):
            return False
        return _any_matches(self.include, path) and not _any_matches(self.exclude, path)


class Settling:
    """What was seen of files that may still change, over several looks."""

    def __init__(self, settle: float) -> None:
        """`settle`: seconds for which a file must look the same."""
        self._settle = settle
        self._first: dict[RemoteFile, float] = {}

    def look(self, files: Iterable[RemoteFile], now: float) -> list[RemoteFile]:
        """Those of `files`, which is all there are at the monotonic time `now`, that have settled."""
        self._first = {file: self._first.get(file, now) for file in files}
        return [file for file, first in self._first.items() if now - first >= self._settle]

    def next_look(self, now: float) -> float | None:
        """In how many seconds another one will have settled, None when all have."""
        waits = [first + self._settle - now for first in self._first.values()]
        return min((wait for wait in waits if wait > 0), default=None)


def matches(glob: str, path: bytes) -> bool:
    """Whether a pattern fits a path: its last component, unless the pattern has a slash."""
    whole = path if "/" in glob else _name(path)
    return fnmatchcase(os.fsdecode(whole), glob)


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _any_matches(globs: Sequence[str], path: bytes) -> bool:
    return any(matches(glob, path) for glob in globs)
