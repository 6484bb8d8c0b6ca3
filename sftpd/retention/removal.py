"""Removes one file from disk: only the very one that is meant, and looks whether it is gone."""

import os
from collections.abc import Iterable
from typing import NamedTuple

import structlog

from sftpd.errors import ContainmentError, SftpdError
from sftpd.files.beneath import Parts, Root
from sftpd.files.fingerprint import snapshot
from sftpd.files.naming import move_aside
from sftpd.files.vault import Vault
from sftpd.files.writers import is_in_use
from sftpd.retention.disposal import REMOVED, Result
from sftpd.retention.roots import is_covered
from sftpd.retention.rule import Kept

Directory = tuple[Root, Parts]

_RETURNED = b"returned"
_REMAINS = "it is there after its removal"
_log = structlog.get_logger()


class Target(NamedTuple):
    """A file to remove, and the directory of its folder; None where there is none."""

    file: Kept
    root: Root | None

    @property
    def parts(self) -> Parts:
        """The components of its path."""
        return tuple(self.file.path.split(b"/"))

    @property
    def directory(self) -> Directory | None:
        """What is to be synced once it is removed."""
        return None if self.root is None else (self.root, self.parts[:-1])

    def remove(self, missing: Result) -> Result:
        """Remove it, and say what came of that; `missing` is the result where it is not there."""
        if self.root is None:
            return missing
        root, parts = self.root, self.parts
        try:
            status = root.stat(parts, follow=False)
            if (against := self._against(root, status)) is not None:
                return against
            root.unlink(parts)
        except (FileNotFoundError, NotADirectoryError):
            return Result.COVERED if is_covered(root, parts) else missing
        except (OSError, ContainmentError) as error:
            return failed(self.file, str(error))
        return Result.DISPOSED if status.st_nlink == 1 else Result.LINKED

    def give_back(self, download: Root | None, missing: Result) -> tuple[Result, Parts | None]:
        """Move it beneath `returned` in `/download`, and say what came of that, and under which path it is.

        After a crash, where `missing` is GONE, it may be there already: it is known by what it was.
        """
        if self.root is None or download is None:
            return failed(self.file, "there is no folder to give it back in"), None
        try:
            against = self._against(self.root, self.root.stat(self.parts, follow=False))
            if against is not None:
                return against, None
            return Result.RETURNED, move_aside(self.root, self.parts, download, (_RETURNED, *self.parts))
        except (FileNotFoundError, NotADirectoryError):
            place = _find(download, self.file.source) if missing is Result.GONE else None
            return (Result.ABSENT, None) if place is None else (Result.RETURNED, place)
        except (OSError, ContainmentError) as error:
            return failed(self.file, str(error)), None

    def stay(self) -> Result:
        """Say whether it is there to go back by a route, as it was; until it is delivered it stays."""
        if self.root is None:
            return Result.ABSENT
        try:
            status = self.root.stat(self.parts, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return Result.COVERED if is_covered(self.root, self.parts) else Result.ABSENT
        except (OSError, ContainmentError) as error:
            return failed(self.file, str(error))
        return Result.QUEUED if self.file.source == str(snapshot(status)) else Result.CHANGED

    def stays(self, why: Result, download: Root | None, missing: Result) -> tuple[Result, Parts | None]:
        """What comes of it where it is to stay: `why`, unless a crash had gone before, and it had not stayed.

        Where it was removed or given back by then, that is said, and under which path it is.
        """
        if self.root is None or missing is not Result.GONE:
            return why, None
        try:
            same = str(snapshot(self.root.stat(self.parts, follow=False))) == self.file.source
            return (why if same else Result.CHANGED), None
        except (FileNotFoundError, NotADirectoryError):
            if is_covered(self.root, self.parts):
                return Result.COVERED, None
            place = None if download is None else _find(download, self.file.source)
            return (missing, None) if place is None else (Result.RETURNED, place)
        except (OSError, ContainmentError):
            return why, None

    def against(self) -> Result | None:
        """What would come of it because it may not be touched, None where it seems that it may."""
        if self.root is None:
            return None
        try:
            return self._against(self.root, self.root.stat(self.parts, follow=False))
        except (FileNotFoundError, NotADirectoryError):
            return Result.COVERED if is_covered(self.root, self.parts) else None
        except (OSError, ContainmentError):
            return None

    def _against(self, root: Root, status: os.stat_result) -> Result | None:
        """The same of a file with this status."""
        if self.file.source != str(snapshot(status)):
            return Result.CHANGED
        return Result.IN_USE if _is_in_use(root, self.parts) else None

    def verified(self, result: Result) -> Result:
        """What came of it, once more looked at: a removal after which the file is seen again has failed."""
        if result not in REMOVED or not self._may_be_there():
            return result
        return failed(self.file, _REMAINS)

    def _may_be_there(self) -> bool:
        """Whether this very file is there, or it cannot be seen that it is not."""
        if self.root is None:
            return False
        try:
            return str(snapshot(self.root.stat(self.parts, follow=False))) == self.file.source
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, ContainmentError):
            return True


