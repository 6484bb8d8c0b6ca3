"""Watches a folder and hands over each file in it that has come to rest."""

import heapq
import threading
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

import structlog

from sftpd.clock import Clock
from sftpd.exchange.overdue import RouteWaits
from sftpd.exchange.waits import Reason
from sftpd.files.beneath import Parts
from sftpd.names import VirtualPath
from sftpd.watch.folder import WatchedFolder
from sftpd.watch.observation import Hint, InotifyObservation, NotObservableError, Observation
from sftpd.watch.rounds import Rounds
from sftpd.watch.settling import EmptyFiles, Settling, State
from sftpd.watch.stamps import Stamps
from sftpd.watch.tree import Order, Sight, Tree

_HEARTBEAT = 1.0
"""Seconds within which a dead observer or a missing folder is noticed."""
_RETRY = 5.0
"""Seconds after which a file is handed over again that could not be taken."""
_ROOM = 0.1
"""Seconds until it is tried again whether there is room for a file."""
_WRITTEN = 0.5
"""Seconds until it is tried again whether a file is still open for writing."""
_OBSERVE_AGAIN = 600.0
"""Seconds until it is tried again whether a folder that is polled can be observed."""
_SLICE = 1000
"""Files looked at before the watcher turns to something else."""
_MOST_READY = 10_000
"""How many settled files may wait for room before no more are looked for."""
_MOST_HINTS = 10_000
"""How many hints are kept; a full scan stands in for more."""

_NEVER_SEEN = (-1, -1)

OnReady = Callable[[Parts], bool]
"""Takes a settled file; False: there is no room, ask again later.

Called on the watcher's thread, so it has to be brief. It may raise: asked again.
"""


