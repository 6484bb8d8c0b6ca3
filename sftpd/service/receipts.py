"""The thread that has receipts written, some time after the audit log has grown."""

import threading
from collections.abc import Sequence

import structlog

from sftpd.exchange.receipts import Receipts, enrol
from sftpd.ledger.ledger import Ledger
from sftpd.service.sequencer import Sequencer

_LINGER = 0.5
"""Seconds in which receipts gather, for many are written for little more than one."""

_RETRY = 5.0
"""Seconds until a link whose receipts could not be written has its next try."""

_log = structlog.get_logger()


class ReceiptWriter:
    """A thread `sftpd-receipts` for all links; a link that has trouble holds up no other."""

    def __init__(self, links: Sequence[Receipts], ledger: Ledger, sequencer: Sequencer) -> None:
        """Have receipts made of what comes from now on. Raises AuditError and LedgerError."""
        self._links = links
        self._sequencer = sequencer
        self._hint = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sftpd-receipts", daemon=True)
        enrol(ledger, {receipts.link: receipts.leaves() for receipts in links})

    def start(self) -> None:
        """Begin, with what is due already."""
        self._sequencer.on_growth(self._hint.set)
        self._hint.set()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is left is done after the next start."""
        self._stopping.set()
        self._hint.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        patience = None
        while not self._stopping.is_set():
            self._hint.wait(patience)
            self._stopping.wait(_LINGER)
            self._hint.clear()
            done = [self._catch_up(receipts) for receipts in self._links]
            patience = None if all(done) else _RETRY

    def _catch_up(self, receipts: Receipts) -> bool:
        """Write what is due of a link; says whether that could be done."""
        try:
            while not self._stopping.is_set() and receipts.advance():
                pass
        except Exception:
            _log.exception("receipts_failed", link=receipts.link, remedy="they are tried again")
            return False
        return True
