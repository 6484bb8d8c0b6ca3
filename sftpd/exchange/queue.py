"""The outbound queue: a few threads that take transfers on when they are due.

The queue in memory only says what to look at and when; what must not be lost is in the ledger and in the
watched folders, from which `recovery` and the watchers fill it again after a restart.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from sftpd.clock import Clock
from sftpd.errors import RefusedError, RemoteError
from sftpd.exchange.records import Parts
from sftpd.exchange.send import Sender
from sftpd.names import TransferId

_GATE_PAUSE = 5.0
"""Seconds until a closed gate is tried again."""
_FAULT_PAUSE = 30.0
"""Seconds until a transfer is tried again that failed for a reason of our own, such as a full disk."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Job:
    sender: Sender
    subject: Parts | TransferId

    @property
    def key(self) -> tuple[str, str, Parts | TransferId]:
        return self.sender.route.link, self.sender.route.name, self.subject


class OutboundQueue:
    """Runs senders on `workers` threads; `require_open` raises RefusedError while a link may not be used."""

    def __init__(self, *, workers: int, clock: Clock, require_open: Callable[[str], None]) -> None:
        self._clock = clock
        self._require_open = require_open
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, _Job]] = []
        self._queued: set[tuple[str, str, Parts | TransferId]] = set()
        self._offered_again: set[tuple[str, str, Parts | TransferId]] = set()
        """Files that were offered while an earlier look at them is under way: it may have been too early."""
        self._running: set[tuple[str, str, Parts | TransferId]] = set()
        self._numbers = itertools.count()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"sftpd-send-{n}", daemon=True) for n in range(workers)
        ]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the steps under way and end the threads."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def offer(self, sender: Sender, parts: Parts) -> bool:
        """Look at a settled file in the sender's watched folder; False when there is no room for it."""
        self._put(_Job(sender, parts), 0)
        return True

    def resume(self, sender: Sender, transfer: TransferId, delay: float = 0) -> None:
        """Take a transfer on that is in the ledger, after `delay` seconds."""
        self._put(_Job(sender, transfer), delay)

    def depth(self) -> int:
        """How many files are waiting or being worked on."""
        with self._condition:
            return len(self._heap) + len(self._running)

    def _put(self, job: _Job, delay: float) -> None:
        with self._condition:
            if job.key in self._running:
                self._offered_again.add(job.key)
                return
            if job.key in self._queued:
                return
            self._queued.add(job.key)
            heapq.heappush(self._heap, (self._clock.monotonic() + delay, next(self._numbers), job))
            self._condition.notify()

    def _work(self) -> None:
        while (job := self._take()) is not None:
            delay = self._run(job)
            with self._condition:
                self._running.discard(job.key)
                if job.key in self._offered_again:
                    self._offered_again.discard(job.key)
                    delay = 0
            if delay is not None:
                self._put(job, delay)

    def _take(self) -> _Job | None:
        with self._condition:
            while not self._stopping:
                if not self._heap:
                    self._condition.wait()
                    continue
                due = self._heap[0][0] - self._clock.monotonic()
                if due <= 0:
                    job = heapq.heappop(self._heap)[2]
                    self._queued.discard(job.key)
                    self._running.add(job.key)
                    return job
                self._condition.wait(due)
            return None

    def _run(self, job: _Job) -> float | None:
        """Do what can be done now; returns the seconds after which to look at the same job again."""
        sender = job.sender
        try:
            self._require_open(sender.route.link)
            if isinstance(job.subject, str):
                return self._advance(sender, job.subject)
            transfer = sender.claim(job.subject)
        except RefusedError as refusal:
            _log.info("held", link=sender.route.link, reason=refusal.reason)
            return _GATE_PAUSE
        except Exception:
            _log.exception("transfer_fault", link=sender.route.link, route=sender.route.name)
            return _FAULT_PAUSE
        if transfer is not None:
            delay = self._advance_guarded(sender, transfer)
            if delay is not None:
                self.resume(sender, transfer, delay)
        return None

    def _advance_guarded(self, sender: Sender, transfer: TransferId) -> float | None:
        try:
            return self._advance(sender, transfer)
        except Exception:
            _log.exception("transfer_fault", link=sender.route.link, transfer=transfer)
            return _FAULT_PAUSE

    def _advance(self, sender: Sender, transfer: TransferId) -> float | None:
        try:
            sender.advance(transfer)
        except RemoteError as error:
            _log.warning("delivery_failed", link=sender.route.link, transfer=transfer, error=str(error))
            if self._stopping:
                return None  # it may be we who hung up: that counts as no try
            return sender.postpone(transfer, error)
        return None
