"""A FUSE file system over a folder that fails as it is told: python faults_layer.py FOLDER MOUNT ORDERS TOLD.

ORDERS is a file with a line for each kind of operation that ends in EIO: its name, and how the path begins
that it is done to. It may change at any moment. TOLD gets a line for each that failed.

As with a kernel's page cache, what a failed fsync should have made durable can be read and counts as written,
so that another fsync succeeds; the medium never gets it, which shows once the file system is mounted anew.

With two more arguments, HISTORY and CLOCK, a copy of all that the folder holds is left in HISTORY after each
change, named after the size that the file CLOCK had then.
"""

import contextlib
import errno
import itertools
import os
import shutil
import stat
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mfusepy

_PAGE = 4096
_ORDERS_LIMIT = 256


class Layer(mfusepy.Operations):
    """The file system, for one thread."""

    use_ns = True

    def __init__(self, folder: str, orders: str, told: str) -> None:
        self._folder = folder
        self._orders = os.open(orders, os.O_RDONLY)
        self._told = os.open(told, os.O_WRONLY | os.O_APPEND)
        self._dirty: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
        """What the medium has of each page written since the last fsync, by inode and number."""
        self._lost: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
        """The same of pages that no fsync will make durable unless they are written again."""

    def lose(self) -> None:
        """Have the folder be as the medium is."""
        for path in Path(self._folder).rglob("*"):
            found = path.lstat()
            pages = self._lost.get(found.st_ino, {}) if stat.S_ISREG(found.st_mode) else {}
            for page, content in pages.items():
                with path.open("r+b") as file:
                    file.seek(page * _PAGE)
                    file.write(content.ljust(_PAGE, b"\0")[: max(0, found.st_size - page * _PAGE)])

    def _at(self, path: str) -> str:
        return self._folder + path

    def _may(self, operation: str, what: object) -> None:
        """Fail where that is ordered."""
        step = f"{operation} {what}"
        if step.startswith(tuple(os.pread(self._orders, _ORDERS_LIMIT, 0).decode().splitlines())):
            os.write(self._told, f"{step}\n".encode(errors="surrogateescape"))
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def changed(self) -> None:
        """Something in the folder is not as it was."""

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._at(path)) if fh is None else os.fstat(fh)
        times = {f"st_{name}": getattr(found, f"st_{name}_ns") for name in ("atime", "mtime", "ctime")}
        same = ("dev", "ino", "mode", "nlink", "uid", "gid", "size", "blocks", "blksize")
        return {f"st_{name}": getattr(found, f"st_{name}") for name in same} | times

    def readdir(self, path: str, _fh: int) -> Iterator[tuple[str, dict[str, Any], int]]:
        for name in (".", "..", *os.listdir(self._at(path))):
            found = os.lstat(f"{self._at(path)}/{name}")
            yield name, {"st_ino": found.st_ino, "st_mode": found.st_mode}, 0

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._at(path))
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}

    def mknod(self, path: str, mode: int, dev: int) -> None:
        os.mknod(self._at(path), mode, dev)
        self.changed()

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._at(path), mode)
        self.changed()

    def rmdir(self, path: str) -> None:
        os.rmdir(self._at(path))
        self.changed()

    def unlink(self, path: str) -> None:
        found = os.lstat(self._at(path))
        os.unlink(self._at(path))
        if found.st_nlink == 1:
            self._forget(found.st_ino)
        self.changed()

    def symlink(self, target: str, source: str) -> None:
        os.symlink(source, self._at(target))
        self.changed()

    def link(self, target: str, source: str) -> None:
        os.link(self._at(source), self._at(target))
        self.changed()

    def rename(self, old: str, new: str) -> None:
        self._may("rename", f"{old} {new}")
        with contextlib.suppress(FileNotFoundError):
            self._forget(os.lstat(self._at(new)).st_ino)
        os.rename(self._at(old), self._at(new))
        self.changed()

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._at(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.lchown(self._at(path), uid, gid)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        os.utime(self._at(path), ns=times, follow_symlinks=False)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        os.truncate(self._at(path) if fh is None else fh, length)
        ino = os.stat(self._at(path) if fh is None else fh).st_ino
        for pages in (self._dirty[ino], self._lost[ino]):
            for page in [page for page in pages if page * _PAGE >= length]:
                del pages[page]
        self.changed()

    def create(self, path: str, mode: int, flags: int) -> int:
        fd = self._open(path, flags | os.O_CREAT, mode)
        self._forget(os.fstat(fd).st_ino)
        self.changed()
        return fd

    def open(self, path: str, flags: int) -> int:
        return self._open(path, flags)

    def _open(self, path: str, flags: int, mode: int = 0o777) -> int:
        # The kernel says where to write. Nobody reads what an O_WRONLY file holds but for the page cache.
        flags &= ~(os.O_APPEND | os.O_DIRECT)
        if flags & os.O_ACCMODE == os.O_WRONLY:
            flags = flags & ~os.O_ACCMODE | os.O_RDWR
        return os.open(self._at(path), flags, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._may("read", path)
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._may("write", path)
        ino = os.fstat(fh).st_ino
        dirty, lost = self._dirty[ino], self._lost[ino]
        for page in range(offset // _PAGE, (offset + len(data) + _PAGE - 1) // _PAGE):
            if page in lost:
                dirty[page] = lost.pop(page)
            elif page not in dirty:
                dirty[page] = os.pread(fh, _PAGE, page * _PAGE)
        written = os.pwrite(fh, data, offset)
        self.changed()
        return written

    def fsync(self, path: str, _datasync: int, fh: int) -> None:
        ino = os.fstat(fh).st_ino
        pages = self._dirty.pop(ino, {})
        try:
            self._may("fsync", path)
        except OSError:
            self._lost[ino] |= pages
            raise

    def fsyncdir(self, path: str, _datasync: int, _fh: int) -> None:
        self._may("fsyncdir", path)

    def release(self, _path: str, fh: int) -> None:
        os.close(fh)

    def _forget(self, ino: int) -> None:
        self._dirty.pop(ino, None)
        self._lost.pop(ino, None)


class Remembering(Layer):
    """One that keeps what the folder held, after each change."""

    def __init__(self, folder: str, orders: str, told: str, history: str, clock: str) -> None:
        super().__init__(folder, orders, told)
        self._history = history
        self._clock = clock
        self._numbers = itertools.count()
        self.changed()

    def changed(self) -> None:
        moment = os.stat(self._clock).st_size
        shutil.copytree(self._folder, f"{self._history}/{moment:015}-{next(self._numbers):06}")


if __name__ == "__main__":
    _folder, _mount, *_more = sys.argv[1:]
    _layer = (Remembering if len(_more) > 2 else Layer)(_folder, *_more)
    mfusepy.FUSE(_layer, _mount, foreground=True, nothreads=True, use_ino=True, fsname="faults")
    _layer.lose()
