"""What lies beside a file and goes with it: why it failed, and the same bytes in an upload without an end."""

import os
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress

from sftpd.errors import ContainmentError
from sftpd.files.beneath import Parts, Root
from sftpd.files.fingerprint import snapshot
from sftpd.files.naming import reason_beside
from sftpd.link import vaulted
from sftpd.retention.roots import Place, Roots
from sftpd.retention.rule import STAGING, Copy, Kept

_CHUNK = 1 << 20


class Copies:
    """Finds what goes with files; for one run, in which each folder of unfinished uploads is listed once.

    `root` is for any thread.
    """

    def __init__(self, known: Roots, opened: ExitStack, planned: Iterable[Kept] = ()) -> None:
        """What of `planned` lies in staging goes by itself, and so with no other file."""
        self._known = known
        self._planned = {(file.link, file.path) for file in planned if file.folder == STAGING}
        self._opened = opened
        self._lock = threading.Lock()
        self._roots: dict[Place, Root | None] = {}
        self._parts: dict[str, Sequence[tuple[Parts, os.stat_result]]] = {}

    def root(self, place: Place) -> Root | None:
        """The directory of a folder, None where there is none."""
        with self._lock:
            if place not in self._roots:
                self._roots[place] = None
                with suppress(OSError):
                    self._roots[place] = self._opened.enter_context(Root.at(self._known.folder(place)))
            return self._roots[place]

    def of(self, place: Place, root: Root, parts: Parts) -> list[Copy]:
        """What goes with the file at `parts` of `root`, the directory of `place`."""
        if place[1] in (STAGING, vaulted.FOLDER) or not (
            place[1] == "failed" or self._listed((place[0], STAGING))
        ):
            return []
        try:
            status = root.stat(parts, follow=False)
            return [*_reason(place[1], root, parts), *self._unfinished(place, root, parts, status)]
        except (OSError, ContainmentError):
            return []

    def _unfinished(self, place: Place, root: Root, parts: Parts, status: os.stat_result) -> list[Copy]:
        staging = (place[0], STAGING)
        if status.st_size == 0 or not stat.S_ISREG(status.st_mode):
            return []
        found = []
        area = self.root(staging)
        for part, seen in self._listed(staging):
            if area is not None and seen.st_size == status.st_size and _same(root, parts, area, part):
                found.append(Copy(STAGING, b"/".join(part), str(snapshot(seen))))
        return found

    def _listed(self, staging: Place) -> Sequence[tuple[Parts, os.stat_result]]:
        if staging[0] not in self._parts:
            area = self.root(staging)
            listed = [] if area is None else sorted(area.walk())
            self._parts[staging[0]] = [
                (part, seen)
                for part, seen in listed
                if stat.S_ISREG(seen.st_mode) and (staging[0], b"/".join(part)) not in self._planned
            ]
        return self._parts[staging[0]]


def _reason(folder: str, root: Root, parts: Parts) -> list[Copy]:
    """The file that says why a file failed: it has the name of that, and maybe more of it."""
    if folder != "failed":
        return []
    beside = (*parts[:-1], reason_beside(parts[-1]))
    try:
        seen = root.stat(beside, follow=False)
    except FileNotFoundError:
        return []
    return [Copy(folder, b"/".join(beside), str(snapshot(seen)))]


def _same(root: Root, parts: Parts, other: Root, other_parts: Parts) -> bool:
    """Whether two files of one size have the same bytes."""
    try:
        with ExitStack() as opened:
            fds = []
            for at, path in ((root, parts), (other, other_parts)):
                fds.append(at.open(path, os.O_RDONLY | os.O_NOFOLLOW))
                opened.callback(os.close, fds[-1])
            return _read_alike(*(_reader(fd) for fd in fds))
    except (OSError, ContainmentError):
        return False


def _reader(fd: int) -> Callable[[], bytes]:
    return lambda: os.read(fd, _CHUNK)


def _read_alike(one: Callable[[], bytes], other: Callable[[], bytes]) -> bool:
    while True:
        left, right = one(), other()
        if left != right:
            return False
        if not left:
            return True
