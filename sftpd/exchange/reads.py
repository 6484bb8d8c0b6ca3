"""What partners have read of our files: recorded together, all that is known by the next commit."""

import threading
from concurrent.futures import Future
from typing import Any, NamedTuple

from sftpd.exchange import records
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
        self._lock = threading.Lock()
        self._waiting: list[_Read] = []
        self._asked: Future[Any] | None = None
        """The unit of work that is to record them, or was."""

    def note(self, event: Event, folder: str | None, path: Parts, *, whole: bool) -> None:
        """Have a read recorded soon; `folder` is the ledger's, None for one of which it keeps no files.

        `whole`: without a gap up to the file's end.
        """
        with self._lock:
            self._waiting.append(_Read(event, folder, path, whole))
            # One that is over and left some did not come to its turn: the commit failed before.
            left = self._asked is not None and self._asked.done()
            due = left or len(self._waiting) == 1
        if due:
            self._asked = self._ledger.defer(self._record)

    def _record(self, unit: Unit) -> None:
        with self._lock:
            reads, self._waiting = self._waiting, []
        unit.record_all([read.event for read in reads])
        kept = ((read.folder, read.path, read.whole) for read in reads if read.folder is not None)
        records.accessed(unit, self._link, kept)
