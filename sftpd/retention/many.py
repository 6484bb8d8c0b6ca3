"""Files looked at many at a time: as rows, by their names, and by whether a hold may cover them (pure)."""

import re
from collections.abc import Iterator, Sequence, Set
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import TypeAlias

from sftpd.link import aside
from sftpd.retention.rule import compiled
from sftpd.retention.scope import OfAccount, OfFolder, OfQuery, OfSubject, Scope

Row: TypeAlias = tuple[str, str, str, bytes, int, int | None, str]
"""Of a file in our care: id, link, folder, path, receipt and last access (µs since 1970), and its peer."""

_WILDCARDS = re.compile(r"[*?]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Pattern:
    """A glob, to be matched with many files at once."""

    def __init__(self, glob: str) -> None:
        self._match = compiled(glob).match
        self._by_path = "/" in glob
        literal = [] if "[" in glob else _WILDCARDS.split(glob)
        self._part = max(literal, key=len, default="").encode("utf-8", "surrogateescape")
        """What is in whatever matches."""
        self._ends = len(literal) == 2 and glob.startswith("*")

    def all_in(self, paths: Sequence[bytes]) -> Sequence[bool]:
        """Whether each of the files at these paths matches."""
        joined = b"\0".join(paths)
        return self.all_of(paths, names_of(paths, joined), joined)

    def all_of(self, paths: Sequence[bytes], names: Sequence[bytes], joined: bytes) -> Sequence[bool]:
        """Whether each file matches; `joined` has all paths in it."""
        if self._part not in joined:
            return [False] * len(paths)
        texts = paths if self._by_path else names
        if self._ends:
            return [text.endswith(self._part) for text in texts]
        return [self._match(text) is not None for text in texts]


def names_of(paths: Sequence[bytes], joined: bytes) -> Sequence[bytes]:
    """The names of the files at these paths; `joined` has all paths in it."""
    return [path.rsplit(b"/", 1)[-1] for path in paths] if b"/" in joined else paths


def coverable(scope: Scope, folder: str, rows: Sequence[Row]) -> Sequence[Row]:
    """Those of some files in one folder of a link that a hold on the link may cover; of others it is certain.

    What was given back, or lies in the vault, is not told by a row, and is not for this.
    """
    if folder == aside.FOLDER:
        return rows  # each counts as lying where it lay before
    match scope:
        case OfFolder():
            return rows if scope.folder == folder else ()
        case OfAccount():
            return [row for row in rows if row[6] == scope.account]
        case OfQuery():
            return _asked_for(scope, folder, rows)
        case OfSubject(searched_at=datetime() as searched):
            since = _microseconds(searched)
            paths = {path for of, path in scope.places if of == folder}
            return [row for row in rows if row[4] >= since or _is_below(row[3], paths)]
        case _:
            return rows


def _asked_for(scope: OfQuery, folder: str, rows: Sequence[Row]) -> Sequence[Row]:
    if scope.folder not in (None, folder):
        return ()
    if scope.account is not None:
        rows = [row for row in rows if row[6] == scope.account]
    if scope.since is not None:
        since = _microseconds(scope.since)
        rows = [row for row in rows if row[4] >= since]
    if scope.before is not None:
        before = _microseconds(scope.before)
        rows = [row for row in rows if row[4] < before]
    if scope.glob is not None:
        rows = list(compress(rows, Pattern(scope.glob).all_in([row[3] for row in rows])))
    return rows


def _is_below(path: bytes, places: Set[bytes]) -> bool:
    """Whether a path is one of `places`, or is in a directory that is."""
    if not places:
        return False
    return path in places or b"" in places or any(path[:at] in places for at in _slashes(path))


def _slashes(path: bytes) -> Iterator[int]:
    at = path.find(b"/")
    while at >= 0:
        yield at
        at = path.find(b"/", at + 1)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
