"""The kernel's own reports of what changes below a folder; hints only, never the last word."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyEvent, InotifyFD

from sftpd.errors import SftpdError

_KINDS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
]
_LIMITS = {errno.ENOSPC: "fs.inotify.max_user_watches", errno.EMFILE: "fs.inotify.max_user_instances"}
_REMOTE_FILE_SYSTEMS = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "glusterfs", "afs")

Hint = Callable[[bytes], None]
"""Told the absolute path of something that may have changed."""


class NotObservableError(SftpdError):
    """The kernel will not report changes below a folder; it has to be polled."""

    code = "NOT_OBSERVABLE"


class Observation(Protocol):
    """Reports going on for one folder."""

    def alive(self) -> bool:
        """Whether reports still come."""
        ...

    def stop(self) -> None:
        """End the reports and join their threads."""
        ...


class _Handler(FileSystemEventHandler):
    def __init__(self, hint: Hint) -> None:
        self._hint = hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            if path:
                self._hint(os.fsencode(path))


class _Reader(InotifyFD):
    """Reads the kernel's queue; when that overflowed, the root itself may have changed anywhere."""

    def __init__(self, root: Path, hint: Hint) -> None:
        super().__init__()
        self._root = os.fsencode(root)
        self._hint = hint

    def handle_event(self, event: InotifyEvent) -> None:
        super().handle_event(event)
        if event.is_queue_overflow:
            self._hint(self._root)


class InotifyObservation:
    """Reports by inotify, through watchdog, of a folder and all below it.

    Raises NotObservableError where inotify does not work: past its limits, or on a file system that others
    change without this kernel knowing.
    """

    def __init__(self, root: Path, hint: Hint) -> None:
        try:
            kind = file_system_of(root)
            if kind.startswith(_REMOTE_FILE_SYSTEMS):
                raise NotObservableError(
                    f"changes made elsewhere are not reported on {kind}", where=str(root)
                )
            self._reader = _Reader(root, hint)
        except OSError as error:
            raise _not_observable(root, error) from error
        self._reader.start()
        self._observer = BaseObserver(InotifyEmitter, inotify_fd=self._reader)
        try:
            # Text for the path, not bytes: file names that are not UTF-8 survive as surrogates either way.
            self._observer.schedule(_Handler(hint), str(root), recursive=True, event_filter=_KINDS)
            self._observer.start()
        except OSError as error:
            self._observer.stop()
            self._end_reader()
            raise _not_observable(root, error) from error

    def alive(self) -> bool:
        """Whether every thread that brings reports is running."""
        emitters = list(self._observer.emitters)
        return bool(emitters) and all(t.is_alive() for t in (self._reader, self._observer, *emitters))

    def stop(self) -> None:
        """End the reports and join their threads."""
        self._observer.stop()
        self._observer.join()
        self._end_reader()

    def _end_reader(self) -> None:
        self._reader.stop()
        self._reader.join()


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path`, such as `ext4` or `nfs4`; empty when it is not known."""
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split(" ", 3)[2] == number:
            return source.split(" ", 1)[0]
    return ""


def _not_observable(root: Path, error: OSError) -> NotObservableError:
    limit = _LIMITS.get(error.errno or 0)
    remedy = None if limit is None else f"raise the kernel setting {limit}"
    return NotObservableError(error.strerror or str(error), where=str(root), remedy=remedy)
