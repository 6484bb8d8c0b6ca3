"""Sending: a file in a watched folder is claimed and brought to its place, once."""

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from sftpd.errors import NotPlacedError, RemoteAwayError, RemoteError, TakenAwayError
from sftpd.exchange import records, return_records
from sftpd.exchange.apart import RewrittenError
from sftpd.exchange.archive import Sealed
from sftpd.exchange.away import Away, Tools
from sftpd.exchange.claim import Claimed, Claims
from sftpd.exchange.deliver import Delivery, LostError, NameTakenError, asked, other_name
from sftpd.exchange.due import HERE
from sftpd.exchange.places import Places, file_at, is_at
from sftpd.exchange.records import Parts, Transfer, Values
from sftpd.exchange.returning import Stay
from sftpd.exchange.telling import PUT_AWAY_PATIENCE, Telling
from sftpd.exchange.transfer import Outcome, TransferState
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link.model import Outbound
from sftpd.names import TransferId

_ENDS: Mapping[Outcome, tuple[str, str | None]] = MappingProxyType(
    {
        Outcome.GAVE_UP: ("transfer.failed", None),
        Outcome.TAKEN: ("transfer.failed", None),
        Outcome.SKIPPED: ("transfer.skipped", None),
        Outcome.BLOCKED: ("transfer.blocked", "quarantine"),
    }
)
"""What is told of a file that is sent no more, and the folder that the ledger names for it."""

_CANCELLED = (TransferState.FAILING, TransferState.CANCELLED)
"""Where a transfer stands that was cancelled meanwhile."""

_log = structlog.get_logger()

Failed = dict[TransferId, Exception]
"""What kept transfers from going on, by transfer."""
Seen = dict[TransferId, bool | None]


