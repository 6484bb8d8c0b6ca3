"""A virtual path and the folder it falls in."""

import errno
import stat
from typing import NamedTuple

from sftpd.files.beneath import Parts
from sftpd.names import VirtualPath
from sftpd.sftp.requests import Permission
from sftpd.ssh.folder import FolderView, fault

_TOP = frozenset({Permission.LIST})


class Place(NamedTuple):
    """Where a path leads: to the root or nowhere (`within` is None), to a folder, or beneath one."""

    path: VirtualPath
    within: FolderView | None

    @property
    def parts(self) -> Parts:
        """The path from its folder on."""
        return self.path.parts[1:]

    @property
    def permissions(self) -> frozenset[Permission]:
        """What may be done there; the root and the folders themselves may only be listed."""
        if self.within is None:
            return _TOP
        return self.within.permissions if self.parts else self.within.permissions & _TOP

    @property
    def folder(self) -> FolderView:
        """The folder. Raises FileNotFoundError where there is none."""
        if self.within is None:
            raise fault(errno.ENOENT)
        return self.within

    def require_somewhere(self) -> None:
        """Raise FileNotFoundError for a path beside the folders, where there is nothing."""
        if self.path.parts:
            _ = self.folder

    def require_parent(self) -> None:
        """Raise OSError unless the directory that is to hold it is there."""
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
