"""Typed names, identifiers and the virtual paths that partners speak of."""

import secrets
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NewType, Self

from sftpd.errors import ContainmentError, InvalidNameError

LinkName = NewType("LinkName", str)
AccountName = NewType("AccountName", str)
RemoteName = NewType("RemoteName", str)
RouteName = NewType("RouteName", str)
TransferId = NewType("TransferId", str)

NAME_PATTERN = r"[a-z0-9][a-z0-9_-]{0,62}"
"""The form of link, account, remote and route names: safe in paths, URLs, unit names and log origins."""

_COMPONENT_LIMIT = 255
_PATH_LIMIT = 4096
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(high + low for high in _DIGITS for low in _DIGITS)
_SHIFTS = range(120, -1, -10)


def new_id(now: datetime) -> str:
    """Return a fresh 26-character identifier that sorts by time (48 bits of milliseconds, 80 random)."""
    bits = (int(now.timestamp() * 1000) << 80 | secrets.randbits(80)) << 2
    return "".join([_PAIRS[bits >> shift & 0x3FF] for shift in _SHIFTS])


def is_same_person(one: str, other: str) -> bool:
    """Whether two names are one person's: they are, in other letter case or with other spaces.

    Nor do other code points of the same letters (NFKC) make another person, or those that nobody sees (Cf).
    """
    return _person(one) == _person(other)


def _person(name: str) -> str:
    seen = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    folded = unicodedata.normalize("NFKC", seen).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def made_at(identifier: str) -> datetime:
    """When an identifier of `new_id` was made, by the clock of then."""
    number = 0
    for digit in identifier:
        number = number << 5 | _DIGITS.index(digit)
    return datetime.fromtimestamp((number >> 82) / 1000, UTC)


@dataclass(frozen=True, slots=True)
class VirtualPath:
    """An absolute path as a partner names it: `/upload/report.csv`.

    Components are bytes, because POSIX names are; none is empty, `.` or `..`, or holds `/` or NUL.
    A VirtualPath says nothing about the disk: `files.beneath` alone maps it there.
    """

    parts: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, raw: bytes, *, clamp: bool = False) -> Self:
        """Read a path from the wire; relative ones start at the root.

        Raises ContainmentError when `..` climbs above the root, unless `clamp` (where `/..` is `/`, as in
        POSIX), and InvalidNameError for NUL bytes and over-long names.
        """
        if b"\0" in raw or len(raw) > _PATH_LIMIT:
            raise InvalidNameError(
                "path holds a NUL byte or is over-long", expected=f"at most {_PATH_LIMIT} bytes, no NUL"
            )
        parts: list[bytes] = []
        for part in raw.split(b"/"):
            if part == b"..":
                if parts:
                    parts.pop()
                elif not clamp:
                    raise ContainmentError("path leaves the root", where=repr(raw))
            elif part not in (b"", b"."):
                if len(part) > _COMPONENT_LIMIT:
                    raise InvalidNameError(
                        "file name is over-long", expected=f"at most {_COMPONENT_LIMIT} bytes"
                    )
                parts.append(part)
        return cls(tuple(parts))

    @property
    def name(self) -> bytes:
        """The last component, empty for the root."""
        return self.parts[-1] if self.parts else b""

    @property
    def parent(self) -> Self:
        """The path without its last component; the root is its own parent."""
        return type(self)(self.parts[:-1])

    def joined(self, name: bytes) -> Self:
        """The path of `name` in this directory."""
        return type(self)((*self.parts, name))

    def __bytes__(self) -> bytes:
        return b"/" + b"/".join(self.parts)

    def __str__(self) -> str:
        return bytes(self).decode("utf-8", "backslashreplace")
