"""Telling the observers of files that were sent, which stay where they were dropped until that is done."""

import threading
from datetime import timedelta
from functools import partial
from pathlib import Path

from sftpd.exchange import turn_records
from sftpd.exchange.away import Tools
from sftpd.exchange.places import file_at
from sftpd.exchange.records import Transfer
from sftpd.files.beneath import Root
from sftpd.names import TransferId

PUT_AWAY_PATIENCE = timedelta(minutes=1)
"""After which a delivered file that was not put away has its turn again."""


class Telling:
    """Has the observers told of the files of one outbound route, on their own threads; for any thread."""

    def __init__(self, source: Root, offered: Root | None, tools: Tools) -> None:
        """`source` is the watched folder, `offered` that of the link in which delivered files lie."""
        self._source = source
        self._offered = offered
        self._screening = tools.screening
        self._observing = tools.observing
        self._ledger = tools.ledger
        self._bell = tools.bell
        self._lock = threading.Lock()
        self._untold: set[TransferId] = set()

    def begin(self, transfer: Transfer) -> bool:
        """Have them told that a file is delivered; says whether it has to stay for them where it was dropped.

        When they were its transfer has its turn, to be put away.
        """
        if not self._screening.has_observers(transfer):
            return False
        place = (self._source, transfer.path) if self._offered is None else (self._offered, transfer.final)
        with self._lock:
            self._untold.add(transfer.id)
        try:
            self._observing.submit(partial(self._tell, transfer, Path(file_at(*place))))
        except RuntimeError:  # sftpd is stopping; the file is delivered all the same
            self._drop(transfer.id)
            return False
        return self._offered is None

    def postpones(self, transfer: TransferId) -> bool:
        """Whether they are yet to be told of a file; then its transfer has its turn later."""
        with self._lock:
            if transfer not in self._untold:
                return False
        self._give_turn(transfer, PUT_AWAY_PATIENCE)
        return True

    def _tell(self, transfer: Transfer, file: Path) -> None:
        try:
            self._screening.tell(transfer, file)
        finally:
            self._drop(transfer.id)
            if self._offered is None:
                self._give_turn(transfer.id, timedelta())
                self._bell.ring()

    def _give_turn(self, transfer: TransferId, wait: timedelta) -> None:
        self._ledger.write(lambda unit: turn_records.turn_to_put_away(unit, transfer, unit.now + wait))

    def _drop(self, transfer: TransferId) -> None:
        with self._lock:
            self._untold.discard(transfer)
