"""Sending: a file in a watched folder is claimed, screened and brought to its place, once."""

import dataclasses
import os
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from sftpd.clock import Clock
from sftpd.errors import RemoteAwayError, RemoteError
from sftpd.exchange import records, return_records
from sftpd.exchange.archive import NO_ARCHIVE, Archive
from sftpd.exchange.deliver import Delivery, NameTakenError, other_name
from sftpd.exchange.due import FIRST, HERE, USUAL, Due
from sftpd.exchange.keeping import Keeping
from sftpd.exchange.places import Places, file_at, is_at
from sftpd.exchange.records import Parts, Transfer
from sftpd.exchange.screening import Screening
from sftpd.exchange.transfer import Outcome, TransferState
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import fingerprint, identity
from sftpd.hooks.verdict import Verdict
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link.model import Outbound
from sftpd.names import TransferId, new_id

_PUT_AWAY_PATIENCE = timedelta(minutes=1)
"""After which a delivered file that was not put away has its turn again."""

_ENDS: Mapping[Outcome, tuple[str, str | None]] = MappingProxyType(
    {
        Outcome.GAVE_UP: ("transfer.failed", None),
        Outcome.TAKEN: ("transfer.failed", None),
        Outcome.SKIPPED: ("transfer.skipped", None),
        Outcome.BLOCKED: ("transfer.blocked", "quarantine"),
    }
)
"""What is told of a file that is sent no more, and the folder that the ledger names for it."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tools:
    """What every sender works with."""

    ledger: Ledger
    screening: Screening
    keeping: Keeping
    clock: Clock
    archive: Archive = NO_ARCHIVE


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
        self.guard = delivery.guard
        self._delivery = delivery
        self._ledger = tools.ledger
        self._screening = tools.screening
        self._keeping = tools.keeping
        self._clock = tools.clock
        self._archive = tools.archive

    def claim(self, parts: Parts) -> Due | None:
        """Screen a settled file and enter it in the ledger; None when there is nothing to send.

        There is nothing to send when the file is gone, is on its way already, or was held back.
        """
        transfer = self._describe(parts)
        if transfer is None:
            return None
        verdict = self._screening.screen(transfer, self._file(transfer), self.route.policy)
        entered = self._ledger.write(
            lambda unit: _enter(unit, transfer, verdict) if self._is_there(transfer) else None
        )
        if entered and not verdict.accepted:
            self._put_aside(transfer, "quarantine")
        if not entered or not verdict.accepted:
            return None
        return Due(transfer.rank, entered, transfer.id, records.join(transfer.path))

    def advance(self, transfer_id: TransferId) -> None:
        """Take a transfer from wherever it stands to its end, or back to where its turn can come.

        Raises RemoteAwayError when the remote cannot be asked, another RemoteError when it failed or refused
        the file, and FileExistsError when a file is where one is to come back to; the transfer stays where
        it got.
        """
        transfer = records.look_up(self._ledger, transfer_id)
        match transfer.state:
            case TransferState.QUARANTINING:
                self._put_aside(transfer, "quarantine")
            case TransferState.FAILING:
                self._delivery.withdraw(transfer)
                self._put_aside(transfer, "failed")
            case TransferState.SKIPPING:
                self._delivery.withdraw(transfer)
                self._put_own_away(transfer)
            case TransferState.RETURNING:
                self._bring_back(transfer)
            case TransferState.PLACED:
                self._put_away(transfer)
            case TransferState.PLACING:
                self._place(transfer)
            case TransferState.SENDING | TransferState.WAITING:
                earlier = records.being_placed(self._ledger, transfer)
                if earlier is not None:  # it must not come to lie over this one later
                    self.advance(earlier)
                self._send(transfer)

    def postpone(self, transfer_id: TransferId, error: RemoteError) -> float | None:
        """Record a failed try; returns the seconds until the next one, or None when there is none."""
        transfer = records.look_up(self._ledger, transfer_id)
        backoff, attempts = self.route.backoff, transfer.attempts + 1
        is_last = backoff.attempts is not None and attempts >= backoff.attempts
        # In PLACING nothing is given up: the rename may have happened, and only asking again can tell.
        if is_last and transfer.state is not TransferState.PLACING:
            self._end(transfer, Outcome.GAVE_UP, str(error))
            return None
        wait = backoff.wait(attempts, random.random())
        values = {"attempts": attempts, "reason": str(error)}
        if not self.route.turns.strict:  # there its turn stays the next, however long it takes
            values["not_before"] = self._clock.now() + wait
        if not self._step(transfer, Outcome.UNREACHABLE, **values):
            self.advance(transfer_id)
            return None
        return wait.total_seconds()

    def await_remote(self, transfer_id: TransferId, error: RemoteAwayError) -> None:
        """Record that the remote could not be asked, which is no failed try of the file."""
        if not error.tried:
            return
        transfer = records.look_up(self._ledger, transfer_id)
        self._step(transfer, Outcome.UNREACHABLE, reason=str(error))

    def _step(self, transfer: Transfer, *outcomes: Outcome, **values: Any) -> bool:
        """Take a transfer through `outcomes`; False, with nothing changed, if it was cancelled meanwhile."""
        return self._ledger.write(
            lambda unit: records.move_unless(unit, transfer.id, TransferState.FAILING, *outcomes, **values)
        )

    def _describe(self, parts: Parts) -> Transfer | None:
        try:
            fd = self._source.open(parts, os.O_RDONLY | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            _log.info("not_taken", route=self.route.name, error=error.strerror)
            return None
        try:
            before = identity(fd)
            this_file = records.this_file(self.route.link, self.route.name, parts, str(before))
            if self._ledger.look_up(records.ON_ITS_WAY, **this_file):
                return None  # as all that wait after a restart: not even read
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
            rank=self._rank(parts),
            temporary=self._delivery.temporary(transfer_id, target),
            delivered_as=None if target == parts else target,
        )

    def _rank(self, parts: Parts) -> int:
        name = os.fsdecode(parts[-1])
        return FIRST if any(fnmatchcase(name, glob) for glob in self.route.turns.first) else USUAL

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
        except durable.NotDurableError as error:
            # Another try would succeed, and publish what is on no disk.
            reason = (
                f"the disk did not take its content and may have damaged it: {error.strerror}; drop it anew"
            )
            return self._end(transfer, Outcome.GAVE_UP, reason)
        if not self._is_there(transfer):
            return self._lose(transfer)
        values = {"folder": self._delivery.folder, "reason": None, "proof": proof}
        if not self._step(transfer, Outcome.VERIFIED, **values):
            return self.advance(transfer.id)
        return self._place(dataclasses.replace(transfer, proof=proof))

    def _place(self, transfer: Transfer) -> None:
        offered, lies = self._delivery.folder, [(self._source, transfer.path)]
        if offered is not None:
            self._remove_done_file(transfer)
            lies.append((self._places[offered], transfer.final))
        try:
            with self._archive.sealed(transfer, *lies) as copy:
                seen = self._delivery.place(transfer, self._source)
        except NameTakenError as taken:
            return self._settle(transfer, taken, self._place)
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            # A certain no: nothing was renamed, and nothing will be while that is there.
            return self._end(transfer, Outcome.BLOCKED, "a file or folder of that name is in the way")

        here = transfer.delivered_as if offered is not None else None

        def work(unit: Unit) -> None:
            values = {"placed_as": None if here is None else records.join(here)}
            turn = {"rank": HERE, "not_before": unit.now + _PUT_AWAY_PATIENCE}
            records.move(unit, transfer.id, Outcome.PLACED, **values, **turn)
            public = transfer.public | {"proof": transfer.proof or "size"} | copy.enter(unit)
            if seen is not None:
                public["seen"] = seen
            unit.record(Event("transfer.delivered", transfer.link, public, transfer.private))
            if self._delivery.awaits_receipt:
                return_records.expect(unit, transfer)

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
            self._ledger.defer(partial(_close_offered, transfer, self._delivery.folder))
        else:
            self._put_own_away(transfer)

    def _put_own_away(self, transfer: Transfer) -> None:
        self._remove_done_file(transfer)
        if self.route.after == "archive" or self._keeping.covers(self.route.folder.name, transfer.path):
            place = self._places.put_aside(transfer, self._source, transfer.path, "sent")
            self._ledger.defer(partial(_close, transfer, "sent", place))
        else:
            if self._is_there(transfer):
                self._source.unlink(transfer.path)
                durable.sync_parent(self._source, transfer.path)
            self._ledger.defer(partial(_close, transfer, None, None))

    def _settle(self, transfer: Transfer, taken: NameTakenError, go_on: Callable[[Transfer], None]) -> None:
        """Do with a file whose name is taken what the route says."""
        conflict = self.route.conflict
        other = other_name(self._delivery.target(transfer.path), transfer.id)
        if conflict == "skip":
            self._end(transfer, Outcome.SKIPPED, taken.what)
        elif conflict == "keep-both" and transfer.final != other:
            renamed = dataclasses.replace(transfer, delivered_as=other)
            values = {"delivered_as": records.join(other)}
            # Recorded before it is used: after a crash only the ledger knows which name it was.
            if self._step(transfer, Outcome.RENAMED, **values):
                go_on(renamed)
            else:
                self.advance(transfer.id)
        else:
            self._end(transfer, Outcome.TAKEN, f'{taken.what} (conflict = "{conflict}")')

    def _lose(self, transfer: Transfer) -> None:
        self._delivery.withdraw(transfer)
        _log.warning("source_changed", route=self.route.name, transfer=transfer.id)
        reason = "the file was changed or taken away before it was sent"
        if not self._step(transfer, Outcome.GONE, reason=reason, not_before=None):
            self.advance(transfer.id)

    def _bring_back(self, transfer: Transfer) -> None:
        """Put a file that is to be sent again where it was sent from, and have the gates look at it again."""
        assert transfer.folder is not None
        assert transfer.placed_as is not None
        if not self._is_there(transfer):
            if not is_at(self._places[transfer.folder], transfer.placed_as, transfer.source):
                reason = "the file was changed or taken away before it was sent again"
                self._step(transfer, Outcome.GONE, reason=reason, not_before=None)
                return
            durable.publish(self._places[transfer.folder], transfer.placed_as, self._source, transfer.path)
        self._places.forget_reason(transfer.folder, transfer.placed_as)
        verdict = self._screening.screen(transfer, self._file(transfer), self.route.policy)
        if not verdict.accepted:
            self._end(transfer, Outcome.BLOCKED, verdict.reason)
            return
        target = self._delivery.target(transfer.path)

        def work(unit: Unit) -> None:
            turn = {"rank": self._rank(transfer.path), "not_before": unit.now}
            names = {
                "temporary": self._delivery.temporary(transfer.id, target),
                "delivered_as": None if target == transfer.path else records.join(target),
            }
            records.move(unit, transfer.id, Outcome.ACCEPTED, folder=None, placed_as=None, **names, **turn)

        self._ledger.write(work)

    def _end(self, transfer: Transfer, why: Outcome, reason: str) -> None:
        """Send a file no more, tell of that, and put it where such files go."""
        event, folder = _ENDS[why]

        def work(unit: Unit) -> None:
            values = {"folder": folder, "reason": reason, "rank": HERE, "not_before": unit.now}
            if not records.move_unless(unit, transfer.id, TransferState.FAILING, why, **values):
                return  # cancelled meanwhile, which was told of
            private = transfer.private | {"reason": reason}
            unit.record(Event(event, transfer.link, transfer.public, private))

        self._ledger.write(work)
        self.advance(transfer.id)

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


def _close(transfer: Transfer, folder: str | None, place: Parts | None, unit: Unit) -> None:
    """End a transfer whose file was put aside, and keep the file; `place` None: there is none to keep."""
    if place is None:
        records.move(unit, transfer.id, Outcome.PUT_AWAY, not_before=None)
        return
    assert folder is not None
    where = {"folder": folder, "placed_as": records.join(place), "not_before": None}
    records.move(unit, transfer.id, Outcome.PUT_AWAY, **where)
    records.keep(unit, transfer, folder, place)


def _close_offered(transfer: Transfer, folder: str, unit: Unit) -> None:
    """End a transfer whose file lies at its place in `folder`, and keep the file."""
    records.move(unit, transfer.id, Outcome.PUT_AWAY, not_before=None)
    records.keep(unit, transfer, folder, transfer.final)


def _enter(unit: Unit, transfer: Transfer, verdict: Verdict) -> datetime | None:
    """Enter a transfer unless its file is on its way already; returns when its turn came."""
    this_file = records.this_file(transfer.link, transfer.route, transfer.path, transfer.source)
    if records.ON_ITS_WAY.fetch(unit.conn, **this_file):
        return None
    if verdict.accepted:
        records.insert(unit, transfer, Outcome.ACCEPTED, not_before=unit.now)
    else:
        values = {"folder": "quarantine", "reason": verdict.reason, "rank": HERE, "not_before": unit.now}
        records.insert(unit, transfer, Outcome.BLOCKED, **values)
        public = transfer.public | {"ruling": verdict.ruling.value}
        private = transfer.private | {"reason": verdict.reason}
        unit.record(Event("transfer.blocked", transfer.link, public, private))
    return unit.now
