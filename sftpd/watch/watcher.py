"""Watches a folder and hands over each file in it that has come to rest."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from sftpd.clock import Clock
from sftpd.files.beneath import Parts
from sftpd.files.fingerprint import Snapshot
from sftpd.names import VirtualPath
from sftpd.watch.observation import Hint, InotifyObservation, NotObservableError, Observation
from sftpd.watch.settling import Policy, Settling, State
from sftpd.watch.tree import Selection, Tree

_HEARTBEAT = 1.0
"""Seconds within which a dead observer or a missing folder is noticed."""
_RETRY = 5.0
"""Seconds after which a file is handed over again that could not be taken."""

OnReady = Callable[[Parts], None]
"""Takes a settled file; called on the watcher's thread, so it has to be brief. It may raise: asked again."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between full scans: `rescan` where the kernel reports changes, `poll` where it does not."""

    rescan: float = 60.0
    poll: float = 2.0


@dataclass(frozen=True, slots=True)
class WatchedFolder:
    """A folder to watch: `name` is that of its route, `root` an absolute path."""

    name: str
    root: Path
    selection: Selection = field(default_factory=Selection)
    policy: Policy = field(default_factory=Policy)
    pace: Pace = field(default_factory=Pace)


class Watcher:
    """One watched folder: reports, rescans and a thread `sftpd-watch-<name>` that settles what they point at.

    Reports and rescans are hints that end in the same look at the file; a lost report costs time only.
    A file that was handed over and still lies there is handed over again only after it has changed, or
    when `again` asks for it. Symbolic links and special files are never handed over.
    """

    def __init__(
        self,
        folder: WatchedFolder,
        on_ready: OnReady,
        *,
        clock: Clock,
        observe: Callable[[Path, Hint], Observation] = InotifyObservation,
    ) -> None:
        self._folder = folder
        self._tree = Tree(folder.root, folder.selection)
        self._on_ready = on_ready
        self._clock = clock
        self._settling = Settling(folder.policy)
        self._observe = observe
        self._log = structlog.get_logger().bind(watch=folder.name, folder=str(folder.root))
        self._observation: Observation | None = None
        self._identity: tuple[int, int] | None = None
        self._is_present = True
        self._polling = False
        self._next_scan = 0.0
        self._changed = threading.Condition()
        self._hints: set[Parts] = set()
        self._again: dict[Parts, float] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"sftpd-watch-{folder.name}", daemon=True)

    def start(self) -> None:
        """Begin with a full scan; returns at once."""
        self._next_scan = self._clock.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Hand over nothing more and join every thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def again(self, path: Parts, delay: float = 0.0) -> None:
        """Hand the file over once more, in `delay` seconds or later, if it is still there."""
        with self._changed:
            self._again[path] = self._clock.monotonic() + delay
            self._changed.notify()

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    self._turn()
                    self._wait(self._next_turn())
                except Exception:
                    # The folder must go on being watched whatever one turn ran into.
                    self._log.exception("watch_turn_failed")
                    self._wait(self._clock.monotonic() + _HEARTBEAT)
        finally:
            self._end_observation()

    def _turn(self) -> None:
        self._attend_to_root()
        now = self._clock.monotonic()
        if self._is_present and now >= self._next_scan:
            self._next_scan = now + (self._folder.pace.poll if self._polling else self._folder.pace.rescan)
            self._scan()
        with self._changed:
            hints, self._hints = self._hints, set()
            again, self._again = self._again, {}
        for path, at in again.items():
            self._settling.again(path, at)
        for path in sorted(hints):
            self._follow(path)
        for path in self._settling.due(self._clock.monotonic()):
            self._look(path, self._tree.snapshot(path))

    def _next_turn(self) -> float:
        times = [self._clock.monotonic() + _HEARTBEAT, self._settling.next_look()]
        if self._is_present:
            times.append(self._next_scan)
        return min(at for at in times if at is not None)

    def _wait(self, until: float) -> None:
        with self._changed:
            if not (self._hints or self._again or self._stopping):
                self._changed.wait(max(0.0, until - self._clock.monotonic()))

    def _attend_to_root(self) -> None:
        """Notice when the folder goes, comes back or is another one, and when its observer has died."""
        identity = self._tree.identity()
        if identity != self._identity:
            self._end_observation()
            self._polling = False
            self._identity = identity
            self._next_scan = self._clock.monotonic()
        if identity is None and self._is_present:
            self._log.error(
                "watched_folder_missing", remedy="restore or mount it; it is looked for until then"
            )
        elif identity is not None and not self._is_present:
            self._log.info("watched_folder_back")
        self._is_present = identity is not None
        if self._observation is not None and not self._observation.alive():
            self._log.error("observer_died", remedy="it is started again and the folder scanned in full")
            self._end_observation()
            self._next_scan = self._clock.monotonic()
        if self._is_present and self._observation is None and not self._polling:
            self._begin_observation()

    def _begin_observation(self) -> None:
        try:
            self._observation = self._observe(self._folder.root, self._hint)
        except NotObservableError as error:
            self._polling = True
            self._log.warning("watched_folder_polled", why=str(error), every=self._folder.pace.poll)

    def _end_observation(self) -> None:
        if self._observation is not None:
            self._observation.stop()
            self._observation = None

    def _hint(self, absolute: bytes) -> None:
        path = self._tree.parts_of(absolute)
        if path is not None:
            with self._changed:
                self._hints.add(path)
                self._changed.notify()

    def _scan(self) -> None:
        found = set()
        for path, snapshot in self._tree.files():
            if self._stopping:
                return
            found.add(path)
            self._look(path, snapshot)
        for path in self._settling.known() - found:
            self._look(path, self._tree.snapshot(path))

    def _follow(self, path: Parts) -> None:
        if self._tree.is_directory(path):
            for below, snapshot in self._tree.files(path):
                self._look(below, snapshot)
        elif self._tree.admits(path):
            self._look(path, self._tree.snapshot(path))

    def _look(self, path: Parts, snapshot: Snapshot | None) -> None:
        if self._stopping:
            return
        state = self._settling.look(path, snapshot, self._clock.monotonic())
        if state is State.READY:
            self._hand_over(path)
        elif state is State.EMPTY:
            self._log.info("empty_file_held", path=str(VirtualPath(path)))

    def _hand_over(self, path: Parts) -> None:
        try:
            self._on_ready(path)
        except Exception:
            # Whatever kept it from being taken, the file stays where it is and has its turn again.
            self._log.exception("file_not_taken", path=str(VirtualPath(path)), again_in=_RETRY)
            self._settling.again(path, self._clock.monotonic() + _RETRY)
