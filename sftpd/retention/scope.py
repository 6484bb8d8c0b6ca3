"""What a legal hold is on, as one of several kinds of scope; each says which files it covers (pure)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from sftpd.retention.rule import Kept, fits


class _Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all kinds have in common."""

    @property
    def by_peer(self) -> bool:
        """Whether the peer of a file decides, so that it must be looked up."""
        return False

    @property
    def kind(self) -> str:
        """The name of the kind."""
        return str(self.__struct_config__.tag)

    @property
    def names(self) -> str | None:
        """The id of the one file that it covers, where it covers one alone."""
        return None


class OfLink(_Scope, frozen=True, tag="link"):
    """Every file of the link."""

    def covers(self, file: Kept) -> bool:
        """Whether it covers a file of its link."""
        del file
        return True

    def __str__(self) -> str:
        return "every file of the link"


class OfFile(_Scope, frozen=True, tag="file"):
    """One file, wherever it lies; `place` is where it lay when it was held."""

    file: str
    place: str

    @property
    def names(self) -> str | None:
        """The file's id."""
        return self.file

    def covers(self, file: Kept) -> bool:
        """Whether it covers a file of its link."""
        return file.id == self.file

    def __str__(self) -> str:
        return f"the file {self.file}, held at {self.place}"


class OfTransfer(_Scope, frozen=True, tag="transfer"):
    """What one transfer brings or brought: its file and our copy of it."""

    transfer: str

    @property
    def names(self) -> str | None:
        """The id of the file, which is that of its transfer."""
        return self.transfer

    def covers(self, file: Kept) -> bool:
        """Whether it covers a file of its link."""
        return file.id == self.transfer

    def __str__(self) -> str:
        return f"the file of transfer {self.transfer}"


class OfFolder(_Scope, frozen=True, tag="folder"):
    """Every file in one folder of the link."""

    folder: str

    def covers(self, file: Kept) -> bool:
        """Whether it covers a file of its link."""
        return file.folder == self.folder

    def __str__(self) -> str:
        return f"every file in {self.folder}/"


class OfAccount(_Scope, frozen=True, tag="account"):
    """Every file that came from, or went to, one account or remote of the counterparty."""

    account: str

    @property
    def by_peer(self) -> bool:
        """The peer decides."""
        return True

    def covers(self, file: Kept) -> bool:
        """Whether it covers a file of its link."""
        return file.peer == self.account

    def __str__(self) -> str:
        return f"every file that came from or went to {self.account}"


class OfSubject(_Scope, frozen=True, tag="subject"):
    """The files in which one person was found or could not be looked for, and those that came since.

    The person is known by keyed tokens of identifiers of some `types` alone. A place is a folder and a path
    in it, of a file or of a directory with all that is in it.
    """

    types: tuple[str, ...]
    tokens: tuple[str, ...]
    searched_at: datetime | None = None
    """When the search began; None: there was none, and any file may be the person's."""
    places: frozenset[tuple[str, bytes]] = frozenset()

    def covers(self, file: Kept) -> bool:
        """Whether it covers a file of its link."""
        if self.searched_at is None or (file.is_recorded and file.received_at >= self.searched_at):
            return True
        return any((file.folder, path) in self.places for path in _upwards(file.path))

    def __str__(self) -> str:
        person = f"one person ({', '.join(self.types)})"
        if self.searched_at is None:
            return f"every file of the link, until {person} was searched for"
        return f"files of {person} as of {_said(self.searched_at)}, and every file that came since"


class OfQuery(_Scope, frozen=True, tag="query"):
    """The files that all of these are true of; those that are None say nothing.

    `since` and `before` bound the receipt, the first included. What sftpd has no record of it does not cover
    by account or receipt.
    """

    folder: str | None = None
    glob: str | None = None
    account: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    @property
    def by_peer(self) -> bool:
        """Whether the peer of a file decides."""
        return self.account is not None

    def covers(self, file: Kept) -> bool:
        """Whether it covers a file of its link."""
        return (
            self.folder in (None, file.folder)
            and self.account in (None, file.peer)
            and self._came(file)
            and (self.glob is None or fits(self.glob, file))
        )

    def _came(self, file: Kept) -> bool:
        if self.since is None and self.before is None:
            return True
        return (
            file.is_recorded
            and (self.since is None or self.since <= file.received_at)
            and (self.before is None or file.received_at < self.before)
        )

    def __str__(self) -> str:
        return "files" + "".join(
            words.format(_said(value))
            for words, value in (
                (" in {}/", self.folder),
                (" named {}", self.glob),
                (" from or to {}", self.account),
                (" received from {}", self.since),
                (" received before {}", self.before),
            )
            if value is not None
        )


Scope: TypeAlias = OfLink | OfFile | OfTransfer | OfFolder | OfAccount | OfSubject | OfQuery


def encode(scope: Scope) -> Any:
    """A scope as JSON has it."""
    return msgspec.to_builtins(scope)


def decode(stored: Any) -> Scope:
    """The scope that `encode` made JSON of. Raises msgspec.ValidationError for anything else."""
    scope: Scope = msgspec.convert(stored, Scope)
    return scope


def _upwards(path: bytes) -> Iterator[bytes]:
    """The path, and each directory that it is in, up to the folder itself."""
    yield path
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def _said(value: str | datetime) -> str:
    return value if isinstance(value, str) else value.astimezone(UTC).isoformat(timespec="seconds")