class Sender:
    """Brings the files of one outbound route to their place, several together where they are small.

    Each step is recorded before the next begins, and each may be repeated: after a crash the state in the
    ledger and where the file lies say together what is left to do. What fails for several together without
    telling for which is done again one by one: it is to cost nobody but the file whose fault it is.
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
        self._clock = tools.clock
        self._archive = tools.archive
        offered = None if delivery.folder is None else places[delivery.folder]
        self._telling = Telling(source, offered, tools)
        away = Away if route.return_of is None else Stay
        self._away = away(route, places, source, tools)
        self._claims = Claims(route, places, source, delivery, self._away, tools)

    def claims_together(self) -> bool:
        """Whether several files may be claimed at once."""
        return self._claims.go_together()

    def claim(self, offers: Sequence[Parts]) -> Claimed:
        """Screen settled files and enter them in the ledger, the first of them at least."""
        return self._claims.claim(offers)

    def advance(self, *ids: TransferId) -> Failed:
        """Take transfers, at most TOGETHER, from wherever they stand to their end.

        Returns what kept some from that, which stay where they got: RemoteAwayError where the remote cannot
        be asked, another RemoteError where it failed or refused the file, FileExistsError where a file is
        where one is to come back to, or a fault of our own.
        """
        failed: Failed = {}
        self._go_on(records.look_up(self._ledger, ids), failed)
        return failed

    def postpone(self, transfer_id: TransferId, error: RemoteError) -> float | None:
        """Record a failed try; returns the seconds until the next one, or None when there is none."""
        (transfer,) = records.look_up(self._ledger, [transfer_id])
        backoff, attempts = self.route.backoff, transfer.attempts + 1
        is_last = isinstance(error, TakenAwayError) or attempts >= (backoff.attempts or float("inf"))
        refused = (Outcome.REFUSED,) if isinstance(error, NotPlacedError) else ()
        # In PLACING nothing else is given up: the rename may have happened, and only asking again can tell.
        if is_last and (refused or transfer.state is not TransferState.PLACING):
            self._end(transfer, Outcome.GAVE_UP, str(error), after=refused)
            return None
        wait = backoff.wait(attempts, random.random())
        values = {"attempts": attempts, "reason": str(error)}
        if not self.route.turns.strict:  # there its turn stays the next, however long it takes
            values["not_before"] = self._clock.now() + wait
        if not self._step(transfer, *refused, Outcome.UNREACHABLE, **values):
            self._again(transfer)
            return None
        return wait.total_seconds()

    def await_remote(self, transfer_id: TransferId, error: RemoteAwayError) -> None:
        """Record that the remote could not be asked, which is no failed try of the file."""
        changes = {transfer_id: {"reason": str(error)}}
        self._ledger.write(lambda unit: _moved(unit, changes, Outcome.UNREACHABLE))

    def _go_on(self, transfers: Sequence[Transfer], failed: Failed) -> None:
        placing, sending = [], []
        for transfer in transfers:
            match transfer.state:
                case TransferState.PLACING:
                    placing.append(transfer)
                case TransferState.SENDING | TransferState.WAITING:
                    sending.append(transfer)
                case TransferState.PLACED:
                    if not self._telling.postpones(transfer.id):
                        self._put_away([transfer], failed)
                case _:
                    self._try(transfer, self._finish, failed)
        if placing:
            self._place(placing, failed)
        if sending:
            self._send(self._behind_none(sending, failed), failed)

    def _finish(self, transfer: Transfer) -> None:
        """Do what is left of a transfer that is not, or not yet, on its way."""
        match transfer.state:
            case TransferState.QUARANTINING:
                self._away.put_aside(transfer, "quarantine")
            case TransferState.FAILING:
                self._delivery.withdraw(transfer)
                self._away.put_aside(transfer, "failed")
            case TransferState.SKIPPING:
                self._delivery.withdraw(transfer)
                for error in self._away.put_away([transfer]).values():
                    raise error
            case TransferState.RETURNING:
                self._bring_back(transfer)

    def _try(self, transfer: Transfer, work: Callable[[Transfer], None], failed: Failed) -> None:
        """Do something about one transfer, which keeps no other from going on if it fails."""
        try:
            work(transfer)
        except Exception as error:
            failed[transfer.id] = error

    def _again(self, transfer: Transfer) -> None:
        """Go on with a transfer that was moved meanwhile. Raises what keeps it."""
        for error in self.advance(transfer.id).values():
            raise error

    def _behind_none(self, sending: Sequence[Transfer], failed: Failed) -> list[Transfer]:
        """Those whose place no earlier one may still come to: it must not come to lie over this one later."""
        earlier = records.being_placed(self._ledger, sending)
        free = []
        for transfer in sending:
            before = earlier.get(records.join(transfer.path))
            stuck = None if before is None else self.advance(before).get(before)
            if stuck is None:
                free.append(transfer)
            else:
                failed[transfer.id] = stuck
        return free

    def _step(self, transfer: Transfer, *outcomes: Outcome, **values: Any) -> bool:
        """Take a transfer through `outcomes`; False, with nothing changed, if it was cancelled meanwhile."""
        return bool(self._ledger.write(lambda unit: _moved(unit, {transfer.id: values}, *outcomes)))

    def _is_there(self, transfer: Transfer) -> bool:
        """Whether the file still is what it was described as: another thread may have ended its transfer."""
        return is_at(self._source, transfer.path, transfer.source)

    def _there(self, transfers: Sequence[Transfer], failed: Failed) -> list[Transfer]:
        """Those whose files are there as they were; the others are lost."""
        there = [transfer for transfer in transfers if self._is_there(transfer)]
        for transfer in transfers:
            if transfer not in there:
                self._try(transfer, self._lose, failed)
        return there

    def _send(self, transfers: Sequence[Transfer], failed: Failed) -> None:
        proven: dict[TransferId, Any] = {}
        brought = [self._renewed(transfer) for transfer in self._there(transfers, failed)]
        answers = asked(self._delivery.bring, brought, self._source)
        for transfer, proof in zip(brought, answers, strict=True):
            match proof:
                case NameTakenError() as taken:
                    self._try(
                        transfer,
                        partial(self._settle, taken=taken, go_on=partial(self._send, failed=failed)),
                        failed,
                    )
                case durable.NotDurableError() as error:
                    # What another try would publish may be damaged: nobody knows what the disk did to it.
                    reason = (
                        "the disk did not take its content and may have damaged it: "
                        f"{error.strerror}; drop it anew"
                    )
                    self._try(transfer, partial(self._end, why=Outcome.GAVE_UP, reason=reason), failed)
                case RewrittenError() as error:
                    self._try(transfer, partial(self._end, why=Outcome.GAVE_UP, reason=error.what), failed)
                case Exception() as error:
                    failed[transfer.id] = error
                case _:
                    proven[transfer.id] = proof
        there = self._there([transfer for transfer in brought if transfer.id in proven], failed)
        verified = [dataclasses.replace(transfer, proof=proven[transfer.id]) for transfer in there]
        self._place(self._record(verified, self._verified, failed), failed)

    def _renewed(self, transfer: Transfer) -> Transfer:
        """The transfer with the temporary name under which it is brought."""
        name = self._delivery.renewed(transfer)
        is_new = name is not None and self._step(transfer, Outcome.RENAMED, temporary=name)
        return dataclasses.replace(transfer, temporary=name) if is_new else transfer

    def _verified(self, unit: Unit, verified: Sequence[Transfer]) -> set[TransferId]:
        """Record that files arrived and may be placed."""
        folder = self._delivery.folder
        changes = {each.id: {"folder": folder, "reason": None, "proof": each.proof} for each in verified}
        return _moved(unit, changes, Outcome.VERIFIED)

    def _place(self, transfers: Sequence[Transfer], failed: Failed) -> None:
        if self._delivery.folder is not None:
            for transfer in transfers:
                self._try(transfer, self._away.remove_done_file, failed)
        copies = self._archive.seal_all(transfers, self._source, self._places, self._delivery.folder, failed)
        transfers = [transfer for transfer in transfers if transfer.id not in failed]
        seen: Seen = {}
        answers = asked(self._delivery.place, transfers, self._source)
        for transfer, whole in zip(transfers, answers, strict=True):
            match whole:
                case NameTakenError() as taken:
                    self._try(
                        transfer,
                        partial(self._settle, taken=taken, go_on=partial(self._place, failed=failed)),
                        failed,
                    )
                case LostError():
                    self._try(transfer, self._lose, failed)
                case IsADirectoryError() | NotADirectoryError() | FileExistsError():
                    # A certain no: nothing was renamed, and nothing will be while that is there.
                    reason = "a file or folder of that name is in the way"
                    self._try(transfer, partial(self._end, why=Outcome.BLOCKED, reason=reason), failed)
                case Exception() as error:
                    failed[transfer.id] = error
                case _:
                    seen[transfer.id] = whole
        for unplaced in copies.keys() - seen.keys():
            copies[unplaced].drop()
        placed = [transfer for transfer in transfers if transfer.id in seen]
        placed = self._record(placed, partial(self._placed, seen=seen, copies=copies), failed)
        for transfer in placed:
            if seen[transfer.id] is False:
                _log.warning("not_seen_at_its_place", route=self.route.name, transfer=transfer.id)
        self._put_away([transfer for transfer in placed if not self._telling.begin(transfer)], failed)

    def _placed(
        self, unit: Unit, placed: Sequence[Transfer], seen: Seen, copies: Mapping[TransferId, Sealed]
    ) -> set[TransferId]:
        """Record that files are at their place."""
        offered = self._delivery.folder is not None
        turn = {"rank": HERE, "not_before": unit.now + PUT_AWAY_PATIENCE}
        changes = {
            transfer.id: {"placed_as": _joined(transfer.delivered_as) if offered else None, **turn}
            for transfer in placed
        }
        moved = records.move_all(unit, changes, Outcome.PLACED)
        for transfer in placed:
            public = transfer.public | {"proof": transfer.proof or "size"} | copies[transfer.id].enter(unit)
            if seen[transfer.id] is not None:
                public["seen"] = seen[transfer.id]
            unit.record(Event("transfer.delivered", transfer.link, public, transfer.private))
            if self._delivery.awaits_receipt:
                return_records.expect(unit, transfer)
        return moved

    def _put_away(self, transfers: Sequence[Transfer], failed: Failed) -> None:
        """Archive or remove what was delivered; what was offered has left the watched folder already."""
        folder = self._delivery.folder
        if not transfers:
            return
        try:
            if folder is None:
                failed |= self._away.put_away(transfers)
            else:
                self._away.close_offered(transfers, folder)
        except Exception as error:
            failed.update({transfer.id: error for transfer in transfers})

    def _record(
        self,
        transfers: Sequence[Transfer],
        work: Callable[[Unit, Sequence[Transfer]], set[TransferId]],
        failed: Failed,
    ) -> list[Transfer]:
        """Do `work` in one transaction; where that fails, for each in its own.

        Returns those that it moved; the others were cancelled meanwhile, and go on from there.
        """
        if not transfers:
            return []
        try:
            moved = self._ledger.write(lambda unit: work(unit, transfers))
        except Exception as error:
            if len(transfers) == 1:
                failed[transfers[0].id] = error
                return []
            return [each for one in transfers for each in self._record([one], work, failed)]
        for transfer in transfers:
            if transfer.id not in moved:
                self._try(transfer, self._again, failed)
        return [transfer for transfer in transfers if transfer.id in moved]

    def _settle(
        self, transfer: Transfer, taken: NameTakenError, go_on: Callable[[Sequence[Transfer]], None]
    ) -> None:
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
                go_on([renamed])
            else:
                self._again(transfer)
        else:
            self._end(transfer, Outcome.TAKEN, f'{taken.what} (conflict = "{conflict}")')

    def _lose(self, transfer: Transfer) -> None:
        self._delivery.withdraw(transfer)
        _log.warning("source_changed", route=self.route.name, transfer=transfer.id)
        reason = "the file was changed or taken away before it was sent"
        if not self._step(transfer, Outcome.GONE, folder=None, reason=reason, not_before=None):
            self._again(transfer)

    def _bring_back(self, transfer: Transfer) -> None:
        """Put a file that is to be sent again where it was sent from, and have the gates look at it again."""
        if not self._away.bring_back(transfer):
            reason = "the file was changed or taken away before it was sent again"
            self._step(transfer, Outcome.GONE, reason=reason, not_before=None)
            return
        file = Path(file_at(self._source, transfer.path))
        verdict = self._screening.screen(transfer, file, self.route.policy)
        if not verdict.accepted:
            self._end(transfer, Outcome.BLOCKED, verdict.reason)
            return
        target = self._delivery.target(transfer.path)

        def work(unit: Unit) -> None:
            turn = self._claims.turn(unit, transfer.path)
            names = {
                "temporary": self._delivery.temporary(transfer.id, target),
                "delivered_as": _joined(None if target == transfer.path else target),
            }
            records.move(unit, transfer.id, Outcome.ACCEPTED, folder=None, placed_as=None, **names, **turn)

        self._ledger.write(work)

    def _end(self, transfer: Transfer, why: Outcome, reason: str, *, after: tuple[Outcome, ...] = ()) -> None:
        """Send a file no more, tell of that, and put it where such files go."""
        event, folder = _ENDS[why]

        def work(unit: Unit) -> None:
            values = {"folder": folder, "reason": reason, "rank": HERE, "not_before": unit.now}
            if not _moved(unit, {transfer.id: values}, *after, why):
                return  # cancelled meanwhile, which was told of
            unit.record(Event(event, transfer.link, transfer.public, transfer.private | {"reason": reason}))

        self._ledger.write(work)
        self._again(transfer)


def _joined(parts: Parts | None) -> bytes | None:
    return None if parts is None else records.join(parts)


def _moved(unit: Unit, changes: Mapping[TransferId, Values], *outcomes: Outcome) -> set[TransferId]:
    """Take transfers through `outcomes`, but those that were cancelled meanwhile."""
    return records.move_all(unit, changes, *outcomes, unless=_CANCELLED)