class Copied(NamedTuple):
    """A copy in the vault to remove; None where its link has no vault."""

    file: Kept
    vault: Vault | None

    @property
    def directory(self) -> None:
        """Nothing is to be synced: the vault has done so."""

    def remove(self, missing: Result) -> Result:
        """As of a target; the key goes first."""
        if self.vault is None:
            return failed(self.file, "the configuration of its link has no [vault]")
        try:
            return Result.DISPOSED if self.vault.destroy(self.file.source) else missing
        except (OSError, SftpdError) as error:
            return failed(self.file, str(error))

    def give_back(self, _download: Root | None, _missing: Result) -> tuple[Result, Parts | None]:
        """As of a target, but that a copy is not given back."""
        return failed(self.file, "a copy in the vault is not given back"), None

    def stay(self) -> Result:
        """As of a target, but that a copy does not go back."""
        return failed(self.file, "a copy in the vault is not given back")

    def stays(self, why: Result, _download: Root | None, missing: Result) -> tuple[Result, Parts | None]:
        """As of a target; nothing brings it back once its key is gone."""
        try:
            opens = self.vault is None or self.vault.opens(self.file.source)
        except (OSError, SftpdError) as error:
            return failed(self.file, str(error)), None
        return (why if opens or missing is not Result.GONE else self.remove(missing)), None

    def verified(self, result: Result) -> Result:
        """As of a target: it has neither key nor bytes."""
        try:
            gone = self.vault is None or not self.vault.holds(self.file.source)
        except (OSError, SftpdError) as error:
            return failed(self.file, str(error))
        return result if gone or result not in REMOVED else failed(self.file, _REMAINS)


def make_durable(removed: Iterable[Target | Copied]) -> None:
    """Sync each directory that lost a file; one that is gone itself has nothing left to lose."""
    for root, parts in {one.directory for one in removed if one.directory is not None}:
        try:
            with root.sub(parts) as directory:
                directory.sync()
        except (FileNotFoundError, NotADirectoryError):
            continue


def failed(file: Kept, error: str) -> Result:
    """The result for a file that could not be dealt with, once the log has the reason."""
    _log.error("disposal_failed", file=file.id, link=file.link, error=error)
    return Result.FAILED


def _find(download: Root, source: str) -> Parts | None:
    """The path of the file among those that were given back."""
    try:
        with download.sub((_RETURNED,)) as returned:
            found = (parts for parts, status in returned.walk() if str(snapshot(status)) == source)
            return next(((_RETURNED, *parts) for parts in found), None)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_in_use(root: Root, parts: Parts) -> bool:
    """Whether anybody has the file open; where the kernel does not tell, it is taken for unused."""
    try:
        fd = root.open(parts, os.O_RDONLY | os.O_NOFOLLOW)
    except BlockingIOError:
        return True  # another process has a write lease and is asked to give it back
    except PermissionError:
        return False  # it may be removed without being read
    try:
        return bool(is_in_use(fd))
    finally:
        os.close(fd)
