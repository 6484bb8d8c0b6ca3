"""Sending: a file in a watched folder is claimed, screened and brought to its place, once."""

import dataclasses
import os
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa
import structlog

from sftpd.clock import Clock
from sftpd.errors import RemoteError
from sftpd.exchange import records
from sftpd.exchange.deliver import Delivery, NameTakenError, other_name
from sftpd.exchange.places import Places, file_at, is_at
from sftpd.exchange.records import Parts, Transfer
from sftpd.exchange.screening import Screening
from sftpd.exchange.transfer import FINAL, Outcome, TransferState
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import fingerprint, identity
from sftpd.hooks.verdict import Verdict
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link.model import Outbound
from sftpd.names import TransferId, new_id

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tools:
    """What every sender works with."""

    ledger: Ledger
    screening: Screening
    clock: Clock


class Sender:
    """Brings the files of one outbound route to their place.

    Each step is recorded before the next begins, and each may be repeated: after a crash the state in the
    ledger and where the file lies say together what is left to do.
    """

    def __init__(
        self, route: Outbound, places: Places, source: Root, delivery: Delivery, tools: Tools
    ) -> None:
        """`source` is the watched folder."""
        self.route = route
        self._places = places
        self._source = source
        self._delivery = delivery
        self._ledger = tools.ledger
        self._screening = tools.screening
        self._clock = tools.clock

    def claim(self, parts: Parts) -> TransferId | None:
        """Screen a settled file and enter it in the ledger; None when there is nothing to send.

        There is nothing to send when the file is gone, is on its way already, or was held back.
        """
        transfer = self._describe(parts)
        if transfer is None or self._under_way(transfer):
            return None
        verdict = self._screening.screen(transfer, self._file(transfer), self.route.policy)
        entered = self._ledger.write(
            lambda unit: self._is_there(transfer) and _enter(unit, transfer, verdict)
        )
        if entered and not verdict.accepted:
            self._put_aside(transfer, "quarantine")
        return transfer.id if entered and verdict.accepted else None

    def advance(self, transfer_id: TransferId) -> None:
        """Take a transfer from wherever it stands to its end.

        Raises RemoteError when the remote could not be reached or refused; the transfer stays where it got.
        """
        with self._ledger.read() as conn:
            transfer = records.get(conn, transfer_id)
        match transfer.state:
            case TransferState.QUARANTINING:
                self._put_aside(transfer, "quarantine")
            case TransferState.FAILING:
                self._delivery.withdraw(transfer)
                self._put_aside(transfer, "failed")
            case TransferState.SKIPPING:
                self._delivery.withdraw(transfer)
                self._put_own_away(transfer)
            case TransferState.PLACED:
                self._put_away(transfer)
            case TransferState.PLACING:
                self._place(transfer)
            case TransferState.SENDING | TransferState.WAITING:
                self._send(transfer)

    def postpone(self, transfer_id: TransferId, error: RemoteError) -> float | None:
        """Record a failed try; returns the seconds until the next one, or None when there is none."""
        with self._ledger.read() as conn:
            transfer = records.get(conn, transfer_id)
        attempts = transfer.attempts + 1
        # In PLACING nothing is given up: the rename may have happened, and only asking again can tell.
        if attempts >= self.route.backoff.attempts and transfer.state is not TransferState.PLACING:
            self._give_up(transfer, str(error))
            return None
        wait = self.route.backoff.wait(attempts, random.random())
        values = {"attempts": attempts, "not_before": self._clock.now() + wait, "reason": str(error)}
        self._ledger.write(lambda unit: records.move(unit, transfer_id, Outcome.UNREACHABLE, **values))
        return wait.total_seconds()

    def _describe(self, parts: Parts) -> Transfer | None:
        try:
            fd = self._source.open(parts, os.O_RDONLY | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            _log.info("not_taken", route=self.route.name, error=error.strerror)
            return None
        try:
            before = identity(fd)
            content = fingerprint(fd)
            if identity(fd) != before:
                return None  # still being written: the watcher will see it settle again
        finally:
            os.close(fd)
        transfer_id = TransferId(new_id(self._clock.now()))
        target = self._delivery.target(parts)
        return Transfer(
            id=transfer_id,
            link=self.route.link,
            direction="outbound",
            route=self.route.name,
            peer=self.route.remote or "",
            path=parts,
            source=str(before),
            size=content.size,
            sha256=content.sha256.hex(),
            temporary=self._delivery.temporary(transfer_id, target),
            delivered_as=None if target == parts else target,
        )

    def _under_way(self, transfer: Transfer) -> bool:
        with self._ledger.read() as conn:
            return _on_its_way(conn, transfer)

    def _is_there(self, transfer: Transfer) -> bool:
        """Whether the file still is what it was described as: another thread may have ended its transfer."""
        return is_at(self._source, transfer.path, transfer.source)

    def _file(self, transfer: Transfer) -> Path:
        return Path(file_at(self._source, transfer.path))

    def _send(self, transfer: Transfer) -> None:
        if not self._is_there(transfer):
            return self._lose(transfer)
        try:
            proof = self._delivery.bring(transfer, self._source)
        except NameTakenError as taken:
            return self._settle(transfer, taken, self._send)
        if not self._is_there(transfer):
            return self._lose(transfer)
        values = {"folder": self._delivery.folder, "reason": None, "proof": proof}
        self._ledger.write(lambda unit: records.move(unit, transfer.id, Outcome.VERIFIED, **values))
        return self._place(dataclasses.replace(transfer, proof=proof))

    def _place(self, transfer: Transfer) -> None:
        if self._delivery.folder is not None:
            self._remove_done_file(transfer)
        try:
            seen = self._delivery.place(transfer, self._source)
        except NameTakenError as taken:
            return self._settle(transfer, taken, self._place)
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            # A certain no: nothing was renamed, and nothing will be while that is there.
            return self._set_aside(transfer, "a file or folder of that name is in the way")

        offered = self._delivery.folder
        here = transfer.delivered_as if offered is not None else None

        def work(unit: Unit) -> None:
            values = {"placed_as": None if here is None else records.join(here)}
            records.move(unit, transfer.id, Outcome.PLACED, **values)
            public = transfer.public | {"proof": transfer.proof or "size"}
            if seen is not None:
                public["seen"] = seen
            unit.record(Event("transfer.delivered", transfer.link, public, transfer.private))

        self._ledger.write(work)
        if seen is False:
            _log.warning("not_seen_at_its_place", route=self.route.name, transfer=transfer.id)
        file = self._file(transfer) if offered is None else file_at(self._places[offered], transfer.final)
        self._screening.tell(transfer, Path(file))
        return self._put_away(transfer)

    def _put_away(self, transfer: Transfer) -> None:
        """Archive or remove the source, unless it is another file by now."""
        if self._delivery.folder is not None:
            # The dropped file itself was placed; what lies at its old path now is another one.
            self._ledger.defer(lambda unit: records.move(unit, transfer.id, Outcome.PUT_AWAY))
        else:
            self._put_own_away(transfer)

    def _put_own_away(self, transfer: Transfer) -> None:
        self._remove_done_file(transfer)
        if self.route.after == "archive":
            place = self._places.put_aside(transfer, self._source, transfer.path, "sent")
            self._ledger.defer(partial(_close, transfer, "sent", place))
        else:
            if self._is_there(transfer):
                self._source.unlink(transfer.path)
                durable.sync_parent(self._source, transfer.path)
            self._ledger.defer(lambda unit: records.move(unit, transfer.id, Outcome.PUT_AWAY))

    def _settle(self, transfer: Transfer, taken: NameTakenError, go_on: Callable[[Transfer], None]) -> None:
        """Do with a file whose name is taken what the route says."""
        conflict = self.route.conflict
        other = other_name(self._delivery.target(transfer.path), transfer.id)
        if conflict == "skip":
            self._skip(transfer, taken.what)
        elif conflict == "keep-both" and transfer.final != other:
            renamed = dataclasses.replace(transfer, delivered_as=other)
            values = {"delivered_as": records.join(other)}
            # Recorded before it is used: after a crash only the ledger knows which name it was.
            self._ledger.write(lambda unit: records.move(unit, transfer.id, Outcome.RENAMED, **values))
            go_on(renamed)
        else:
            self._give_up(transfer, f'{taken.what} (conflict = "{conflict}")', Outcome.TAKEN)

    def _skip(self, transfer: Transfer, reason: str) -> None:
        def work(unit: Unit) -> None:
            records.move(unit, transfer.id, Outcome.SKIPPED, folder=None, reason=reason)
            private = transfer.private | {"reason": reason}
            unit.record(Event("transfer.skipped", transfer.link, transfer.public, private))

        self._ledger.write(work)
        self._delivery.withdraw(transfer)
        self._put_own_away(transfer)

    def _lose(self, transfer: Transfer) -> None:
        self._delivery.withdraw(transfer)
        _log.warning("source_changed", route=self.route.name, transfer=transfer.id)
        reason = "the file was changed or taken away before it was sent"
        self._ledger.write(lambda unit: records.move(unit, transfer.id, Outcome.GONE, reason=reason))

    def _give_up(self, transfer: Transfer, reason: str, why: Outcome = Outcome.GAVE_UP) -> None:
        def work(unit: Unit) -> None:
            records.move(unit, transfer.id, why, folder=None, reason=reason)
            private = transfer.private | {"reason": reason}
            unit.record(Event("transfer.failed", transfer.link, transfer.public, private))

        self._ledger.write(work)
        self._delivery.withdraw(transfer)
        self._put_aside(dataclasses.replace(transfer, reason=reason), "failed")

    def _set_aside(self, transfer: Transfer, reason: str) -> None:
        """Hold a file back that was let through and cannot be placed."""

        def work(unit: Unit) -> None:
            records.move(unit, transfer.id, Outcome.BLOCKED, folder="quarantine", reason=reason)
            private = transfer.private | {"reason": reason}
            unit.record(Event("transfer.blocked", transfer.link, transfer.public, private))

        self._ledger.write(work)
        self._put_aside(transfer, "quarantine")

    def _remove_done_file(self, transfer: Transfer) -> None:
        """Remove the done-file of a file that is about to leave the folder: it must not speak for the next.

        Once the file is gone its done-file was removed before: what lies there then belongs to another.
        """
        suffix = self.route.readiness.done_file
        if suffix is None or not self._is_there(transfer):
            return
        done = (*transfer.path[:-1], transfer.path[-1] + os.fsencode(suffix))
        with suppress(FileNotFoundError):
            self._source.unlink(done)
            durable.sync_parent(self._source, done)

    def _put_aside(self, transfer: Transfer, folder: str) -> None:
        self._remove_done_file(transfer)
        place = self._places.put_aside(transfer, self._source, transfer.path, folder)
        if place is not None and folder == "failed":
            self._places.note_reason(folder, place, transfer.reason or "unknown")
        self._ledger.write(partial(_close, transfer, folder, place))


def _close(transfer: Transfer, folder: str, place: Parts | None, unit: Unit) -> None:
    """End a transfer whose file was put aside, and keep the file; `place` None: it was no longer there."""
    if place is None:
        records.move(unit, transfer.id, Outcome.PUT_AWAY)
        return
    records.move(unit, transfer.id, Outcome.PUT_AWAY, folder=folder, placed_as=records.join(place))
    records.keep(unit, transfer, folder, place)


def _enter(unit: Unit, transfer: Transfer, verdict: Verdict) -> bool:
    """Enter a transfer unless its file is on its way already; says whether it did."""
    if _on_its_way(unit.conn, transfer):
        return False
    if verdict.accepted:
        records.insert(unit, transfer, Outcome.ACCEPTED)
    else:
        records.insert(unit, transfer, Outcome.BLOCKED, folder="quarantine", reason=verdict.reason)
        public = transfer.public | {"ruling": verdict.ruling.value}
        private = transfer.private | {"reason": verdict.reason}
        unit.record(Event("transfer.blocked", transfer.link, public, private))
    return True


def _on_its_way(conn: sa.Connection, transfer: Transfer) -> bool:
    """Whether an unfinished transfer has this very file; finished ones have put theirs away."""
    t = tables.transfer.c
    same = (t.link == transfer.link, t.route == transfer.route, t.path == records.join(transfer.path))
    return bool(records.find(conn, *same, t.source == transfer.source, t.state.not_in(FINAL), limit=1))
