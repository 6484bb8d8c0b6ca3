"""The kernel's own reports of what changes below a folder; hints only, never the last word."""

import errno
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Protocol

import structlog
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

from sftpd.errors import SftpdError
from sftpd.files.syscalls import file_system_magic

_CAME = Mask(InotifyConstants.IN_CREATE | InotifyConstants.IN_MOVED_TO)
_WENT = Mask(InotifyConstants.IN_DELETE | InotifyConstants.IN_MOVED_FROM)
_MASK = Mask(
    _CAME
    | _WENT
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_EXCL_UNLINK
)
_ID = CallbackId(1)
_LIMITS = {
    errno.ENOSPC: (
        "the kernel watches no more folders",
        "raise the kernel setting fs.inotify.max_user_watches",
    ),
    errno.EMFILE: (
        "the kernel gives no more inotify instances",
        "raise the kernel setting fs.inotify.max_user_instances, or the limit of open files",
    ),
}
_CHANGED_ELSEWHERE = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "CIFS",
    0x65735546: "FUSE",
    0x01021997: "9P",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x786F4256: "VirtualBox's",
}
"""File systems that others change without this kernel knowing, by the number of their type."""

Hint = Callable[[bytes, bool], None]
"""Told the absolute path of something that may have changed, and whether it came or went as a whole."""


_log = structlog.get_logger()


class NotObservableError(SftpdError):
    """The kernel will not report changes below a folder; it has to be polled."""

    code = "NOT_OBSERVABLE"


class Observation(Protocol):
    """Reports going on for one folder."""

    def alive(self) -> bool:
        """Whether reports still come. Raises NotObservableError when they no longer come from everywhere."""
        ...

    def stop(self) -> None:
        """End the reports and join their threads."""
        ...


class _Watches:
    """The kernel's number of each folder that is watched, and what it is to know of a move by its path."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._folders: dict[int, bytes] = {}
        self._inner: defaultdict[bytes, set[bytes]] = defaultdict(set)
        """Those in a folder: to look through all for each that goes takes the square of the time."""

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def folder(self, number: int) -> bytes | None:
        """The folder that a number stands for."""
        return self._folders.get(number)

    def put(self, folder: bytes, number: int) -> None:
        """Know a folder by its number, and neither by another."""
        self.pop(folder)
        if (before := self._folders.get(number)) is not None:
            self.pop(before)
        self._numbers[folder] = number
        self._folders[number] = folder
        self._inner[_parent(folder)].add(folder)

    def pop(self, folder: bytes) -> int | None:
        """Know a folder no longer; returns the number that it had."""
        number = self._numbers.pop(folder, None)
        if number is not None:
            del self._folders[number]
            beside = self._inner[_parent(folder)]
            beside.discard(folder)
            if not beside:
                del self._inner[_parent(folder)]
        return number

    def below(self, folder: bytes) -> list[bytes]:
        """A folder and all below it that are watched."""
        found = [folder]
        for each in found:
            found += self._inner.get(each, ())
        return found


class _Reader(InotifyFD):
    """Reads the kernel's queue; to watch again what is watched already is no mistake."""

    def _add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        watch = self._get_or_create_watch(path, mask)
        watch.callbacks[id_] = callback
        return watch.wd


