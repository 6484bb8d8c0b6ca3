"""What partners have read of our files: recorded together, all that is known by the next commit."""

import threading
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

from sftpd.errors import LedgerError
from sftpd.exchange import records
from sftpd.exchange.coverage import Coverage
from sftpd.exchange.records import Parts
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit


class _Read(NamedTuple):
    event: Event
    folder: str | None
    path: Parts
    whole: bool


class Reads:
    """The reads of one link's files that are not recorded yet. For all threads."""

    def __init__(self, link: str, ledger: Ledger) -> None:
        self._link = link
        self._ledger = ledger
        self.coverage = Coverage()
        self._lock = threading.Lock()
        self._waiting: list[_Read] = []
        self._asked: Future[Any] | None = None
        """The unit of work that is to record them, or was."""

    def note(self, event: Event, folder: str | None, path: Parts, *, whole: bool) -> None:
        """Have a read recorded soon; `folder` is the ledger's, None for one of which it keeps no files.

        `whole`: all of the file was read by now.
        """
        with self._lock:
            self._waiting.append(_Read(event, folder, path, whole))
            # One that is over and left some: its commit failed.
            left = self._asked is not None and self._asked.done()
            due = left or len(self._waiting) == 1
        if due:
            taken: list[_Read] = []
            self._asked = self._ledger.defer(partial(self._record, taken))
            self._asked.add_done_callback(partial(self._settle, taken))

    def _record(self, taken: list[_Read], unit: Unit) -> None:
        with self._lock:
            taken += self._waiting
            self._waiting.clear()
        unit.record_all([read.event for read in taken])
        kept = ((read.folder, read.path, read.whole) for read in taken if read.folder is not None)
        records.accessed(unit, self._link, kept)

    def _settle(self, taken: list[_Read], asked: Future[Any]) -> None:
        """After a commit that failed: have what it should have recorded wait for the next one."""
        if isinstance(asked.exception(), LedgerError):
            with self._lock:
                self._waiting[:0] = taken
