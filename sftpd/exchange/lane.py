"""The lane of an outbound route in the queue: what of the route can be done now, and else when to look again.

A lane knows no threads and does no I/O; the queue calls it under its lock and does what it says.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sftpd.exchange.due import HERE, LIMIT, TOGETHER, Due, DueList
from sftpd.exchange.records import Parts
from sftpd.exchange.send import Sender
from sftpd.names import TransferId
from sftpd.timewindows import opens_at

OFFERS = 4096
"""Settled files of one route that wait to be entered in the ledger; the watcher asks again about others."""
_NEVER = float("inf")
_LOOK_AGAIN = 60.0
"""Seconds until a closed window is looked at again: the civil clock may have been set."""


@dataclass(frozen=True, slots=True)
class Refill:
    """Look in the ledger for what is due, at most `limit` transfers."""

    limit: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Enter settled files in the ledger."""

    offers: tuple[Parts, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Take transfers on: one that is finished here, or such as go to the counterparty together."""

    dues: tuple[Due, ...]


Step = Refill | Claim | Send


class Lane:
    """What waits of one route: offers in memory, transfers in the ledger, the next of them in memory too."""

    def __init__(self, sender: Sender, is_halted: Callable[[], bool]) -> None:
        self.sender = sender
        self.turns = sender.route.turns
        self.ahead: float | None = None
        """By how many seconds civil time was ahead of monotonic time when the ledger was last read for it."""
        self.refusal: str | None = None
        """Why its link may not be used, as it was told; None since it may."""
        # Where order counts one file follows the other.
        self._most_groups, self._together = (
            (1, 1) if self.turns.strict else (self.turns.concurrency, TOGETHER)
        )
        self._is_halted = is_halted
        self._offers: deque[Parts] = deque()
        self._offered: set[Parts] = set()
        self._claiming: set[Parts] = set()
        self._again: set[Parts] = set()
        """Offered while an earlier look at them is under way: it may have been too early."""
        self._faulty: dict[Parts, float] = {}
        """Offers that could not be claimed for a reason of our own, and until when they are left alone."""
        self._due = DueList()
        self._running: dict[TransferId, Due] = {}
        self._groups: dict[TransferId, int] = {}
        """Of those that need the counterparty, with which others each was taken on."""
        self._last_group = 0
        self._resting: dict[TransferId, float] = {}
        """Transfers that failed for a reason of our own, and until when they are left alone."""
        self._look_at = 0.0
        """When the ledger may have something that is not in the list."""
        self._closed_until = 0.0
        self._head_rests_until = 0.0
        self._refilling = False
        self._looked = False
        """Whether `look` was called since the reading of the ledger began, which may tell of it as it was."""
        self._changed: set[TransferId] = set()
        """Transfers that moved on while the ledger was being read: it tells of them as they were."""

    @property
    def waiting(self) -> int:
        """Files that are not in the ledger yet."""
        return len(self._offers) + len(self._claiming) + len(self._faulty)

    @property
    def held(self) -> int:
        """Transfers that memory holds."""
        return len(self._due) + len(self._running) + len(self._resting)

    def offer(self, parts: Parts) -> bool:
        """Take a settled file in; False: there is no room for it now."""
        if parts in self._claiming:
            self._again.add(parts)
        elif parts not in self._offered:
            if len(self._offers) >= OFFERS:
                return False
            self._offers.append(parts)
            self._offered.add(parts)
        return True

    def look(self) -> None:
        """Something has changed in the ledger, or for what is held back."""
        self._look_at = self._closed_until = 0.0
        self._looked = True

    def next(self, now: float, civil: datetime) -> Step | float:
        """What to do now, which counts as begun; or the monotonic time at which to ask again."""
        if self._needs_refill(now):
            self._refilling, self._looked = True, False
            return Refill(LIMIT + len(self._running) + len(self._resting))
        held_until = self._held_until(now, civil) if self._due else 0.0
        if dues := self._take(now, held_until):
            return Send(dues)
        self._offer_faulty_again(now)
        if self._offers and now >= self._closed_until and not (self.turns.strict and self._claiming):
            return Claim(self._next_offers())
        return self._ask_again(now, held_until)

    def refilled(self, found: list[Due], *, whole: bool, next_turn: float | None, now: float) -> None:
        """What is due in the ledger, whether that is all, and when, on `now`'s scale, the next turn comes."""
        self._refilling = False
        skipped = self._changed | self._running.keys() | self._resting.keys()
        self._due.replace((due for due in found if due.id not in skipped), whole=whole)
        later = _NEVER if next_turn is None else next_turn
        again = self._looked or self._changed
        self._look_at = now if again else min([later, *self._resting.values()])
        self._changed.clear()

    def refill_failed(self, until: float) -> None:
        """The ledger could not be read."""
        self._refilling = False
        self._look_at = until

    def claimed(self, parts: Parts, due: Due | None) -> None:
        """A claim has ended; `due`: what came of it."""
        self._claiming.discard(parts)
        if due is not None:
            if self._refilling:
                self._changed.add(due.id)
            else:
                self._due.add(due)
        if parts in self._again:
            self._again.discard(parts)
            self.offer(parts)

    def unclaimed(self, offers: Sequence[Parts], closed_until: float = 0.0) -> None:
        """These were not looked at: they are the next, and none may be claimed until then."""
        for parts in reversed(offers):
            self._claiming.discard(parts)
            self._again.discard(parts)
            self._offers.appendleft(parts)
            self._offered.add(parts)
        self._closed_until = max(self._closed_until, closed_until)

    def claim_failed(self, parts: Parts, until: float) -> None:
        """A claim failed for a reason of our own; the others go on, unless their order counts."""
        if self.turns.strict or len(self._faulty) >= LIMIT:
            self.unclaimed([parts], until)
            return
        self._claiming.discard(parts)
        self._again.discard(parts)
        self._faulty[parts] = until

    def ended(self, due: Due, now: float, wait: float | None = None) -> None:
        """A transfer is not worked on any more; `wait`: seconds until its next turn."""
        self._stopped(due)
        if due.rank == HERE:  # it may have come back to where it has another turn
            self._look_at = now
        if wait is not None:
            self._look_at = min(self._look_at, now + wait)
            self._head_rests_until = now + wait

    def put_back(self, due: Due, closed_until: float | None = None) -> None:
        """A transfer may not be worked on now and keeps its turn; none may until `closed_until`."""
        if not self._stopped(due):
            self._due.add(due)
        if closed_until is not None:
            self._closed_until = closed_until

    def rest(self, due: Due, until: float) -> None:
        """Leave a transfer alone until then; the others go on, unless many have come to that."""
        self._stopped(due)
        self._resting[due.id] = until
        self._look_at = min(self._look_at, until)
        if due.rank != HERE:
            self._head_rests_until = until
        if len(self._resting) >= LIMIT:
            self._closed_until = max(self._closed_until, min(self._resting.values()))

    def _stopped(self, due: Due) -> bool:
        """Forget that it is worked on; says whether the ledger is being read, which tells of it as it was."""
        del self._running[due.id]
        self._groups.pop(due.id, None)
        if self._refilling:
            self._changed.add(due.id)
        return self._refilling

    def _offer_faulty_again(self, now: float) -> None:
        for parts in [parts for parts, until in self._faulty.items() if until <= now]:
            del self._faulty[parts]
            if parts not in self._offered:
                self._offers.append(parts)
                self._offered.add(parts)

    def _needs_refill(self, now: float) -> bool:
        if self._refilling:
            return False
        if now >= self._look_at:
            self._resting = {name: until for name, until in self._resting.items() if until > now}
            return True
        return not self._due and not self._due.whole

    def _held_until(self, now: float, civil: datetime) -> float:
        """Until when nothing may be sent."""
        if self._is_halted():
            return _NEVER
        guard = self.sender.guard
        until = max(self._closed_until, guard.ready_at() if guard is not None else 0.0)
        if self.turns.windows and (opens := opens_at(self.turns.windows, civil, self.turns.zone)):
            until = max(until, now + min((opens - civil).total_seconds(), _LOOK_AGAIN))
        return until

    def _take(self, now: float, held_until: float) -> tuple[Due, ...]:
        """What may be taken on, which counts as begun: one that is finished here, or a group that is sent."""
        if (here := self._due.take_here()) is not None:
            self._running[here.id] = here
            return (here,)
        if now < held_until or len(set(self._groups.values())) >= self._most_groups:
            return ()
        busy = {due.path for due in self._running.values()}
        if self.turns.strict:
            head = self._due.head()
            if self._refilling or now < self._head_rests_until or head is None or head.path in busy:
                return ()
        dues = self._due.take(busy, self._together)
        self._last_group += 1
        for due in dues:
            self._running[due.id] = due
            self._groups[due.id] = self._last_group
        return dues

    def _next_offers(self) -> tuple[Parts, ...]:
        """The offers that are claimed next, which counts as begun."""
        count = min(len(self._offers), self._together if self.sender.claims_together() else 1)
        offers = tuple(self._offers.popleft() for _ in range(count))
        self._offered.difference_update(offers)
        self._claiming.update(offers)
        return offers

    def _ask_again(self, now: float, held_until: float) -> float:
        times = [*self._faulty.values()] if self._refilling else [*self._faulty.values(), self._look_at]
        if self._offers:
            times.append(self._closed_until)
        if self._due:
            times += [held_until, self._head_rests_until]
        return min((at for at in times if at > now), default=_NEVER)