class InotifyObservation:
    """Reports by inotify, read by watchdog, of a folder and, if `recursive`, all below it.

    Raises NotObservableError where inotify does not work: past its limits, or on a file system that others
    change without this kernel knowing.
    """

    def __init__(self, root: Path, hint: Hint, *, recursive: bool = True) -> None:
        self._root = os.fsencode(root)
        self._hint = hint
        self._recursive = recursive
        self._lock = Lock()
        self._watches = _Watches()
        self._refusal: NotObservableError | None = None
        try:
            self._reader = _Reader()
        except OSError as error:
            raise _not_observable(self._root, error) from error
        self._reader.start()
        self._observe(self._root)
        if self._refusal is not None:
            self.stop()
            raise self._refusal

    def alive(self) -> bool:
        """Whether the thread that brings reports is running.

        Raises NotObservableError when a folder that came later cannot be watched.
        """
        if self._refusal is not None:
            raise self._refusal
        return self._reader.is_alive()

    def stop(self) -> None:
        """End the reports and join their thread."""
        self._reader.stop()
        self._reader.join()

    def on_event(self, event: InotifyEvent) -> None:
        """Turn what the kernel says into a hint; on the reader's thread."""
        with self._lock:
            folder = self._watches.folder(event.wd)
        if folder is None or not event.name:
            return
        path = folder + b"/" + event.name
        if event.mask & InotifyConstants.IN_ISDIR:
            self._forget(path)
            if self._recursive and event.mask & _CAME and not event.name.startswith(b"."):
                # Watched first, then hinted at: what came into it before the watch did is found by a look.
                self._observe(path)
        self._hint(path, bool(event.mask & (_CAME | _WENT)))

    def on_watch_deleted(self, wd: int) -> None:
        """Forget a folder that is gone; on the reader's thread."""
        with self._lock:
            if (folder := self._watches.folder(wd)) is not None:
                self._watches.pop(folder)

    def on_queue_overflow(self) -> None:
        """Reports were lost: watch what there is and hint at all of it; on the reader's thread."""
        _log.warning(
            "inotify_overflow",
            folder=os.fsdecode(self._root),
            remedy="it is scanned in full; raise the kernel setting fs.inotify.max_queued_events",
        )
        # Removing a watch is reported too: to remove all and begin anew could overflow the queue for ever.
        with self._lock:
            before = set(self._watches)
        self._end(before - self._observe(self._root, anew=True))
        self._hint(self._root, False)

    def _observe(self, folder: bytes, *, anew: bool = False) -> set[bytes]:
        """Watch a folder and those below it, `anew` even if they are; returns which these are.

        One that came and cannot be watched is the refusal.
        """
        folders, seen = [folder], set()
        while folders and self._refusal is None:
            folder = folders.pop()
            try:
                folders += self._watch(folder, anew=anew)
                seen.add(folder)
            except NotObservableError as refusal:
                self._refusal = refusal
            except OSError as error:
                # One below the root that went meanwhile, or may not be read, is the business of the scan.
                if folder == self._root or error.errno in _LIMITS:
                    self._refusal = _not_observable(folder, error)
        return seen

    def _watch(self, folder: bytes, *, anew: bool) -> list[bytes]:
        """Watch one folder; returns those in it that are to be watched too. Raises OSError."""
        kind = _CHANGED_ELSEWHERE.get(file_system_magic(folder))
        if kind is not None:
            raise NotObservableError(
                f"changes made elsewhere are not reported on {kind}", where=os.fsdecode(folder)
            )
        # Opened first: who may list it may watch it. Watched before it is read: nothing is missed.
        with os.scandir(folder) as entries:
            with self._lock:
                # The kernel gives the same number again for a folder that is watched, whatever its path was.
                wd = self._reader.add_callback(folder, _MASK, self, _ID)
                if self._watches.folder(wd) == folder and not anew:
                    return []
                self._watches.put(folder, wd)
            return [entry.path for entry in entries if self._recursive and _is_folder(entry)]

    def _forget(self, folder: bytes) -> None:
        """Watch a folder that went, and those that were below it, no longer."""
        with self._lock:
            gone = self._watches.below(folder)
        self._end(gone)

    def _end(self, folders: Iterable[bytes]) -> None:
        with self._lock:
            watches = [self._watches.pop(folder) for folder in folders]
        self._reader.remove_callbacks([(WatchDescriptor(wd), _ID) for wd in watches if wd is not None])


def _parent(folder: bytes) -> bytes:
    return folder.rpartition(b"/")[0]


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(b".")


def _not_observable(folder: bytes, error: OSError) -> NotObservableError:
    what, remedy = _LIMITS.get(error.errno or 0, (error.strerror or str(error), None))
    return NotObservableError(what, where=os.fsdecode(folder), remedy=remedy)
