"""Which of the files at a remote are to be fetched: meant by their names, and unchanged for a while. Pure."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sftpd.exchange.remote import RemoteFile
from sftpd.files.staging import looks_temporary


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files are meant: any of `include`, none of `exclude`, and none whose name says it is unfinished.

    A pattern with a slash is matched with the path, another with the name.
    """

    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()

    def admits(self, path: bytes) -> bool:
        """Whether the file at `path` is meant."""
        parts = path.split(b"/")
        if any(part.startswith(b".") for part in parts) or looks_temporary(parts[-1]):
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
    whole = path if "/" in glob else path.rsplit(b"/", 1)[-1]
    return fnmatchcase(os.fsdecode(whole), glob)


def _any_matches(globs: Sequence[str], path: bytes) -> bool:
    return any(matches(glob, path) for glob in globs)
