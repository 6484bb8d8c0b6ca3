"""What one account sees and does: its folders, with staged parts over what is published.

The session writes to its staging area alone; what changes a published tree is asked of the monitor.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Literal

from sftpd.errors import InvalidNameError
from sftpd.files.beneath import FILE_MODE, Entry
from sftpd.files.fingerprint import identity
from sftpd.names import VirtualPath
from sftpd.process.messages import Done
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.requests import OpenFlag, Permission
from sftpd.sftp.status import Status, StatusError
from sftpd.ssh import messages
from sftpd.ssh.asking import Monitor, ask
from sftpd.ssh.folder import Directory, FolderView, fault
from sftpd.ssh.long_answer import Steps
from sftpd.ssh.open_file import Fetch, Upload, set_by_descriptor, told
from sftpd.ssh.place import Place
from sftpd.ssh.uploads import Uploads

_TOP = Attributes(permissions=stat.S_IFDIR | 0o555)


class View:
    """The folders of one account. Methods raise OSError, RefusedError, StatusError and ContainmentError."""

    def __init__(
        self,
        folders: Iterable[messages.Folder],
        permissions: Iterable[str],
        monitor: Monitor,
        *,
        rationed: bool = True,
    ) -> None:
        """`rationed`: the monitor is asked before an upload begins."""
        granted = frozenset(map(Permission, permissions))
        self._folders = {folder.name.encode(): FolderView(folder, granted) for folder in folders}
        self._monitor = monitor
        self._uploads = Uploads(monitor, rationed=rationed)
        self._told: set[str] = set()
        self._last = b"", Place.of(VirtualPath(), None)
        """The path that was asked for last: each is needed once for its permissions and once for itself."""

    def close(self) -> None:
        """Let every folder go."""
        for folder in self._folders.values():
            folder.close()

    def tell_limit(self, limit: Literal["HANDLES", "LIST_ENTRIES"]) -> None:
        """Tell the monitor of a refusal; once, for a client may try again at once."""
        if limit not in self._told:
            self._told.add(limit)
            self._monitor.notify(messages.LimitReached(limit))

    def place(self, raw: bytes) -> Place:
        """Where a path from the wire leads. Raises ContainmentError and InvalidNameError."""
        if raw != self._last[0]:
            path = VirtualPath.parse(raw)
            self._last = raw, Place.of(path, self._folders.get(path.parts[0]) if path.parts else None)
        return self._last[1]

    def attributes(self, place: Place, *, follow: bool) -> Attributes:
        """A path's attributes; a file completed in this session has them although its consumer took it."""
        if not place.path.parts:
            return _TOP
        if (found := place.folder.find(place.parts, follow=follow)) is not None:
            return told(found)
        if (remembered := self._uploads.completed.get(place.path)) is not None:
            return remembered
        raise fault(errno.ENOENT)

    def scan(self, place: Place) -> Directory:
        """Open a directory other than the root."""
        return place.folder.scan(place.parts)

    def top(self) -> Iterator[Entry]:
        """The entries of the root."""
        for name, folder in self._folders.items():
            yield Entry(name, folder.published.stat(()))

    def statvfs(self, place: Place) -> os.statvfs_result:
        """The figures of the file system behind a path, and of it what the account may fill.

        Raises FileNotFoundError where nothing is there.
        """
        self.attributes(place, follow=True)
        return self.fstatvfs(place)

    def fstatvfs(self, place: Place) -> os.statvfs_result:
        """The same of what is open, whatever became of its path; all folders of a link are on one."""
        folder = place.within or next(iter(self._folders.values()), None)
        if folder is None:
            raise fault(errno.ENOENT)
        figures, room = folder.published.statvfs(), self._uploads.room()
        if room is None:
            return figures
        return _within(figures, room // figures.f_frsize)

    def readlink(self, place: Place) -> bytes:
        """The target of a staged link; published ones are not seen."""
        found = place.folder.find(place.parts)
        if found is None:
            raise fault(errno.ENOENT)
        if not stat.S_ISLNK(found.st_mode):
            raise fault(errno.EINVAL)
        return place.folder.staging.root.readlink(place.parts)

    def symlink(self, target: bytes, place: Place) -> None:
        """Make a link in the staging area, where it stays. Raises InvalidNameError for a target with NUL."""
        if b"\0" in target:
            raise InvalidNameError("target of a link holds a NUL byte", expected="no NUL")
        place.require_free()
        root = place.folder.staging.root
        root.make_parents(place.parts)
        root.symlink(target, place.parts)

    def hardlink(self, old: Place, new: Place) -> Steps[None]:
        """Upload the content of `old` as `new`.

        As published files are never written in place, this is what a second name would be, and it passes
        the gates.
        """
        new.require_free()
        with self.reading(old) as source:
            yield from self._uploads.copy(source, new)

    @contextlib.contextmanager
    def reading(self, place: Place) -> Iterator[int]:
        """A descriptor of a file, for what reads it but does not fetch it."""
        fd, _ = place.folder.open_reading(place.parts)
        try:
            yield fd
        finally:
            os.close(fd)

    def mkdir(self, place: Place) -> None:
        """Make a directory."""
        place.require_free()
        ask(self._monitor, messages.MakeDirectory(bytes(place.path)), Done)

    def rmdir(self, place: Place) -> None:
        """Remove a directory that is empty in both layers."""
        staged, public = place.folder.staged(place.parts), place.folder.public(place.parts)
        if staged is None and public is None:
            raise fault(errno.ENOENT)
        if staged is not None:
            place.folder.staging.root.rmdir(place.parts)
        if public is not None:
            ask(self._monitor, messages.RemoveDirectory(bytes(place.path)), Done)

    def remove(self, place: Place) -> None:
        """Remove a file from both layers."""
        staged, public = place.folder.staged(place.parts), place.folder.public(place.parts)
        if any(found is not None and stat.S_ISDIR(found.st_mode) for found in (staged, public)):
            raise fault(errno.EISDIR)
        if staged is not None or place.folder.has_unfinished(place.parts):
            place.folder.staging.remove(place.parts)
        self._uploads.forget(place.path)
        if staged is None and public is None:
            raise fault(errno.ENOENT)
        if public is not None:
            ask(self._monitor, messages.Remove(bytes(place.path)), Done)

    def rename(self, old: Place, new: Place, *, replace: bool) -> Steps[None]:
        """Rename a file or directory within its folder; what `replace` replaces is a file."""
        if old.within is not new.within:
            raise fault(errno.EXDEV)
        there = new.folder.find(new.parts)
        if not replace:
            new.require_free()
        elif _is_directory(there):
            raise fault(errno.EISDIR)
        elif there is not None and _is_directory(old.folder.find(old.parts)):
            raise fault(errno.ENOTDIR)
        new.require_parent()
        staged = old.folder.staged(old.parts)
        if staged is None or _is_directory(staged):
            self._rename_published(old, new, replace=replace)
        else:
            yield from self._uploads.rename(old, new, replace=replace)

    def set_attributes(self, place: Place, wanted: Attributes) -> Steps[None]:
        """Change size, mode or times of a path; the owner of a file cannot be changed."""
        if wanted.owner is not None:
            raise fault(errno.EPERM)
        if wanted.size is not None:
            yield from self._uploads.truncate(place, wanted.size)
        if wanted.permissions is None and wanted.times is None:
            return
        staged = place.folder.staged(place.parts, follow=True)
        if staged is not None and not _is_directory(staged):
            fd = place.folder.staging.read_part(place.parts)
            try:
                set_by_descriptor(fd, wanted)
            finally:
                os.close(fd)
        elif place.folder.public(place.parts) is not None:
            ask(self._monitor, _set_attributes(place, wanted), Done)
        elif (remembered := self._uploads.completed.get(place.path)) is not None:
            self._uploads.completed.put(place.path, _merged(remembered, wanted))
        else:
            raise fault(errno.ENOENT)

    def set_own_attributes(self, place: Place, wanted: Attributes) -> Steps[None]:
        """Change mode or times of a path, of a link itself: a link has no size and no mode to change."""
        if wanted.size is not None:
            raise fault(errno.EINVAL)
        staged = place.folder.staged(place.parts)
        if staged is None or not stat.S_ISLNK(staged.st_mode):
            yield from self.set_attributes(place, wanted)
        elif wanted.owner is not None:
            raise fault(errno.EPERM)
        elif wanted.permissions is not None:
            raise fault(errno.EOPNOTSUPP)
        elif wanted.times is not None:
            atime, mtime = wanted.times
            place.folder.staging.root.utime(place.parts, (atime * 10**9, mtime * 10**9), follow=False)

    def fetch(self, place: Place) -> Fetch:
        """Open a file for reading only."""
        fd, staged = place.folder.open_reading(place.parts)
        return Fetch(fd, place, staged=staged)

    def upload(self, place: Place, flags: int, size_hint: int | None) -> Steps[Upload]:
        """Open a file for writing, as the OpenFlags in `flags` say; `size_hint` in bytes."""
        found = place.folder.find(place.parts)
        if found is None and not flags & OpenFlag.CREATE:
            raise fault(errno.ENOENT)
        if found is not None and flags & OpenFlag.CREATE and flags & OpenFlag.EXCLUSIVE:
            raise fault(errno.EEXIST)
        if _is_directory(found):
            raise fault(errno.EISDIR)
        if found is not None and stat.S_ISLNK(found.st_mode):
            raise StatusError(Status.PERMISSION_DENIED, "nothing is written through a link")
        return (yield from self._uploads.begin(place, flags, size_hint))

    def finish(self, upload: Upload) -> Steps[None]:
        """Close a file on its client's word; see `Uploads.finish`."""
        return self._uploads.finish(upload)

    def abandon(self, file: Fetch | Upload) -> None:
        """Close a file because the session ends: an upload stays a part and nothing is published."""
        if isinstance(file, Upload):
            self._uploads.abandon(file)
        else:
            self.fetched(file)

    def fetched(self, file: Fetch) -> None:
        """Close a file that was open for reading only."""
        version = identity(file.fd)
        file.close()
        if not file.staged:
            path = bytes(file.place.path)
            self._monitor.notify(messages.Fetched(path, version.size, file.read, str(version)))

    def _rename_published(self, old: Place, new: Place, *, replace: bool) -> None:
        folder = old.folder
        staged, public = folder.staged(old.parts), folder.public(old.parts)
        if staged is None and public is None:
            raise fault(errno.ENOENT)
        if public is not None:
            ask(self._monitor, messages.Rename(bytes(old.path), bytes(new.path), replace), Done)
        if staged is not None:
            folder.staging.rename(old.parts, new.parts, replace=False)
        elif folder.staged(new.parts) is not None:
            folder.staging.remove(new.parts)
            self._uploads.forget(new.path)
        self._uploads.forget(old.path)


def _is_directory(found: os.stat_result | None) -> bool:
    return found is not None and stat.S_ISDIR(found.st_mode)


def _set_attributes(place: Place, wanted: Attributes) -> messages.SetAttributes:
    atime, mtime = wanted.times or (None, None)
    mode = None if wanted.permissions is None else wanted.permissions & 0o777
    return messages.SetAttributes(bytes(place.path), mode, mtime, atime)


def _merged(known: Attributes, wanted: Attributes) -> Attributes:
    mode = known.permissions
    if mode is not None and wanted.permissions is not None:
        mode = stat.S_IFMT(mode) | wanted.permissions & 0o777 | FILE_MODE
    return Attributes(size=known.size, permissions=mode, times=wanted.times or known.times)


def _within(figures: os.statvfs_result, room: int) -> os.statvfs_result:
    """The figures of a file system that has no more than `room` blocks left."""
    unit, size, blocks, free, available, *others = figures
    left = min(free, room)
    return os.statvfs_result((unit, size, blocks - free + left, left, min(available, room), *others))
