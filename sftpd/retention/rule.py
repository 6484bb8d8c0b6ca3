"""What retention reasons about: kept files, and the rules for them (plain data)."""

import fnmatch
import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self, TypeAlias
from zoneinfo import ZoneInfo

from sftpd.link import vaulted
from sftpd.namedates import DatePattern
from sftpd.periods import Period, YearEnd

Action = Literal["dispose", "return", "review"]

_THIRTY_DAYS = Period(days=30)
RETURNABLE = ("inbound", "requests")
"""The folders whose files can be given back: what the partner itself sent."""
STAGING = "staging"
"""The folder of unfinished uploads; a path in it begins with the account."""


def place(folder: str, path: bytes) -> str:
    """Folder and path as people read it, below the folder of the link."""
    return f"{folder}/{path.decode('utf-8', 'backslashreplace')}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A received file under our care; `path` is relative to `folder` of the link."""

    id: str
    link: str
    folder: str
    path: bytes
    source: str
    received_at: datetime
    accessed_at: datetime | None = None
    """When an account last read it through us."""
    peer: str = ""
    """The account or remote that it came from or went to."""
    returned: "Returned | None" = None
    """Where it is, if it was given back; `folder` and `path` say where it was before."""
    transfer: str | None = None
    """Of a copy in the vault: the transfer of the file that it is of."""

    @property
    def is_recorded(self) -> bool:
        """Whether the ledger knows it; of another file there is its path and nothing else."""
        return bool(self.id)

    @property
    def place(self) -> str:
        """Folder and path as people read it, below the folder of the link."""
        return place(self.folder, self.path)

    @property
    def where_it_lies(self) -> "Kept":
        """The same file, as what lies where it is now."""
        if self.returned is None:
            return self
        return replace(self, folder=self.returned.folder, path=self.returned.path, returned=None)

    @property
    def path_to_match(self) -> bytes:
        """Its path as patterns are meant: a copy in the vault has that of its file."""
        return vaulted.origin(self.path) if self.folder == vaulted.FOLDER else self.path

    @property
    def crossed_by(self) -> str:
        """The id of the transfer that brought it, where there is one."""
        return self.transfer or self.id

    @property
    def name(self) -> bytes:
        """The last part of its path."""
        return self.path.rsplit(b"/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Returned:
    """A file that was given back: where it lies, and when the partner had it whole."""

    folder: str
    path: bytes
    offered_at: datetime
    fetched_at: datetime | None = None
    """When the partner had it whole."""
    transfer: str | None = None
    """The transfer by which it goes to a remote; None: it is offered in `/download`."""
    state: str | None = None
    """Where that transfer stands."""

    @property
    def came_to_nothing(self) -> bool:
        """Whether it was not sent, for a reason that may have passed: it was changed, or held back."""
        return self.fetched_at is None and self.state in ("vanished", "quarantined")


class Copy(NamedTuple):
    """A file that goes with another one: the folder it is in, its path there, and what it was when found."""

    folder: str
    path: bytes
    source: str

    @property
    def place(self) -> str:
        """Folder and path as people read it, below the folder of the link."""
        return place(self.folder, self.path)

    def as_row(self) -> dict[str, str]:
        """The copy as the ledger keeps it."""
        return {"folder": self.folder, "path": self.path.hex(), "source": self.source}

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Self:
        """The copy that the ledger keeps so."""
        return cls(row["folder"], bytes.fromhex(row["path"]), row["source"])


@dataclass(frozen=True, slots=True)
class Received:
    """A period begins when the file came into our care."""


@dataclass(frozen=True, slots=True)
class LastAccess:
    """A period begins when the file was last read through us, or received if it never was."""


@dataclass(frozen=True, slots=True)
class BusinessDate:
    """A period begins on the day that the file's name tells, or when it was received if it tells none."""

    pattern: DatePattern


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """A period begins when the link was closed, and does not begin before."""


Trigger: TypeAlias = Received | LastAccess | BusinessDate | LinkClosed


@dataclass(frozen=True, slots=True)
class Term:
    """Files are kept for `period` after `trigger`: no shorter, and when it has passed the action follows.

    With `year_end` the period begins at the end of the financial year. `at_least` and `at_most` are counted
    from the receipt; where they contradict each other `at_least` counts.
    """

    period: Period
    trigger: Trigger = Received()
    year_end: YearEnd | None = None
    at_least: Period | None = None
    at_most: Period | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """Files need not be kept for longer than `at_least`, and the action follows `at_most` after receipt."""

    at_most: Period
    at_least: Period | None = None


@dataclass(frozen=True, slots=True)
class FileClass:
    """Files that belong together by their names, such as invoices."""

    name: str
    globs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """How long files are kept and what happens then.

    `folder`, `account` and `file_class` None mean every one. `mandate` is what the rule rests on; a period of
    days or longer ends with a civil day in `zone`. A version with an `effective` day governs the files that
    were received from that day on; one without has always been in force.
    """

    id: str
    version: int
    link: str
    folder: str | None
    glob: str
    term: Term | Limit
    action: Action
    mandate: str
    zone: ZoneInfo
    account: str | None = None
    file_class: FileClass | None = None
    effective: date | None = None
    returned_for: Period = _THIRTY_DAYS
    """How long a file that is given back waits to be fetched."""
    return_by: str | None = None
    """The route by which it goes back instead, to stay here until it is delivered."""

    def __str__(self) -> str:
        return f"rule {self.id} version {self.version}"


Answer = Literal["approved", "extended", "rejected"]


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody decided of a file that was to be reviewed; it counts under the version that asked for it.

    Approved, the file goes. Extended or rejected, it stays and is asked about again at `until`.
    """

    file: str
    rule: str
    rule_version: int
    answer: Answer
    until: datetime | None
    reason: str
    by: str

    def is_of(self, rule: Rule) -> bool:
        """Whether it was decided under this version of the rule."""
        return (self.rule, self.rule_version) == (rule.id, rule.version)

    def stands(self, now: datetime) -> bool:
        """Whether it is not to be asked again."""
        return self.until is None or now < self.until

    def __str__(self) -> str:
        until = "" if self.until is None else f" until {self.until.isoformat(timespec='seconds')}"
        return f"{self.answer} by {self.by}{until}: {self.reason}"


def fits(glob: str, file: Kept) -> bool:
    """Whether the file's name, or its path for a glob with a slash, matches `glob`."""
    return compiled(glob).match(file.path_to_match if "/" in glob else file.name) is not None


@lru_cache(maxsize=4096)
def compiled(glob: str) -> re.Pattern[bytes]:
    """The expression that names or paths of files must match whole."""
    literal = glob.encode("utf-8", "surrogateescape").decode("latin-1")
    return re.compile(fnmatch.translate(literal).encode("latin-1"))
