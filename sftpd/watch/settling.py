"""When a file in a watched folder has come to rest: pure, told what was seen at what time."""

import heapq
from dataclasses import dataclass
from enum import Enum
from math import inf

from sftpd.files.beneath import Parts
from sftpd.files.fingerprint import Snapshot
from sftpd.watch.marks import Marks


class EmptyFiles(Enum):
    """What to do with a file of no bytes."""

    SEND = "send"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Policy:
    """When a file counts as settled.

    `stable_for`: seconds without a change; `minimum_age`: seconds since it is known to be there, whatever its
    mtime, which anybody can set, counted anew for one that was handed over and changed; `empty`: what becomes
    of a file of no bytes; `most_waiting`: how many unsettled files are remembered, at some 500 bytes each.
    """

    stable_for: float = 1.0
    minimum_age: float = 0.0
    empty: EmptyFiles = EmptyFiles.SEND
    most_waiting: int = 50_000


class State(Enum):
    """What a look at a path came to."""

    GONE = "gone"
    WAITING = "waiting"
    CROWDED = "crowded"
    """It has to wait, and too many others do: nothing is remembered of it, so look again later."""
    READY = "ready"
    """It has settled just now: take it. Later looks say DONE, or READY again of one that was `left`."""
    EMPTY = "empty"
    """It has settled just now without a byte, and waits until it has some. Later looks say DONE."""
    DONE = "done"


@dataclass(slots=True)
class _Waiting:
    snapshot: Snapshot | None
    """None: whatever was marked last, if that still lies there."""
    first: float
    changed: float
    not_before: float
    planned: float | None = None


class Settling:
    """What is known of the files of one watched folder: much of those that wait, little of the others."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._waiting: dict[Parts, _Waiting] = {}
        self._done = Marks()
        self._left = Marks()
        self._agenda: list[tuple[float, Parts]] = []

    def look(self, path: Parts, snapshot: Snapshot | None, now: float, quiet: float = 0.0) -> State:
        """Take in what is at `path` (None: nothing) at the monotonic time `now`.

        `quiet`: for how many seconds the file system itself says that the file was not changed.
        """
        if snapshot is None:
            self.forget(path)
            return State.GONE
        waits = self._waiting.get(path)
        if waits is None:
            if self._done.holds(path, snapshot):
                return State.READY if self._left.holds(path, snapshot) else State.DONE
            self.forget(path)
            waits = _Waiting(snapshot, first=now - quiet, changed=now - quiet, not_before=now)
        elif waits.snapshot is None and self._done.holds(path, snapshot):
            waits.snapshot = snapshot
        elif waits.snapshot != snapshot:
            waits.snapshot, waits.changed = snapshot, now - quiet
        return self._judge(path, snapshot, waits, now)

    def changes(self, path: Parts, now: float) -> bool:
        """Whether a file that waits has changed of late; else it waits for its age or for another turn."""
        waits = self._waiting.get(path)
        return waits is not None and now < waits.changed + self._policy.stable_for

    def leave(self, path: Parts, snapshot: Snapshot) -> None:
        """A file that is READY cannot be taken now: it is READY at every look until it is."""
        self._left.put(path, snapshot)

    def take(self, path: Parts) -> None:
        """A file that is READY is taken, also one that was left before."""
        self._left.drop(path)

    def forget(self, path: Parts) -> None:
        """Know nothing of a path any more: what lies there is another file, or none."""
        self._waiting.pop(path, None)
        self._done.drop(path)
        self._left.drop(path)

    def renew(self, path: Parts) -> None:
        """Have a file that was handed over have its turn again: what lies there may be another."""
        self._done.drop(path)

    def due(self, now: float, most: int) -> list[Parts]:
        """Paths to look at again by `now`, each once, the longest due first."""
        paths: list[Parts] = []
        while self._agenda and self._agenda[0][0] <= now and len(paths) < most:
            at, path = heapq.heappop(self._agenda)
            waits = self._waiting.get(path)
            if waits is not None and waits.planned == at:
                waits.planned = None
                paths.append(path)
        return paths

    def next_look(self) -> float | None:
        """The monotonic time at which `due` may next have something, or None."""
        return self._agenda[0][0] if self._agenda else None

    def again(self, path: Parts, at: float) -> None:
        """Have a file that was handed over be handed once more, at `at` or later, if it is still there."""
        waits = self._waiting.get(path)
        if waits is None:
            if path not in self._done:
                return
            waits = self._waiting[path] = _Waiting(None, first=-inf, changed=-inf, not_before=at)
        waits.not_before = at
        self._plan(path, waits, at)

    def begin_scan(self) -> None:
        """A look at every file there is begins."""
        self._done.begin_round()
        self._left.begin_round()

    def end_scan(self) -> None:
        """It is over: forget the settled files that it did not come across."""
        self._done.end_round()
        self._left.end_round()

    def __contains__(self, path: Parts) -> bool:
        return path in self._waiting or path in self._done

    def __len__(self) -> int:
        """How many files wait."""
        return len(self._waiting)

    def _judge(self, path: Parts, snapshot: Snapshot, waits: _Waiting, now: float) -> State:
        policy = self._policy
        settled = max(waits.changed + policy.stable_for, waits.first + policy.minimum_age, waits.not_before)
        if now < settled:
            if path not in self._waiting:
                if len(self._waiting) >= policy.most_waiting:
                    return State.CROWDED
                self._waiting[path] = waits
            self._plan(path, waits, settled)
            return State.WAITING
        self._waiting.pop(path, None)
        self._done.put(path, snapshot)
        is_held = snapshot.size == 0 and policy.empty is EmptyFiles.HOLD
        return State.EMPTY if is_held else State.READY

    def _plan(self, path: Parts, waits: _Waiting, at: float) -> None:
        """Have one look planned, at `at` or before: it plans the next."""
        if waits.planned is None or at < waits.planned:
            waits.planned = at
            heapq.heappush(self._agenda, (at, path))
