"""Takes committed events from the outbox into their audit logs, in the order they were committed."""

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path

import structlog

from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.log import AuditLog
from sftpd.audit.succession import mark_new
from sftpd.errors import AuditError
from sftpd.ledger import outbox
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Pending
from sftpd.ledger.writer import Unit

_BATCH = 512
_RETRY = 5.0
"""Seconds until a log that could not be written is tried again; its events wait in the outbox."""

_LINGER = 0.1
"""Seconds in which events gather for one checkpoint; each is durable in the outbox meanwhile."""

_log = structlog.get_logger()


class Sequencer:
    """A thread `sftpd-sequencer` that gives each event its index in its log.

    An event may stand in log and outbox at once after a crash; the ids of the last leaves tell.
    """

    def __init__(self, directory: Path, *, instance: str, key: SigningKey, ledger: Ledger) -> None:
        """`directory` holds a folder a log; `instance` begins the origin of each."""
        self._directory = directory
        self._instance = instance
        self._key = key
        self._ledger = ledger
        self._logs: dict[str, AuditLog] = {}
        self._recent: dict[str, set[str]] = {}
        self._alone = threading.Lock()
        """Held by whoever opens logs or appends: a reload opens new ones while the thread is at work."""
        self._hint = threading.Event()
        self._grown: Callable[[], None] = lambda: None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sftpd-sequencer", daemon=True)

    def open(self, names: Iterable[str]) -> None:
        """Open these logs, repairing what a crash left.

        Raises AuditError when one contradicts its checkpoint: nothing may then be signed.
        """
        with self._alone:
            for name in names:
                self._open(name)

    def on_growth(self, listener: Callable[[], None]) -> None:
        """Have `listener`, and no earlier one, called briefly whenever a log has grown."""
        self._grown = listener

    def start(self) -> None:
        """Begin to take events, and again after each commit."""
        self._ledger.on_commit(self._hint.set)
        self._hint.set()
        self._thread.start()

    def stop(self) -> None:
        """End the thread, if it was started, and take what is in the outbox. Raises as `drain` does."""
        self._stopping = True
        self._hint.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.drain()

    def close(self) -> None:
        """Close the logs; the thread must have ended."""
        for log in self._logs.values():
            log.close()
        self._logs.clear()

    def drain(self) -> None:
        """Take everything in the outbox into the logs.

        A log that cannot be written keeps its events in the outbox and holds up no other. Raises AuditError
        for the first such log, LedgerError when the outbox cannot be read or emptied.
        """
        with self._alone:
            faults = self._drain()
        if faults:
            raise next(iter(faults.values()))

    def _drain(self) -> dict[str, AuditError]:
        """Take what can be taken; returns the faults of the logs that could not be written, by name."""
        faults: dict[str, AuditError] = {}
        while True:
            events = self._next(without=faults)
            for name, group in groupby(sorted(events, key=_log_of), key=_log_of):
                batch = list(group)
                try:
                    self._append(name, batch)
                except AuditError as fault:
                    faults[name] = fault
                else:
                    self._ledger.write(partial(_remove, batch))
                    self._grown()
            if len(events) < _BATCH:
                # What was committed meanwhile gathers for the next checkpoint.
                return faults

    @contextmanager
    def still(self) -> Iterator[None]:
        """Keep every log as it is for the context, with all in it that is in the outbox by now.

        Events that come meanwhile wait in the outbox. Raises as `drain` does.
        """
        with self._alone:
            faults = self._drain()
            if faults:
                raise next(iter(faults.values()))
            yield

    def sizes(self) -> dict[str, int]:
        """How many leaves each log has."""
        with self._alone:
            return {name: log.size for name, log in sorted(self._logs.items())}

    def _run(self) -> None:
        patience = None
        while True:
            self._hint.wait(patience)
            if not self._stopping:
                time.sleep(_LINGER)
            self._hint.clear()
            stopping, patience = self._stopping, None
            try:
                self.drain()
            except Exception:
                _log.exception("sequencer_failed", remedy="its events wait in the outbox")
                patience = _RETRY
            if stopping:
                return

    def _next(self, without: Collection[str]) -> list[Pending]:
        with self._ledger.read() as conn:
            return outbox.pending(conn, _BATCH, without)

    def _open(self, name: str) -> AuditLog:
        log = self._logs.get(name)
        if log is None:
            origin = f"{self._instance}/{name}"
            mark_new(self._directory, origin)
            log = AuditLog.open(self._directory / name, origin=origin, key=self._key)
            self._logs[name] = log
            last = log.leaves(max(0, log.size - _BATCH), log.size)
            self._recent[name] = {json.loads(leaf)["id"] for leaf in last}
        return log

    def _append(self, name: str, events: list[Pending]) -> None:
        log = self._open(name)
        known = self._recent[name]
        try:
            log.append([event.leaf for event in events if event.event_id not in known])
        except AuditError:
            # Only opening it anew tells which of the leaves it has taken.
            self._logs.pop(name).close()
            raise
        self._recent[name] = {event.event_id for event in events}


def _log_of(event: Pending) -> str:
    return event.log


def _remove(events: list[Pending], unit: Unit) -> None:
    outbox.remove(unit.conn, events)
