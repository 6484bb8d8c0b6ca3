"""When a file in a watched folder has come to rest: pure, told what was seen at what time."""

import heapq
from collections.abc import Set
from dataclasses import dataclass
from enum import Enum

from sftpd.files.beneath import Parts
from sftpd.files.fingerprint import Snapshot
from sftpd.files.staging import looks_temporary


class EmptyFiles(Enum):
    """What to do with a file of no bytes."""

    SEND = "send"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Policy:
    """When a file counts as settled.

    `stable_for`: seconds without a change; `minimum_age`: seconds since it was first seen, which, unlike
    its mtime, nobody else can set; `empty`: what becomes of a file of no bytes.
    """

    stable_for: float = 1.0
    minimum_age: float = 0.0
    empty: EmptyFiles = EmptyFiles.SEND


class State(Enum):
    """What a look at a path came to."""

    GONE = "gone"
    TEMPORARY = "temporary"
    """Its name says that it is hidden or unfinished."""
    WAITING = "waiting"
    READY = "ready"
    """It has settled just now: take it. Later looks say DONE."""
    EMPTY = "empty"
    """It has settled just now without a byte, and waits until it has some. Later looks say DONE."""
    DONE = "done"


@dataclass(slots=True)
class _Seen:
    snapshot: Snapshot
    first: float
    changed: float
    not_before: float
    done: bool = False
    planned: float | None = None


class Settling:
    """What is known of the files of one watched folder."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._seen: dict[Parts, _Seen] = {}
        self._agenda: list[tuple[float, Parts]] = []

    def look(self, path: Parts, snapshot: Snapshot | None, now: float) -> State:
        """Take in what is at `path` (None: nothing) at the monotonic time `now`."""
        if snapshot is None:
            self._seen.pop(path, None)
            return State.GONE
        if is_temporary(path):
            return State.TEMPORARY
        seen = self._seen.get(path)
        if seen is None:
            seen = self._seen[path] = _Seen(snapshot, first=now, changed=now, not_before=now)
        elif seen.snapshot != snapshot:
            seen.snapshot, seen.changed, seen.done = snapshot, now, False
        return State.DONE if seen.done else self._judge(path, seen, now)

    def due(self, now: float) -> list[Parts]:
        """The paths to look at again by `now`, each once."""
        paths = []
        while self._agenda and self._agenda[0][0] <= now:
            at, path = heapq.heappop(self._agenda)
            seen = self._seen.get(path)
            if seen is not None and seen.planned == at:
                seen.planned = None
                paths.append(path)
        return paths

    def next_look(self) -> float | None:
        """The monotonic time at which `due` may next have something, or None."""
        return self._agenda[0][0] if self._agenda else None

    def again(self, path: Parts, at: float) -> None:
        """Have a file that was handed over be handed once more, at `at` or later, if it is still there."""
        seen = self._seen.get(path)
        if seen is not None:
            seen.done, seen.not_before = False, at
            self._plan(path, seen, at)

    def known(self) -> Set[Parts]:
        """The paths at which a file was last seen."""
        return self._seen.keys()

    def _judge(self, path: Parts, seen: _Seen, now: float) -> State:
        policy = self._policy
        settled = max(seen.changed + policy.stable_for, seen.first + policy.minimum_age, seen.not_before)
        if now < settled:
            self._plan(path, seen, settled)
            return State.WAITING
        seen.done = True
        is_held = seen.snapshot.size == 0 and policy.empty is EmptyFiles.HOLD
        return State.EMPTY if is_held else State.READY

    def _plan(self, path: Parts, seen: _Seen, at: float) -> None:
        if seen.planned != at:
            seen.planned = at
            heapq.heappush(self._agenda, (at, path))


def is_temporary(path: Parts) -> bool:
    """Whether a component of `path` is hidden, or the last looks like the name of an unfinished file."""
    return any(part.startswith(b".") for part in path) or looks_temporary(path[-1])
