"""Recovery: what a crash left half done is finished by the same functions that would have finished it."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import structlog

from sftpd.errors import SftpdError
from sftpd.exchange import records, turn_records
from sftpd.exchange.changes import Changes
from sftpd.exchange.due import HERE, TOGETHER
from sftpd.exchange.places import Places
from sftpd.exchange.queue import OutboundQueue
from sftpd.exchange.receive import Receiver
from sftpd.exchange.records import Transfer
from sftpd.exchange.send import Sender
from sftpd.exchange.transfer import Outcome, TransferState
from sftpd.files.staging import Staging
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit

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
        """Finish inbound transfers and have outbound ones queued; returns how many there were."""
        self._changes.finish_all()
        with self._ledger.read() as conn:
            unfinished = records.find(conn, *self._inbound())
            known = {name.encode() for name in turn_records.returning(conn, self._link)}
        for transfer in unfinished:
            self._finish_or_leave(transfer)
        self._discard_unacknowledged(known | {transfer.id.encode() for transfer in unfinished})
        for cut in Staging(self._places["staging"]).cut_at_holes():
            account = cut.parts[0].decode("utf-8", "backslashreplace")
            _log.warning("part_cut", link=self._link, account=account, size=cut.size, before=cut.before)
        self._ledger.write(lambda unit: turn_records.hasten(unit, self._link))
        return len(unfinished) + self.resume_sending(queue, senders)

    def resume_sending(self, queue: OutboundQueue, senders: Mapping[str, Sender]) -> int:
        """Queue outbound transfers only, as a reload must: sessions are at work on inbound ones then."""
        with self._ledger.read() as conn:
            waiting = turn_records.count_waiting(conn)
        for (link, route), count in waiting.items():
            if link == self._link and route not in senders:
                _log.error("route_gone", link=link, route=route, transfers=count)
        self._ledger.write(lambda unit: self._regain(unit, [*senders]))
        for sender in senders.values():
            queue.serve(sender)
        return sum(count for (link, _), count in waiting.items() if link == self._link)

    def _regain(self, unit: Unit, routes: Sequence[str]) -> None:
        """Have what was cancelled while these routes were not served put aside, as others are."""
        turn = {"rank": HERE, "not_before": unit.now}
        left = turn_records.left_behind(unit.conn, self._link, routes)
        for start in range(0, len(left), TOGETHER):
            some = left[start : start + TOGETHER]
            records.move_all(unit, dict.fromkeys(some, turn), Outcome.REGAINED)

    def _inbound(self) -> tuple[sa.ColumnElement[bool], ...]:
        """The unfinished inbound transfers; by state, for there may be many outbound ones."""
        t = tables.transfer.c
        begun = (TransferState.SCREENING, TransferState.PLACING, TransferState.QUARANTINING)
        return t.state.in_(begun), t.link == self._link, t.direction == "inbound"

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
