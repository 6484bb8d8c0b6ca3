"""The outbound queue: a few threads that take transfers on when their turn comes.

What waits is in the ledger and in the watched folders; memory holds no more of it than comes next, however
much that is, and a restart loses nothing.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from sftpd.clock import Clock
from sftpd.errors import NotOpenError, NotPlacedError, RefusedError, RemoteAwayError, RemoteError
from sftpd.exchange import turn_records
from sftpd.exchange.bell import Bell
from sftpd.exchange.claim import Claimed, UnreadableError
from sftpd.exchange.due import HERE, Due
from sftpd.exchange.halts import Halts, Subject
from sftpd.exchange.lane import Claim, Lane, Refill, Send, Step
from sftpd.exchange.records import Parts
from sftpd.exchange.send import Failed, Sender
from sftpd.ledger.ledger import Ledger
from sftpd.link.model import Outbound

_GATE_PAUSE = 5.0
"""Seconds until a closed gate is tried again."""
_FAULT_PAUSE = 30.0
"""Seconds until a transfer is tried again that failed for a reason of our own, such as a full disk."""
_STEP = 1.0
"""Seconds by which civil time has to fall behind monotonic time to count as set back."""
_DOUBLINGS = 34
"""After so many failed tries no wait is longer than the one before."""
_NEVER = float("inf")

_log = structlog.get_logger()


class OutboundQueue:
    """Runs senders on `workers` threads; `require_open` raises RefusedError while a route may not be used."""

    def __init__(
        self,
        *,
        workers: int,
        ledger: Ledger,
        halts: Halts,
        bell: Bell,
        clock: Clock,
        require_open: Callable[[Outbound], None],
    ) -> None:
        self._ledger = ledger
        self._halts = halts
        self._bell = bell
        self._clock = clock
        self._require_open = require_open
        self._condition = threading.Condition()
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._order: list[Lane] = []
        """The lane whose turn it is first among those of the same priority."""
        self._stopping = False
        self._hush: Callable[[], None] | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"sftpd-send-{n}", daemon=True) for n in range(workers)
        ]

    def start(self) -> None:
        """Begin to work."""
        self._hush = self._bell.heard_by(self.look)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the steps under way and end the threads."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if self._hush is not None:
            self._hush()
            self._hush = None
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def serve(self, sender: Sender) -> None:
        """Take on what the ledger has of the sender's route, and what is offered of it."""
        with self._condition:
            self._lane(sender).look()
            self._condition.notify_all()

    def offer(self, sender: Sender, parts: Parts) -> bool:
        """Look at a settled file in the sender's watched folder; False: there is no room, so ask again."""
        with self._condition:
            taken = self._lane(sender).offer(parts)
            self._condition.notify()
            return taken

    def look(self) -> None:
        """Look anew at what may be done: something has changed."""
        with self._condition:
            for lane in self._order:
                lane.look()
            self._condition.notify_all()

    def depth(self) -> int:
        """How many files are waiting or being worked on."""
        return sum(self.waiting().values())

    def waiting(self) -> dict[tuple[str, str], int]:
        """The same for each route, by its link and name."""
        with self._condition:
            offered = {key: lane.waiting for key, lane in self._lanes.items()}
        with self._ledger.read() as conn:
            entered = turn_records.count_waiting(conn)
        return {key: count + entered.get(key, 0) for key, count in offered.items()}

    def held(self) -> int:
        """How many transfers memory holds."""
        with self._condition:
            return sum(lane.held for lane in self._order)

    def _lane(self, sender: Sender) -> Lane:
        route = sender.route
        key = (str(route.link), str(route.name))
        lane = self._lanes.get(key)
        if lane is None:
            named = dict.fromkeys((route.configured, route.name))
            subjects = [Subject(route.link, "link", route.link)]
            subjects += [Subject(route.link, "route", name) for name in named]
            lane = Lane(sender, lambda: any(self._halts.of(subject) for subject in subjects))
            self._lanes[key] = lane
            self._enter(lane)
        return lane

    def _work(self) -> None:
        while (found := self._next()) is not None:
            lane, step = found
            match step:
                case Refill(limit):
                    self._refill(lane, limit)
                case Claim(offers):
                    self._claim(lane, offers)
                case Send(dues):
                    self._send(lane, dues)

    def _next(self) -> tuple[Lane, Step] | None:
        """Wait for something to do; None: there is to be no more."""
        with self._condition:
            while not self._stopping:
                now, civil = self._clock.monotonic(), self._clock.now()
                until = _NEVER
                for lane in self._order:
                    step = lane.next(now, civil)
                    if not isinstance(step, float):
                        self._order.remove(lane)
                        self._enter(lane)
                        return lane, step
                    until = min(until, step)
                self._condition.wait(None if until == _NEVER else max(0.0, until - now))
            return None

    def _enter(self, lane: Lane) -> None:
        """Give a lane its turn after all others of its priority."""
        behind = (n for n, other in enumerate(self._order) if other.turns.priority < lane.turns.priority)
        self._order.insert(next(behind, len(self._order)), lane)

    def _tell(self, change: Callable[[], object]) -> None:
        """Change a lane, and have the threads look at what that makes possible."""
        with self._condition:
            change()
            self._condition.notify_all()

    def _refill(self, lane: Lane, limit: int) -> None:
        now, at = self._clock.now(), self._clock.monotonic()
        try:
            ahead = now.timestamp() - at
            if lane.ahead is None or ahead < lane.ahead - _STEP:
                self._recall(lane)
            lane.ahead = ahead
            found, later = self._read(lane, now, limit)
        except Exception:
            route = lane.sender.route
            _log.exception("queue_not_read", link=route.link, route=route.name)
            self._tell(lambda: lane.refill_failed(at + _FAULT_PAUSE))
            return
        turn = None if later is None else at + (later - now).total_seconds()
        self._tell(lambda: lane.refilled(found, whole=len(found) < limit, next_turn=turn, now=at))

    def _read(self, lane: Lane, now: datetime, limit: int) -> tuple[list[Due], datetime | None]:
        """What of a lane is due, and when another turn of it comes."""
        route, strict = lane.sender.route, lane.turns.strict
        with self._ledger.read() as conn:
            found = turn_records.due(conn, route.link, route.name, now, limit, strict=strict)
            later = turn_records.next_turn(conn, route.link, route.name, now, strict=strict)
        return found, later

    def _recall(self, lane: Lane) -> None:
        """Let nothing wait for a time that is far off because the clock was set back, be it before we ran."""
        route, strict = lane.sender.route, lane.turns.strict
        waits = [timedelta()]
        while len(waits) < _DOUBLINGS and waits[-1] < route.backoff.cap:
            waits.append(route.backoff.wait(len(waits), 1.0))
        count = self._ledger.write(
            lambda unit: turn_records.recall(unit, route.link, route.name, waits, strict=strict)
        )
        if count:
            _log.warning("clock_set_back", link=route.link, route=route.name, transfers=count)

    def _claim(self, lane: Lane, offers: tuple[Parts, ...]) -> None:
        route = lane.sender.route
        try:
            self._pass_gate(lane)
            claimed = lane.sender.claim(offers)
        except RefusedError as refusal:
            self._tell_held(lane, refusal, _log.bind(link=route.link, route=route.name))
            self._tell(lambda: lane.unclaimed(offers, self._in(_GATE_PAUSE)))
            return
        except Exception as error:
            claimed = Claimed(failed=dict.fromkeys(offers, error))
        for fault in claimed.failed.values():
            if not isinstance(fault, UnreadableError):
                _log.error("claim_fault", link=route.link, route=route.name, exc_info=fault)

        def change() -> None:
            for parts, due in claimed.entered.items():
                lane.claimed(parts, due)
            for parts in claimed.failed:
                lane.claim_failed(parts, self._in(_FAULT_PAUSE))
            lane.unclaimed([each for each in offers if each not in claimed])

        self._tell(change)

    def _send(self, lane: Lane, dues: tuple[Due, ...]) -> None:
        sender, ids = lane.sender, [due.id for due in dues]
        try:
            if dues[0].rank != HERE:
                self._pass_gate(lane)
            failed = sender.advance(*ids)
            self._await_remote(sender, failed)
        except Exception as error:
            failed = dict.fromkeys(ids, error)
        changes = [self._outcome(lane, due, failed.get(due.id)) for due in dues]
        self._tell(lambda: [change() for change in changes])

    def _pass_gate(self, lane: Lane) -> None:
        """Pass if the link of a lane may be used now. Raises RefusedError."""
        self._require_open(lane.sender.route)
        lane.refusal = None

    def _tell_held(
        self, lane: Lane, refusal: RefusedError, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        """Tell why something waits; that its link may not be used is told once, until it may again."""
        text = str(refusal)
        if isinstance(refusal, NotOpenError):
            with self._condition:
                told, lane.refusal = lane.refusal, text
            if told == text:
                return
        log.info("held", reason=refusal.reason, text=text)

    def _await_remote(self, sender: Sender, failed: Failed) -> None:
        """Have the ledger tell with one transfer that the remote was tried in vain."""
        for name, error in failed.items():
            if isinstance(error, RemoteAwayError) and error.tried and not self._stopping:
                route = sender.route
                _log.warning(
                    "delivery_failed", link=route.link, route=route.name, transfer=name, error=str(error)
                )
                try:
                    sender.await_remote(name, error)
                except Exception as fault:
                    failed[name] = fault
                return

    def _outcome(self, lane: Lane, due: Due, error: Exception | None) -> Callable[[], None]:
        """What becomes of a transfer in its lane, by what kept it from going on."""
        route = lane.sender.route
        log = _log.bind(link=route.link, route=route.name, transfer=due.id)
        match error:
            case None:
                return lambda: lane.ended(due, self._clock.monotonic())
            case RemoteAwayError():
                return lambda: lane.put_back(due)
            case RemoteError():
                try:
                    wait = self._postpone(lane.sender, due, error, log)
                except Exception as fault:
                    return self._outcome(lane, due, fault)
                return lambda: lane.ended(due, self._clock.monotonic(), wait)
            case RefusedError():
                self._tell_held(lane, error, log)
                return lambda: lane.put_back(due, self._in(_GATE_PAUSE))
            case FileExistsError():
                log.warning("name_taken", remedy="it goes back there once the file of that name is gone")
            case _:
                log.error("transfer_fault", exc_info=error)
        return lambda: lane.rest(due, self._in(_FAULT_PAUSE))

    def _postpone(
        self, sender: Sender, due: Due, error: RemoteError, log: structlog.typing.FilteringBoundLogger
    ) -> float | None:
        """Record a failed try; returns the seconds until the transfer's next turn, if it has one."""
        log.warning("delivery_failed", error=str(error))
        # While we stop it may be we who hung up: that counts as no try.
        if self._stopping and not isinstance(error, NotPlacedError):
            return None
        return sender.postpone(due.id, error)

    def _in(self, seconds: float) -> float:
        return self._clock.monotonic() + seconds