class Watcher:
    """One watched folder: reports, rescans and a thread `sftpd-watch-<name>` that settles what they point at.

    Reports and rescans are hints that end in the same look at the file; a lost report costs time only.
    A file that was handed over and still lies there is handed over again only after it has changed, after
    the folder was gone or another, or when `again` asks for it. Symbolic links and special files are never
    handed over. What is held in memory has bounds, but for some 50 bytes for each file that was handed over.
    """

    def __init__(
        self,
        folder: WatchedFolder,
        on_ready: OnReady,
        *,
        clock: Clock,
        on_replaced: Callable[[], None] = lambda: None,
        observe: Callable[[Path, Hint], Observation] | None = None,
        waits: RouteWaits | None = None,
    ) -> None:
        """`on_replaced` is told when another folder lies at the root than before, ahead of its files.

        `waits` comes to know of the files that are not ready.
        """
        self._folder = folder
        self._tree = Tree(folder.root, folder.selection, folder.order)
        self._on_ready = on_ready
        self._on_replaced = on_replaced
        self._clock = clock
        self._settling = Settling(folder.policy)
        self._waits = waits or RouteWaits(inf)
        self._observe = observe or self._by_inotify
        self._log = structlog.get_logger().bind(watch=folder.name, folder=str(folder.root))
        self._observation: Observation | None = None
        self._observe_at = 0.0
        self._refused_because: str | None = None
        self._identity: tuple[int, int] | None = _NEVER_SEEN
        self._last_identity: tuple[int, int] | None = None
        self._rounds = Rounds()
        self._scan: Iterator[tuple[Parts, Sight] | None] | None = None
        self._is_listing = False
        self._ready: list[tuple[int, Parts]] = []
        self._room_at = 0.0
        self._stamps = Stamps(clock)
        self._changed = threading.Condition()
        self._hints: dict[Parts, bool] = {}
        self._again: dict[Parts, float] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"sftpd-watch-{folder.name}", daemon=True)

    def start(self) -> None:
        """Begin with a full scan; returns at once."""
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
                    self._scan = None
                    self._rounds.want()
                    self._wait(self._clock.monotonic() + _HEARTBEAT)
        finally:
            self._scan = None
            self._end_observation()

    def _turn(self) -> None:
        self._attend_to_clock()
        self._attend_to_root()
        self._attend_to_observation()
        self._take_hints()
        if self._identity is None:
            return
        if not self._is_full():
            for path in self._settling.due(self._clock.monotonic(), _SLICE):
                self._look(path, self._tree.sight(path))
        self._scan_on()
        self._hand_over()

    def _next_turn(self) -> float:
        now = self._clock.monotonic()
        times = [now + _HEARTBEAT]
        if self._identity is not None:
            if self._scan is None:
                times.append(self._rounds.next(self._pace()))
            elif self._is_listing or not self._is_full():
                times.append(now)
            if self._ready:
                times.append(self._room_at)
            if (due := self._settling.next_look()) is not None and not self._is_full():
                times.append(due)
        return min(times)

    def _pace(self) -> float:
        pace = self._folder.pace
        return pace.poll if self._observation is None else pace.rescan

    def _wait(self, until: float) -> None:
        with self._changed:
            if not (self._hints or self._again or self._stopping):
                self._changed.wait(max(0.0, until - self._clock.monotonic()))

    def _attend_to_clock(self) -> None:
        """Notice when civil time was set: what it says of files that changed before then is worth nothing."""
        if (by := self._stamps.attend()) is not None:
            self._log.info("clock_was_set", by=round(by, 3))

    def _attend_to_root(self) -> None:
        """Notice when the folder goes, comes back or is another one.

        Then all is forgotten and handed over anew: what lay there may have missed its turn meanwhile, and
        whoever takes files recognises one that is on its way.
        """
        identity = self._tree.identity()
        if identity == self._identity:
            return
        self._end_observation()
        self._observe_at = self._clock.monotonic()
        self._settling, self._rounds = Settling(self._folder.policy), Rounds()
        self._ready, self._scan = [], None
        if identity is None:
            self._log.error(
                "watched_folder_missing", remedy="restore or mount it; it is looked for until then"
            )
        elif self._last_identity is not None:
            back = identity == self._last_identity
            self._log.warning("watched_folder_back" if back else "watched_folder_replaced")
            self._on_replaced()
        self._identity = identity
        self._last_identity = identity or self._last_identity

    def _attend_to_observation(self) -> None:
        """Have a folder that is there observed, and scanned in full where it was not."""
        now = self._clock.monotonic()
        try:
            if self._observation is not None and not self._observation.alive():
                self._log.error("observer_died", remedy="it is started again and the folder scanned in full")
                self._end_observation()
            if self._identity is not None and self._observation is None and now >= self._observe_at:
                self._observation = self._observe(self._folder.root, self._hint)
                if self._refused_because is not None:
                    self._refused_because = None
                    self._log.info("watched_folder_observed")
                self._rounds.want()
        except NotObservableError as refusal:
            self._end_observation()
            self._observe_at = now + _OBSERVE_AGAIN
            self._rounds.want()
            if str(refusal) != self._refused_because:
                self._refused_because = str(refusal)
                every = self._folder.pace.poll
                self._log.warning("watched_folder_polled", why=self._refused_because, every=every)

    def _by_inotify(self, root: Path, hint: Hint) -> Observation:
        if self._folder.polled:
            raise NotObservableError("it is configured to be polled")
        return InotifyObservation(root, hint, recursive=self._folder.selection.recursive)

    def _end_observation(self) -> None:
        if self._observation is not None:
            self._observation.stop()
            self._observation = None

    def _hint(self, absolute: bytes, came_or_went: bool) -> None:
        path = self._tree.parts_of(absolute)
        if path is None:
            return
        with self._changed:
            if len(self._hints) < _MOST_HINTS or path in self._hints:
                self._hints[path] = came_or_went or self._hints.get(path, False)
            else:
                self._hints[()] = False
            self._changed.notify()

    def _take_hints(self) -> None:
        with self._changed:
            hints, self._hints = self._hints, {}
            again, self._again = self._again, {}
        for path, at in again.items():
            self._settling.again(path, at)
        for path, came_or_went in sorted(hints.items()):
            if path:
                self._follow(path, came_or_went)
            else:
                self._rounds.want()

    def _follow(self, path: Parts, came_or_went: bool) -> None:
        selection = self._folder.selection
        path = selection.announced_by(path) or path
        if self._tree.is_directory(path):
            if selection.enters(path):
                self._follow_folder(path)
        elif selection.concerns(path):
            if came_or_went:
                # It may have been away when it was to be taken, or be another file with the same marks.
                self._settling.renew(path)
            if self._is_full():
                self._rounds.leave_out()
            else:
                self._look(path, self._tree.sight(path))

    def _follow_folder(self, path: Parts) -> None:
        for found in self._tree.files(path):
            if self._is_full():
                return self._rounds.leave_out()
            if found is not None:
                self._settling.renew(found[0])
                self._look(*found)
        return None

    def _scan_on(self) -> None:
        """Go on with a full scan, or begin one if it is time to."""
        began = self._clock.monotonic()
        if self._scan is None:
            if began < self._rounds.next(self._pace()):
                return None
            self._rounds.begin()
            self._settling.begin_scan()
            self._waits.begin_round()
            self._scan, self._is_listing = self._tree.files(), True
        for _ in range(_SLICE):
            # A folder that is open is read to its end, lest the file system cannot be unmounted.
            if self._is_full() and not self._is_listing:
                break
            try:
                found = next(self._scan)
            except StopIteration:
                return self._end_scan(began)
            self._is_listing = found is None
            if found is None:
                break
            self._look(*found)
        self._rounds.spend(self._clock.monotonic() - began)
        return None

    def _end_scan(self, began: float) -> None:
        self._scan = None
        self._settling.end_scan()
        self._waits.end_round()
        now = self._clock.monotonic()
        self._rounds.spend(now - began)
        self._rounds.end(now)

    def _is_full(self) -> bool:
        return len(self._ready) >= _MOST_READY

    def _look(self, path: Parts, sight: Sight | None) -> None:
        if self._stopping:
            return
        state = self._judge(path, sight)
        self._note(path, sight, state)
        if state is State.READY and sight is not None:
            by_time = self._folder.order is Order.TIME
            heapq.heappush(self._ready, (sight.snapshot.mtime_ns if by_time else 0, path))
        elif state is State.EMPTY:
            self._log.info("empty_file_held", path=str(VirtualPath(path)))
        elif state is State.CROWDED:
            self._rounds.leave_out()

    def _note(self, path: Parts, sight: Sight | None, state: State) -> None:
        """Have it known whether a file waits, and why."""
        now = self._clock.monotonic()
        if sight is None:
            self._waits.end(path)
        elif sight.lacks is not None:
            mark = sight.snapshot if sight.lacks is Reason.UNFINISHED else None
            is_news = self._waits.see(path, sight.lacks, now, self._quiet(sight, now), mark)
            if is_news and sight.fault is not None:
                self._log.warning("folder_not_readable", path=str(VirtualPath(path)), why=sight.fault)
        elif state in (State.WAITING, State.CROWDED):
            changes = state is State.CROWDED or self._settling.changes(path, now)
            self._waits.see(path, Reason.CHANGING if changes else None, now, self._quiet(sight, now))
        else:
            # One that is to be handed over waits until it is: a process may still have it open.
            held = sight.snapshot.size == 0 and self._folder.policy.empty is EmptyFiles.HOLD
            self._waits.see(path, Reason.EMPTY if held else None, now, self._quiet(sight, now))

    def _judge(self, path: Parts, sight: Sight | None) -> State:
        now = self._clock.monotonic()
        if sight is None or sight.lacks is not None:
            return self._settling.look(path, None, now)
        return self._settling.look(path, sight.snapshot, now, self._quiet(sight, now))

    def _quiet(self, sight: Sight, now: float) -> float:
        """For how long a file did not change, as its file system says: if that is this kernel's own."""
        return 0.0 if self._observation is None else self._stamps.quiet(sight.changed, now)

    def _hand_over(self) -> None:
        """Hand over files that are ready, in order, while there is room."""
        if self._clock.monotonic() < self._room_at:
            return
        for _ in range(_SLICE):
            if not self._ready or self._stopping:
                return
            entry = heapq.heappop(self._ready)
            if not self._offer(entry[1]):
                heapq.heappush(self._ready, entry)
                self._room_at = self._clock.monotonic() + _ROOM
                return

    def _offer(self, path: Parts) -> bool:
        """Hand over one file if it still is as it was found; False when there is no room for it."""
        sight = self._tree.sight(path)
        if self._judge(path, sight) not in (State.DONE, State.READY) or sight is None:
            return True
        now = self._clock.monotonic()
        if (why := self._tree.why_unreadable(path)) is not None:
            if self._waits.see(path, Reason.UNREADABLE, now):
                self._log.warning("file_not_readable", path=str(VirtualPath(path)), why=why)
            self._settling.leave(path, sight.snapshot)
            return True
        self._settling.take(path)
        if self._folder.waits_for_writers and self._observation is not None and self._tree.is_written(path):
            self._waits.see(path, Reason.OPEN, now)
            self._settling.again(path, now + _WRITTEN)
            return True
        try:
            taken = self._on_ready(path)
            if taken:
                self._waits.end(path)
            return taken
        except Exception:
            # Whatever kept it from being taken, the file stays where it is and has its turn again.
            self._log.exception("file_not_taken", path=str(VirtualPath(path)), again_in=_RETRY)
            self._settling.again(path, self._clock.monotonic() + _RETRY)
            return True
