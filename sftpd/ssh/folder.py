"""One folder of the partner's view: what is published there, and over it the parts being uploaded."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sftpd.files.beneath import Entry, Listing, Parts, Root
from sftpd.files.staging import Staging, is_unfinished
from sftpd.sftp.requests import Permission
from sftpd.ssh.messages import Folder

_AUDIT = b"audit"
"""The folder of the audit log: whoever copies it in the order told takes the checkpoint before the tiles, and
so has every leaf that the checkpoint is about."""

_SHOWN = (stat.S_IFREG, stat.S_IFDIR)


class FolderView:
    """A folder with its two layers and what the account may do in it.

    A staged part hides the published file of its name; directories of both layers are one. Of what is
    published only regular files and directories are seen: a link made by local people would tell of them.
    """

    def __init__(self, folder: Folder, granted: frozenset[Permission]) -> None:
        self.name = folder.name.encode()
        self.permissions = granted & frozenset(map(Permission, folder.permissions))
        self.published = Root.at(Path(folder.published))
        self._staging = None if folder.staging is None else Staging(Root.at(Path(folder.staging)))

    def close(self) -> None:
        """Let both layers go."""
        self.published.close()
        if self._staging is not None:
            self._staging.root.close()

    @property
    def staging(self) -> Staging:
        """The layer that is written to. Raises OSError(EROFS) where the folder has none."""
        if self._staging is None:
            raise fault(errno.EROFS)
        return self._staging

    def staged(self, parts: Parts, *, follow: bool = False) -> os.stat_result | None:
        """What is staged at `parts`, None if nothing is; what is unfinished does not count."""
        found = self.lying_staged(parts, follow=follow)
        return None if found is not None and is_unfinished(found) else found

    def lying_staged(self, parts: Parts, *, follow: bool = False) -> os.stat_result | None:
        """What lies in the staging area at `parts`, None if nothing does."""
        return None if self._staging is None else _stat(self._staging.root, parts, follow=follow)

    def has_unfinished(self, parts: Parts) -> bool:
        """Whether an unfinished copy is staged at `parts`, which may be dropped."""
        found = self.lying_staged(parts)
        return found is not None and is_unfinished(found)

    def public(self, parts: Parts) -> os.stat_result | None:
        """What is published at `parts`, None if nothing is."""
        found = _stat(self.published, parts, follow=False)
        return found if found is not None and is_shown(found) else None

    def find(self, parts: Parts, *, follow: bool = False) -> os.stat_result | None:
        """What the partner sees at `parts`, None if nothing."""
        staged = self.staged(parts, follow=follow)
        if staged is None or stat.S_ISDIR(staged.st_mode):
            return self.public(parts) or staged
        return staged

    def scan(self, parts: Parts) -> "Directory":
        """Open a directory. Raises OSError, ENOENT where neither layer has it."""
        found = self.staged(parts)
        staged = self.staging.root.scan(parts) if found is not None and stat.S_ISDIR(found.st_mode) else None
        try:
            published = self.published.scan(parts)
            return Directory(staged, published, ordered=self.name == _AUDIT)
        except FileNotFoundError:
            if staged is None:
                raise
            return Directory(staged, None)

    def open_reading(self, parts: Parts) -> tuple[int, bool]:
        """Open a file to read it; a descriptor, and whether it is a staged part."""
        if self.staged(parts) is not None:
            return self.staging.read_part(parts), True
        return self.published.open(parts, os.O_RDONLY | os.O_NOFOLLOW), False


class Directory:
    """An open directory of the view: what is staged in it, then what is published and not hidden by that."""

    def __init__(self, staged: Listing | None, published: Listing | None, *, ordered: bool = False) -> None:
        """`ordered`: tell what is published in the order of its names; the whole listing is held for that."""
        self._staged = staged
        self._published = published
        self._ordered = ordered

    def __iter__(self) -> Iterator[Entry]:
        hidden = set()
        for entry in self._staged or ():
            if not is_unfinished(entry.stat):
                hidden.add(entry.name)
                yield entry
        published = self._published or ()
        for entry in sorted(published, key=_name) if self._ordered else published:
            if entry.name not in hidden and is_shown(entry.stat):
                yield entry

    def close(self) -> None:
        """Let the directory go."""
        for layer in (self._staged, self._published):
            if layer is not None:
                layer.close()


def fault(number: int) -> OSError:
    """The error that the kernel would raise with this number."""
    return OSError(number, os.strerror(number))


def is_shown(found: os.stat_result) -> bool:
    """Whether a published entry is for the partner's eyes."""
    return stat.S_IFMT(found.st_mode) in _SHOWN


def _name(entry: Entry) -> bytes:
    return entry.name


def _stat(root: Root, parts: Parts, *, follow: bool) -> os.stat_result | None:
    try:
        return root.stat(parts, follow=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
