"""Files of one route that are not ready: since when, why, and what is to be told of those that wait too long.

Pure. A file waits from when it is first seen until it is taken or gone, whatever keeps it meanwhile: one that
is now written and now held open has waited all the time. It is known by its path: one that is replaced for
ever has waited all the time too. Only one that is unfinished waits anew whenever it changes: it may take as
long as it takes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

from sftpd.files.beneath import Parts

MOST = 10_000
"""How many files are known for each reason; more count once others of them have gone on."""
NAMED = 5
"""How many are told by name."""
_AGAIN = 86400.0
"""Seconds after which a file that waits still is told of again."""
_PAUSE = 900.0
"""Seconds between two tellings of one reason: what comes up meanwhile is told together."""
_PROOF = 60.0
"""Seconds for which we ourselves must have seen a file wait: a folder that is moved in brings old ones."""


class Reason(StrEnum):
    """Why a file is not taken."""

    CHANGING = "changing"
    OPEN = "open"
    """A process has it open for writing."""
    NO_DONE_FILE = "no_done_file"
    NO_FILE = "no_file"
    """It is a done-file, and what it speaks for is not there."""
    EMPTY = "empty"
    NOT_A_FILE = "not_a_file"
    """It is a link or a special file."""
    UNFINISHED = "unfinished"
    """It has a temporary name, and does not change any more."""
    UNREADABLE = "unreadable"
    """It, or the folder that it is, cannot be opened or read: for want of permission, or the disk fails."""
    NOT_FETCHED = "not_fetched"
    """It is ready at the remote, and to fetch it failed."""


class Standing(NamedTuple):
    """How many files wait too long for one reason, since when the first, and the names of the first few."""

    reason: Reason
    files: int
    since: float
    paths: Sequence[Parts]


@dataclass(frozen=True, slots=True)
class Telling:
    """Something to be told; `paths` are the files that it is told of, the longest waiting first."""

    about: Literal["overdue", "ended"]
    reason: Reason
    files: int = 0
    """All that now wait too long for the reason, told of before or not."""
    since: float = 0.0
    paths: Sequence[Parts] = ()


@dataclass(slots=True)
class _Wait:
    reason: Reason
    since: float
    found: float
    seen: float
    round: int
    mark: object = None
    told: dict[Reason, float] = field(default_factory=dict)


class Waits:
    """What is known of the files that wait; times are monotonic seconds.

    Bounded: `most` files are known for each reason, at some 500 bytes each.
    """

    def __init__(self, after: float, most: int = MOST) -> None:
        """`after`: seconds after which a file counts as overdue."""
        self.after = after
        self._most = most
        self._waits: dict[Parts, _Wait] = {}
        self._counts: Counter[Reason] = Counter()
        self._last_told: dict[Reason, float] = {}
        self._standing: set[Reason] = set()
        self._round = 0

    def __len__(self) -> int:
        return len(self._waits)

    def see(
        self, path: Parts, reason: Reason | None, now: float, quiet: float = 0.0, mark: object = None
    ) -> bool:
        """Take in that a file waits, None: for the same reason as before, if it did.

        `quiet`: for how many seconds it has lain there unchanged already, when it is first seen. `mark`: it
        waits anew when this is another than before. Returns whether that is news: it is known from now on,
        and did not wait for this before.
        """
        wait = self._waits.get(path)
        if wait is not None and wait.mark != mark:
            self.end(path)
            wait = None
        if wait is None:
            if reason is None or self._counts[reason] >= self._most:
                return False
            self._waits[path] = _Wait(reason, now - quiet, now, now, self._round, mark)
            self._counts[reason] += 1
            return True
        wait.seen, wait.round = now, self._round
        if reason is None or reason is wait.reason:
            return False
        if self._counts[reason] >= self._most:
            self.end(path)
            return False
        self._counts[wait.reason] -= 1
        self._counts[reason] += 1
        wait.reason = reason
        return True

    def end(self, path: Parts, reason: Reason | None = None) -> None:
        """A file waits no more: it is taken, or gone; `reason`: it does not wait for that any more."""
        wait = self._waits.get(path)
        if wait is not None and reason in (None, wait.reason):
            del self._waits[path]
            self._counts[wait.reason] -= 1

    def begin_round(self) -> None:
        """A look at every file there is begins."""
        self._round += 1

    def end_round(self) -> None:
        """It is over: what it did not come across waits no more."""
        for path in [path for path, wait in self._waits.items() if wait.round != self._round]:
            self.end(path)

    def standing(self) -> list[Standing]:
        """What is overdue now, by reason; as of the last look, for what nobody looks at may be gone."""
        return [
            Standing(reason, len(late), late[0][1].since, [path for path, _ in late[:NAMED]])
            for reason, late in self._late().items()
        ]

    def tellings(self, now: float) -> list[Telling]:
        """What is to be told now; it counts as told once `told` has been called with it."""
        found: list[Telling] = []
        overdue = self._late()
        for reason, late in overdue.items():
            new = [path for path, wait in late if _is_to_be_told(wait, now)]
            if new and now - self._last_told.get(reason, -_PAUSE) >= _PAUSE:
                found.append(Telling("overdue", reason, len(late), late[0][1].since, new))
        still = overdue.keys() | {reason for wait in self._waits.values() for reason in wait.told}
        return found + [Telling("ended", reason) for reason in Reason if reason in self._standing - still]

    def told(self, tellings: Sequence[Telling], now: float) -> None:
        """What `tellings` gave has been told."""
        for telling in tellings:
            if telling.about == "ended":
                self._standing.discard(telling.reason)
                continue
            self._last_told[telling.reason] = now
            self._standing.add(telling.reason)
            for path in telling.paths:
                if (wait := self._waits.get(path)) is not None:
                    wait.told[telling.reason] = now

    def _late(self) -> dict[Reason, list[tuple[Parts, _Wait]]]:
        """The overdue files of each reason, the longest waiting first."""
        proof = min(_PROOF, self.after)
        late: dict[Reason, list[tuple[Parts, _Wait]]] = {}
        for path, wait in self._waits.items():
            if wait.seen - wait.since >= self.after and wait.seen - wait.found >= proof:
                late.setdefault(wait.reason, []).append((path, wait))
        for found in late.values():
            found.sort(key=lambda each: (each[1].since, each[0]))
        return late


def _is_to_be_told(wait: _Wait, now: float) -> bool:
    told = wait.told.get(wait.reason)
    return told is None or now - told >= _AGAIN
