"""A virtual path and the folder it falls in."""

import errno
import stat
from typing import NamedTuple, Self

from sftpd.files.beneath import Parts
from sftpd.names import VirtualPath
from sftpd.sftp.requests import Permission
from sftpd.ssh.folder import FolderView, fault

_TOP = frozenset({Permission.LIST})
_MAKING = frozenset({Permission.WRITE, Permission.MKDIR, Permission.SYMLINK, Permission.HARDLINK})


class Place(NamedTuple):
    """Where a path leads: to the root or nowhere (`within` is None), to a folder, or beneath one."""

    path: VirtualPath
    within: FolderView | None
    parts: Parts
    """The path from its folder on."""
    permissions: frozenset[Permission]
    """What may be done there; the root and the folders themselves may only be listed."""

    @classmethod
    def of(cls, path: VirtualPath, within: FolderView | None) -> Self:
        """The place of a path that leads to or into a folder, or to none."""
        parts = path.parts[1:]
        if within is None:
            return cls(path, within, parts, _TOP)
        return cls(path, within, parts, within.permissions if parts else within.permissions & _TOP)

    @property
    def folder(self) -> FolderView:
        """The folder. Raises FileNotFoundError where there is none."""
        if self.within is None:
            raise fault(errno.ENOENT)
        return self.within

    def missing(self, needed: frozenset[Permission], *, expected: bool) -> list[Permission]:
        """What of `needed` is not granted.

        To make something beside the folders is not granted. All else that is `expected` to be there is not:
        FileNotFoundError.
        """
        missing = needed - self.permissions
        if not missing:
            return []
        if self.within is None and self.path.parts and expected and not missing <= _MAKING:
            raise fault(errno.ENOENT)
        return sorted(missing)

    def require_parent(self) -> None:
        """Raise OSError unless the directory that is to hold it is there."""
        if len(self.parts) == 1 and self.within is not None:
            return
        parent = self.folder.find(self.parts[:-1])
        if parent is None:
            raise fault(errno.ENOENT)
        if not stat.S_ISDIR(parent.st_mode):
            raise fault(errno.ENOTDIR)

    def require_free(self) -> None:
        """Raise OSError unless nothing is there and something could be."""
        self.require_parent()
        if self.folder.find(self.parts) is not None:
            raise fault(errno.EEXIST)
