"""What lies in the hooks directory: which files are hooks of which event, which cannot run, and why not."""

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sftpd.errors import HookError
from sftpd.hooks.spec import EVENTS, HookEvent

_HOOK_NAME = re.compile(r"[A-Za-z0-9_-]+")
"""The names run-parts accepts; other visible names are more likely a mistake than a comment."""

_TICK = 50_000_000
"""Nanoseconds; no kernel's clock for files ticks as slowly."""


@dataclass(frozen=True, slots=True)
class HookFile:
    """A file in the hooks directory; `fault` says why it cannot run, None that it can.

    `event` is empty for a file that belongs to no event.
    """

    event: str
    path: Path
    fault: str | None = None

    @property
    def usable(self) -> bool:
        """Whether the file can run as a hook."""
        return self.fault is None


def list_event(directory: Path, event: HookEvent) -> list[HookFile]:
    """The hooks of one event in the order they run; where the event has no directory there are none.

    Editor backups (`*~`), dotfiles and README stand for nothing and are left out.
    Raises HookError when a directory cannot be read, or `directory` is not there: that hooks are meant to be
    none cannot be told from a name that is misspelt or a disk that is not mounted.
    """
    hooks = [HookFile(event.name, path, _fault(path)) for path in _visible(directory / event.directory)]
    if not hooks and not directory.is_dir():
        raise HookError(
            "no folder of hooks is there",
            where=str(directory),
            remedy="mend instance.hooks or the installation; an empty folder means that there are no hooks",
        )
    return hooks


class Listings:
    """The hooks of each event, listed anew whenever the directory or one of them has changed.

    Where an event had hooks, an empty directory in the place of theirs is a disk that is not mounted.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept: dict[str, tuple[dict[str, _Stamp | None], list[HookFile]]] = {}
        self._homes: dict[str, dict[str, _Stamp | None]] = {}
        """Of each event that had hooks: the directories in which they last lay."""
        for event in EVENTS.values():
            with contextlib.suppress(HookError):
                self.of(event)

    def of(self, event: HookEvent) -> list[HookFile]:
        """As `list_event`. Raises HookError also where a directory is empty that is not the one of before."""
        stamps, hooks = self._kept.get(event.name, ({}, []))
        if stamps and all(_stamp(path) == stamp for path, stamp in stamps.items()):
            return hooks
        homes = str(self._directory), str(self._directory / event.directory)
        before = {home: _stamp(home) for home in homes}
        hooks = list_event(self._directory, event)
        if hooks:
            self._homes[event.name] = before.copy()
        else:
            self._require_same(event)
        before |= {str(hook.path): _stamp(str(hook.path)) for hook in hooks}
        if all(stamp is None or stamp.is_settled() for stamp in before.values()):
            self._kept[event.name] = before, hooks
        return hooks

    def require_mounted(self) -> None:
        """Pass unless an empty directory lies in the place of one in which an event had hooks.

        Raises HookError. Where other files lie its disk is mounted: somebody has taken the hooks out.
        """
        for name in self._homes:
            for home in self._moved(name):
                if not any(_visible(Path(home))):
                    raise _not_mounted(home, name)

    def _require_same(self, event: HookEvent) -> None:
        """Pass if the directories in which an event had hooks are those still, or one of them is gone."""
        for home in self._moved(event.name):
            raise _not_mounted(home, event.name)

    def _moved(self, event: str) -> Iterator[str]:
        """The directories in which an event had hooks, and where others lie now."""
        for home, had in self._homes.get(event, {}).items():
            found = _stamp(home)
            if had is not None and found is not None and found[:2] != had[:2]:
                yield home


def _not_mounted(home: str, event: str) -> HookError:
    return HookError(
        f"had hooks for {event}, and now another folder lies there that has none: "
        "something may be not mounted",
        where=home,
        remedy="mount it; if none are meant to be there, restart sftpd",
    )


class _Stamp(NamedTuple):
    """By what a change to a file or directory shows."""

    device: int
    inode: int
    ctime_ns: int

    def is_settled(self) -> bool:
        """Whether the next change would show: those within one tick of the kernel's clock look the same."""
        return time.time_ns() - self.ctime_ns > _TICK


def _stamp(path: str) -> _Stamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - for each event, and a Path takes longer than the kernel
    except OSError:
        return None
    return _Stamp(found.st_dev, found.st_ino, found.st_ctime_ns)


def list_all(directory: Path) -> list[HookFile]:
    """Every hook of every event, then whatever else lies beside the event directories, as faulty.

    Raises HookError as `list_event`.
    """
    rows = [hook for event in EVENTS.values() for hook in list_event(directory, event)]
    known = {event.directory for event in EVENTS.values()}
    expected = ", ".join(sorted(known))
    strays = (path for path in _visible(directory) if path.name not in known)
    return rows + [HookFile("", path, f"belongs to no event; events are {expected}") for path in strays]


def faults(directory: Path) -> list[str]:
    """A line for each hook in `directory` that cannot run, or for why they cannot be listed."""
    try:
        return [f"{row.path}: {row.fault}" for row in list_all(directory) if not row.usable]
    except HookError as error:
        return [str(error)]


def _visible(directory: Path) -> Iterator[Path]:
    try:
        paths = sorted(directory.iterdir(), key=lambda path: os.fsencode(path.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise HookError(f"cannot be read: {error.strerror}", where=str(directory)) from error
    for path in paths:
        if not (path.name.startswith(("README", ".")) or path.name.endswith("~")):
            yield path


def _fault(path: Path) -> str | None:
    if _HOOK_NAME.fullmatch(path.name) is None:
        return "name has characters other than A-Z, a-z, 0-9, '-' and '_'"
    try:
        status = path.stat()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return "is not a file"
    if status.st_mode & stat.S_IWOTH:
        return "may be changed by every user"
    if not os.access(path, os.X_OK):
        return "is not executable"
    return None
