"""Where the contents come from that are searched and redacted: files, or sealed copies in a vault."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import sqlalchemy as sa

from sftpd.erasure.file_names import name_carries
from sftpd.erasure.identifiers import Identifier
from sftpd.erasure.medium import Medium, Way, file_system
from sftpd.erasure.plan import Parts, Unsearched
from sftpd.errors import ContainmentError, NotFoundError, SftpdError
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import identity, snapshot
from sftpd.files.naming import reason_beside
from sftpd.files.sealed import Opened
from sftpd.files.vault import Vault
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.link import vaulted

LIMIT = 256 << 20
"""Bytes of a sealed copy that are decrypted to be searched; they lie in memory meanwhile."""

_FAILED = "failed"
"""The folder of outbound files that could not be delivered, each with its reason."""

_file = tables.kept_file.c


class ContentError(SftpdError):
    """A content cannot be had or changed; `what` says why."""

    code = "CONTENT"


class Contents(Protocol):
    """The contents of one folder, by path; each has a mark that changes when it does.

    What the disk does is raised as OSError, and ContainmentError where a path leads out; ContentError is what
    else keeps a content from being had or changed.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def paths(self, identifiers: Sequence[Identifier], unsearched: list[Unsearched]) -> Iterator[Parts]:
        """The path of each; where one cannot look goes to `unsearched`."""
        ...

    def open(self, path: Parts) -> tuple[int, str]:
        """A descriptor to read a content by, which is the caller's, and its mark.

        Raises FileNotFoundError or NotADirectoryError where there is none.
        """
        ...

    def is_still(self, path: Parts, mark: str) -> bool:
        """Whether the content is what it was under that mark."""
        ...

    def beside(self, path: Parts) -> Sequence[Parts]:
        """What lies there because of it alone, and goes with it."""
        ...

    def remove(self, path: Parts, mark: str) -> None:
        """Remove it, durably."""
        ...

    def draft(self, path: Parts, name: bytes) -> AbstractContextManager[int]:
        """An empty file for another content, which is gone after the context unless it took the place."""
        ...

    def drop_draft(self, path: Parts, name: bytes) -> None:
        """Remove what a crash left of a draft."""
        ...

    def replace(self, path: Parts, name: bytes, draft: int, like: os.stat_result) -> str:
        """Put the draft in the place of what was opened with the attributes `like`; returns its mark."""
        ...

    def retire(self, mark: str) -> None:
        """Let go of a content that was replaced, now that the ledger knows the new one."""
        ...


class Searchable(Protocol):
    """A folder with contents."""

    @property
    def name(self) -> str:
        """As findings and reports call it."""
        ...

    def open(self) -> Contents:
        """Its contents. Raises OSError."""
        ...

    def medium(self) -> Medium:
        """What a removal does to their bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of files, and where it is; directories in it `without` which it is searched."""

    name: str
    path: Path
    without: frozenset[Parts] = frozenset()

    def open(self) -> Contents:
        """Its files; links are not followed."""
        return Files(self.name, Root.at(self.path), self.without)

    def medium(self) -> Medium:
        """Names are removed."""
        return Medium(Way.UNLINKED, file_system(self.path))

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class VaultFolder:
    """The sealed copies of a link that the ledger knows; None where there is no vault to open them."""

    link: str
    vault: Vault | None
    ledger: Ledger

    @property
    def name(self) -> str:
        """As the ledger calls it."""
        return vaulted.FOLDER

    def open(self) -> Contents:
        """Its copies."""
        return Copies(self)

    def medium(self) -> Medium:
        """Keys are destroyed."""
        return Medium(Way.KEY_DESTROYED)

    def __str__(self) -> str:
        return f"vault of {self.link}"


