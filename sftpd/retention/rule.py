"""What retention reasons about: kept files, the rules for them and the holds on them (plain data)."""

import fnmatch
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from sftpd.periods import Period


@dataclass(frozen=True, slots=True)
class Kept:
    """A received file under our care; `path` is relative to `folder` of the link."""

    id: str
    link: str
    folder: str
    path: bytes
    source: str
    received_at: datetime

    @property
    def place(self) -> str:
        """Folder and path as people read it, below the folder of the link."""
        return f"{self.folder}/{self.path.decode('utf-8', 'backslashreplace')}"


@dataclass(frozen=True, slots=True)
class Rule:
    """How long files are kept after their receipt and what happens then.

    `folder` None means every folder; `mandate` is what the rule rests on; a period of days or longer ends
    with a civil day in `zone`.
    """

    id: str
    version: int
    link: str
    folder: str | None
    glob: str
    period: Period
    action: Literal["dispose", "review"]
    mandate: str
    zone: ZoneInfo

    def __str__(self) -> str:
        return f"rule {self.id} version {self.version}"


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold: nothing it covers is disposed of; `folder` and `glob` None mean every one."""

    id: str
    link: str
    folder: str | None
    glob: str | None
    reason: str
    placed_by: str
    placed_at: datetime
    until: datetime | None = None
    released_by: str | None = None
    released_at: datetime | None = None

    def stands(self, now: datetime) -> bool:
        """Whether it is neither released nor run out."""
        return self.released_at is None and (self.until is None or now < self.until)


class Scope(Protocol):
    """What says which files it is about."""

    @property
    def link(self) -> str:
        """The link it belongs to."""
        ...

    @property
    def folder(self) -> str | None:
        """The folder of the link, None for every one."""
        ...

    @property
    def glob(self) -> str | None:
        """The pattern of the files, None for every one."""
        ...


def covers(scope: Scope, file: Kept) -> bool:
    """Whether `file` is in `scope`; a glob with a slash is matched on the path, another on the file name."""
    if scope.link != file.link or scope.folder not in (None, file.folder):
        return False
    if scope.glob is None:
        return True
    subject = file.path if "/" in scope.glob else file.path.rsplit(b"/", 1)[-1]
    return fnmatch.fnmatchcase(subject, scope.glob.encode("utf-8", "surrogateescape"))
