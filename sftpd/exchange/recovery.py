"""Recovery: what a crash left half done is finished by the same functions that would have finished it."""

from collections.abc import Mapping
from typing import Any

import structlog

from sftpd.errors import SftpdError
from sftpd.exchange import records
from sftpd.exchange.changes import Changes
from sftpd.exchange.places import Places
from sftpd.exchange.queue import OutboundQueue
from sftpd.exchange.receive import Receiver
from sftpd.exchange.records import Direction, Transfer
from sftpd.exchange.send import Sender
from sftpd.exchange.transfer import TransferState
from sftpd.ledger.ledger import Ledger

_log = structlog.get_logger()


class Recovery:
    """Finishes the unfinished transfers of one link; runs before anything new is let in."""

    def __init__(
        self,
        link: str,
        places: Places,
        *,
        ledger: Ledger,
        receiver: Receiver,
        changes: Changes,
        policies: Mapping[str, Any],
    ) -> None:
        """`policies`: the file policy of each inbound route, by its name."""
        self._link = link
        self._places = places
        self._ledger = ledger
        self._receiver = receiver
        self._changes = changes
        self._policies = policies

    def run(self, queue: OutboundQueue, senders: Mapping[str, Sender]) -> int:
        """Finish inbound transfers and queue outbound ones; returns how many there were."""
        self._changes.finish_all()
        unfinished = self._unfinished("inbound")
        for transfer in unfinished:
            self._finish_or_leave(transfer)
        self._discard_unacknowledged({transfer.id.encode() for transfer in unfinished})
        return len(unfinished) + self.resume_sending(queue, senders)

    def resume_sending(self, queue: OutboundQueue, senders: Mapping[str, Sender]) -> int:
        """Queue outbound transfers only, as a reload must: sessions are at work on inbound ones then."""
        unfinished = self._unfinished("outbound")
        for transfer in unfinished:
            if transfer.route in senders:
                queue.resume(senders[transfer.route], transfer.id)
            else:
                _log.error("route_gone", link=self._link, route=transfer.route, transfer=transfer.id)
        return len(unfinished)

    def _unfinished(self, direction: Direction) -> list[Transfer]:
        with self._ledger.read() as conn:
            return [t for t in records.unfinished(conn, self._link) if t.direction == direction]

    def _finish_or_leave(self, transfer: Transfer) -> None:
        try:
            self._finish(transfer)
        except (OSError, SftpdError) as error:
            # One file that cannot be finished must not keep the others waiting; the next start tries again.
            _log.error("recovery_failed", link=self._link, transfer=transfer.id, error=str(error))

    def _finish(self, transfer: Transfer) -> None:
        match transfer.state:
            case TransferState.SCREENING:
                self._receiver.screen_again(transfer, self._policies.get(transfer.route, {}))
            case TransferState.PLACING:
                self._receiver.publish_again(transfer)
            case TransferState.QUARANTINING:
                self._receiver.quarantine_again(transfer)

    def _discard_unacknowledged(self, known: set[bytes]) -> None:
        """Remove whole files that no transfer tells of: their senders were never told that they arrived."""
        with self._places["screening"].scan() as listing:
            names = [entry.name for entry in listing]
        for name in names:
            if name not in known:
                self._discard(name)

    def _discard(self, name: bytes) -> None:
        try:
            self._places["screening"].unlink((name,))
        except OSError as error:
            _log.error("not_discarded", link=self._link, name=repr(name), error=str(error))
        else:
            _log.info("unacknowledged_file_discarded", link=self._link, name=repr(name))