class Files:
    """The files of one folder; the mark of each is its snapshot."""

    def __init__(self, folder: str, root: Root, without: frozenset[Parts]) -> None:
        self._folder = folder
        self._root = root
        self._without = without

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._root.close()

    def paths(self, identifiers: Sequence[Identifier], unsearched: list[Unsearched]) -> Iterator[Parts]:
        """The regular files, and a note of each directory in which one cannot look."""
        directories: list[Parts] = [()]
        while directories:
            directory = directories.pop()
            if directory and name_carries(identifiers, directory[-1].decode("utf-8", "replace")):
                reason = "the name of this directory carries the identifier: rename or remove it by hand"
                unsearched.append(Unsearched(self._folder, directory, reason))
            try:
                with self._root.scan(directory) as listing:
                    entries = sorted((name, attributes.st_mode) for name, attributes in listing)
            except FileNotFoundError:
                continue
            except (OSError, ContainmentError) as fault:
                unsearched.append(Unsearched(self._folder, directory, cannot_open(fault)))
                continue
            for name, mode in entries:
                if stat.S_ISDIR(mode) and (*directory, name) not in self._without:
                    directories.append((*directory, name))
                elif stat.S_ISREG(mode):
                    yield (*directory, name)

    def open(self, path: Parts) -> tuple[int, str]:
        """The file itself."""
        fd = self._root.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        return fd, str(identity(fd))

    def is_still(self, path: Parts, mark: str) -> bool:
        """Whether nobody has written to it or replaced it."""
        try:
            return str(snapshot(self._root.stat(path, follow=False))) == mark
        except (FileNotFoundError, NotADirectoryError):
            return False

    def beside(self, path: Parts) -> Sequence[Parts]:
        """The file that says why it failed."""
        reason = (*path[:-1], reason_beside(path[-1]))
        return [reason] if self._folder == _FAILED and self._root.exists(reason) else []

    def remove(self, path: Parts, _mark: str) -> None:
        """Remove its name."""
        self._root.unlink(path)
        durable.sync_parent(self._root, path)

    @contextmanager
    def draft(self, path: Parts, name: bytes) -> Iterator[int]:
        """A hidden file beside it."""
        fd = self._root.open((*path[:-1], name), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            yield fd
        finally:
            os.close(fd)
            self.drop_draft(path, name)

    def drop_draft(self, path: Parts, name: bytes) -> None:
        """Remove the hidden file."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._root.unlink((*path[:-1], name))

    def replace(self, path: Parts, name: bytes, draft: int, like: os.stat_result) -> str:
        """The draft gets the mode, times and name of the file, and its owner where we may."""
        with contextlib.suppress(PermissionError):
            os.fchown(draft, like.st_uid, like.st_gid)
        os.fchmod(draft, like.st_mode & 0o7777)
        os.utime(draft, ns=(like.st_atime_ns, like.st_mtime_ns))
        os.fsync(draft)
        mark = str(identity(draft))
        self._root.rename((*path[:-1], name), self._root, path, replace=True)
        durable.sync_parent(self._root, path)
        return mark

    def retire(self, _mark: str) -> None:
        """Nothing is left of it."""


class Copies:
    """The copies in the vault of a link, decrypted into unnamed files; the mark of each is its id there."""

    def __init__(self, folder: VaultFolder) -> None:
        self._vault = folder.vault
        self._link = folder.link
        self._ledger = folder.ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def paths(self, _identifiers: Sequence[Identifier], _unsearched: list[Unsearched]) -> Iterator[Parts]:
        """What the ledger knows; what it does not know is destroyed at the start."""
        with self._ledger.read() as conn:
            found = list(conn.scalars(sa.select(_file.path).where(*self._here()).order_by(_file.id)))
        return (tuple(path.split(b"/")) for path in found)

    def open(self, path: Parts) -> tuple[int, str]:
        """An unnamed file in memory with the content."""
        mark = self._mark(path)
        if mark is None:
            raise FileNotFoundError(errno.ENOENT, "no copy in our care")
        vault = self._require_vault()
        try:
            with _told(), vault.open(mark) as copy:
                return _in_memory(copy), mark
        except FileNotFoundError:
            self._destroy(mark)  # its key may be gone and its bytes be left, where a crash came between
            raise

    def is_still(self, path: Parts, mark: str) -> bool:
        """Whether the ledger has no other copy there."""
        return self._mark(path) == mark

    def beside(self, _path: Parts) -> Sequence[Parts]:
        """Nothing."""
        return ()

    def remove(self, _path: Parts, mark: str) -> None:
        """Destroy its key, and its bytes."""
        self._destroy(mark)

    @contextmanager
    def draft(self, _path: Parts, _name: bytes) -> Iterator[int]:
        """Another unnamed file in memory."""
        with unnamed() as fd:
            yield fd

    def drop_draft(self, _path: Parts, _name: bytes) -> None:
        """Nothing is left of it."""

    def replace(self, _path: Parts, _name: bytes, draft: int, _like: os.stat_result) -> str:
        """Seal the draft under an id and a key of its own; until the ledger knows it, the old one counts."""
        with _told():
            return self._require_vault().put(draft)

    def retire(self, mark: str) -> None:
        """Destroy the old copy."""
        self._destroy(mark)

    def _destroy(self, mark: str) -> None:
        with _told():
            self._require_vault().destroy(mark)

    def _require_vault(self) -> Vault:
        if self._vault is None:
            raise ContentError("the configuration of its link has no [vault]")
        return self._vault

    def _mark(self, path: Parts) -> str | None:
        with self._ledger.read() as conn:
            query = sa.select(_file.source).where(*self._here(), _file.path == b"/".join(path))
            mark: str | None = conn.scalar(query)
        return mark

    def _here(self) -> tuple[sa.ColumnElement[bool], ...]:
        return _file.link == self._link, _file.folder == vaulted.FOLDER, _file.state == "present"


def remove(contents: Contents, path: Parts, mark: str, stays: Callable[[Parts], bool]) -> None:
    """Remove a content and what lies beside it, unless that `stays`; last what a run looks for."""
    for other in contents.beside(path):
        if not stays(other):
            with contextlib.suppress(FileNotFoundError):
                contents.remove(other, "")
    contents.remove(path, mark)


def cannot_open(fault: Exception) -> str:
    """Why a file could not be opened, as a report says it."""
    reason = fault.strerror if isinstance(fault, OSError) else "it leads out of its folder"
    return f"it cannot be opened: {reason}"


@contextmanager
def _told() -> Iterator[None]:
    """Raise what a vault raises as it is told of contents."""
    try:
        yield
    except ContentError:
        raise
    except NotFoundError as gone:
        raise FileNotFoundError(errno.ENOENT, gone.what) from gone
    except SftpdError as fault:
        raise ContentError(f"the vault failed: {fault.what}") from fault


@contextmanager
def unnamed() -> Iterator[int]:
    """An empty file in memory, for the context."""
    fd = _unnamed()
    try:
        yield fd
    finally:
        os.close(fd)


def _unnamed() -> int:
    return os.memfd_create("sftpd-unsealed", os.MFD_CLOEXEC)


def _in_memory(copy: Opened) -> int:
    if copy.size > LIMIT:
        raise ContentError(f"it is a sealed copy of {copy.size} bytes; up to {LIMIT} are searched")
    fd = _unnamed()
    try:
        for chunk in copy.chunks():
            durable.write_all(fd, chunk)
    except BaseException:
        os.close(fd)
        raise
    return fd
