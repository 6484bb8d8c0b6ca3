"""Which files of a watched folder are meant, by their names alone."""

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence

from sftpd.files.beneath import Parts

TEMPORARY = ("*.part", "*.filepart", "*.partial", "*.tmp", "*~", ".fuse_hidden*")
"""Names that look unfinished unless told otherwise (DESIGN §5)."""


class Selection:
    """Files whose name is in `include`, in neither `exclude` nor `temporary`, and in no hidden folder.

    A pattern with a slash is matched on the path below the folder, another on the file name; `temporary`
    ignores letter case. `done_file`: the suffix of the files that say that another one is whole; they are
    never meant themselves. Without `recursive` no file in a subfolder is meant.
    """

    def __init__(
        self,
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] = (),
        *,
        temporary: Sequence[str] = TEMPORARY,
        done_file: str | None = None,
        recursive: bool = True,
    ) -> None:
        self._include = _Patterns(include)
        self._exclude = _Patterns(exclude)
        self._temporary = _Patterns(temporary, re.IGNORECASE)
        self._affixes = [each for each in map(_around_star, temporary) if each is not None]
        self.done_file = None if done_file is None else os.fsencode(done_file)
        self.recursive = recursive

    def admits(self, path: Parts) -> bool:
        """Whether a file at `path` is meant."""
        return self._would_be_meant(path) and not self._temporary.match(path)

    def unfinished(self, path: Parts) -> bool:
        """Whether the name at `path` looks unfinished, and the file will be meant once it has its own.

        Its own is what is left when what a pattern says is taken off; where a pattern does not tell what that
        is, as with several stars, the name as it is.
        """
        if not self._temporary.match(path) or _is_hidden(path[-1]) or self._exclude.match(path):
            return False
        return self.announced_by(path) is None and any(map(self._would_be_meant, self._finals(path)))

    def concerns(self, path: Parts) -> bool:
        """Whether a file at `path` is meant, looks unfinished, or is the done-file of one that is meant."""
        announced = self.announced_by(path)
        if announced is not None:
            return self.admits(announced)
        return self.admits(path) or self.unfinished(path)

    def enters(self, folder: Parts) -> bool:
        """Whether files in a subfolder may be meant."""
        return self.recursive and not any(map(_is_hidden, folder))

    def announced_by(self, path: Parts) -> Parts | None:
        """The file that the done-file at `path` tells of, None when it is no done-file."""
        if self.done_file is None or not path[-1].endswith(self.done_file):
            return None
        name = path[-1].removesuffix(self.done_file)
        return (*path[:-1], name) if name else None

    def _would_be_meant(self, path: Parts) -> bool:
        name = path[-1]
        return (
            (len(path) == 1 or (self.recursive and not any(map(_is_hidden, path))))
            and name != b""
            and not _is_hidden(name)
            and (self.done_file is None or not name.endswith(self.done_file))
            and self._include.match(path)
            and not self._exclude.match(path)
        )

    def _finals(self, path: Parts) -> list[Parts]:
        """What a file whose name looks unfinished may be called in the end."""
        name = path[-1].lower()
        lengths = {
            (len(before), len(name) - len(after))
            for before, after in self._affixes
            if len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after)
        }
        return [(*path[:-1], path[-1][begin:end]) for begin, end in lengths] or [path]


class _Patterns:
    """Shell patterns as two expressions: one for names, one for paths."""

    def __init__(self, patterns: Sequence[str], flags: int = 0) -> None:
        self._names = _expression((p for p in patterns if "/" not in p), flags)
        self._paths = _expression((p for p in patterns if "/" in p), flags)

    def match(self, path: Parts) -> bool:
        if self._names is not None and self._names.match(path[-1]):
            return True
        return self._paths is not None and self._paths.match(b"/".join(path)) is not None


def _expression(patterns: Iterable[str], flags: int) -> re.Pattern[bytes] | None:
    # As fnmatch does for bytes: translated as Latin-1, in which each byte is a character.
    texts = [fnmatch.translate(os.fsencode(pattern).decode("latin-1")) for pattern in patterns]
    return re.compile("|".join(texts).encode("latin-1"), flags) if texts else None


def _around_star(pattern: str) -> tuple[bytes, bytes] | None:
    """What names have before and behind the one star of a pattern, in small letters; None: it has more."""
    before, star, after = os.fsencode(pattern).lower().rpartition(b"/")[2].partition(b"*")
    return (
        (before, after) if star and not any(sign in before + after for sign in (b"*", b"?", b"[")) else None
    )


def _is_hidden(name: bytes) -> bool:
    return name.startswith(b".")
