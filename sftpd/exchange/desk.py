"""What an operator can do about one transfer: send its file again, end it, or publish what a gate held back.

Each is one decision in the ledger, with its event; it is carried out now or after a restart.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from sftpd.clock import Clock
from sftpd.errors import NotFoundError, RefusedError
from sftpd.exchange import records, returning
from sftpd.exchange.archive import Archive
from sftpd.exchange.due import HERE
from sftpd.exchange.keeping import Held
from sftpd.exchange.places import Places, is_at
from sftpd.exchange.receive import Receiver
from sftpd.exchange.records import Transfer
from sftpd.exchange.transfer import Outcome, TransferState
from sftpd.files import durable
from sftpd.files.beneath import FILE_MODE
from sftpd.files.fingerprint import identity
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.names import TransferId, new_id

_CHUNK = 1 << 20

_POSSIBLE: Mapping[str, tuple[records.Direction, tuple[TransferState, ...]]] = MappingProxyType(
    {
        "cancel": ("outbound", (TransferState.SENDING, TransferState.WAITING)),
        "retry": ("outbound", (TransferState.FAILED, TransferState.QUARANTINED)),
        "resend": ("outbound", (TransferState.DONE,)),
        "release": ("inbound", (TransferState.QUARANTINED,)),
    }
)
"""Which transfers can take each step, and from which states."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants it, and why."""

    by: str
    reason: str


class TransferDesk:
    """Takes an operator's orders; for any thread, while the queue is at work or while nobody is."""

    def __init__(self, ledger: Ledger, clock: Clock, held: Held) -> None:
        self._ledger = ledger
        self._clock = clock
        self._held = held

    def require(self, step: str, transfer_id: TransferId) -> Transfer:
        """The transfer, if it can take that step where it stands. Raises NotFoundError, RefusedError."""
        with self._ledger.read() as conn:
            return _require(conn, transfer_id, step)

    def cancel(
        self, transfer_id: TransferId, order: Order, is_served: Callable[[Transfer], bool] = lambda _: True
    ) -> None:
        """End a transfer that waits: its file goes to `failed/` with the reason.

        Where nobody serves its route the file stays where it lies, which only the route's configuration told;
        it goes there once the route is back. Raises NotFoundError, and RefusedError for one that is at its
        end or may be at its place already.
        """
        reason = f"cancelled by {order.by}: {order.reason}"

        def work(unit: Unit) -> None:
            # Asked in the transaction: a route that comes back is served after a look at what was left.
            if is_served(records.get(unit.conn, transfer_id)):
                transfer = _require(unit.conn, transfer_id, "cancel")
                turn = {"rank": HERE, "not_before": unit.now}
                records.move(unit, transfer_id, Outcome.CANCELLED, reason=reason, **turn)
                _record(unit, "transfer.cancelled", transfer, order)
            else:
                transfer = _require(unit.conn, transfer_id, "cancel", TransferState.FAILING)
                records.move(unit, transfer_id, Outcome.LEFT, reason=reason, not_before=None)
                _record(unit, "transfer.cancelled", transfer, order, {"left": True})

        self._ledger.write(work)

    def retry(self, transfer_id: TransferId, order: Order) -> None:
        """Send a file again that was put aside, from there, or from where it stayed if it goes back.

        The gates look at it again. Raises NotFoundError, and RefusedError for one that was not put aside or
        may not be moved.
        """

        def work(unit: Unit) -> None:
            transfer = _require(unit.conn, transfer_id, "retry")
            if not returning.is_under_way(unit.conn, transfer_id):
                self._take_out(unit, transfer)
            turn = {"rank": HERE, "not_before": unit.now, "attempts": 0, "reason": None}
            records.move(unit, transfer_id, Outcome.RETRIED, **turn)
            _record(unit, "transfer.retried", transfer, order)

        self._ledger.write(work)

    def _take_out(self, unit: Unit, transfer: Transfer) -> None:
        """Let the file of a transfer go from `failed/` or `quarantine/`."""
        folder = "failed" if transfer.state is TransferState.FAILED else "quarantine"
        self._require_movable(unit, transfer, folder)
        records.let_go(unit, transfer.id)

    def _require_movable(self, unit: Unit, transfer: Transfer, folder: str) -> None:
        """Pass if the file of a transfer is in our care in `folder` and no hold is on it."""
        place = _require_kept(unit.conn, transfer, folder)
        held = self._held(transfer.link, folder, place, unit.conn)
        if held is not None:
            raise RefusedError(
                f"its file is held: {held}", reason="LEGAL_HOLD", where=f"transfer {transfer.id}"
            )

    def resend(self, transfer_id: TransferId, places: Places, order: Order) -> TransferId:
        """Send a delivered file again, a copy of the one in `sent/`, and return the id of that transfer.

        Raises NotFoundError, and RefusedError for one that was not delivered or whose file is not there as
        it was.
        """
        with self._ledger.read() as conn:
            transfer = _require(conn, transfer_id, "resend")
            _require_kept(conn, transfer, "sent")
        fresh = TransferId(new_id(self._clock.now()))
        copy = (fresh.encode(),)
        assert transfer.placed_as is not None
        source = _copy(places, transfer, copy)
        again = replace(transfer, id=fresh, source=source, copy_of=transfer.copy_of or transfer_id)

        def work(unit: Unit) -> None:
            _require_kept(unit.conn, transfer, "sent")
            turn = {"rank": HERE, "not_before": unit.now, "attempts": 0, "reason": None}
            records.insert(
                unit, again, Outcome.RESENT, folder="screening", placed_as=records.join(copy), **turn
            )
            _record(unit, "transfer.resent", again, order, {"resent": transfer_id})

        try:
            self._ledger.write(work)
        except BaseException:
            places["screening"].unlink(copy)
            raise
        return fresh

    def release(
        self, transfer_id: TransferId, places: Places, archive: Archive, receiver: Receiver, order: Order
    ) -> None:
        """Publish the file of a received transfer that a gate held back, as if it had been accepted now.

        Raises NotFoundError when it is not in quarantine as it was, RefusedError for a transfer that was not
        held back, while a hold is on its file or another has its name, VaultError, and OSError.
        """
        transfer = self.require("release", transfer_id)
        is_request = transfer.route == "requests" and transfer.origin is None
        folder, where = "requests" if is_request else "inbound", f"transfer {transfer_id}"
        place = (places["quarantine"], transfer.placed_as or transfer.path)

        def work(unit: Unit) -> None:
            _require(unit.conn, transfer_id, "release")
            self._require_movable(unit, transfer, "quarantine")
            reason = f"released by {order.by}: {order.reason}"
            records.move(unit, transfer_id, Outcome.RELEASED, folder=folder, reason=reason)
            records.keep(unit, transfer, folder, transfer.path)
            also = {"folder": folder, "released": "by_operator", **copy.enter(unit)}
            _record(unit, "transfer.received", transfer, order, also)

        with places.alone(folder, transfer.path):
            if places[folder].exists(transfer.path):
                taken = f"a file of its name is in {folder}/, and may be newer"
                raise RefusedError(taken, reason="NAME_TAKEN", where=where, remedy="move that file first")
            if not is_at(*place, transfer.source):
                raise NotFoundError("its file is not in quarantine/ as it was", where=where)
            copy = archive.seal(transfer, place)
            try:
                self._ledger.write(work)
            except BaseException:
                copy.drop()
                raise
            receiver.publish_again(replace(transfer, folder=folder))
        with self._ledger.read() as conn:
            after = records.get(conn, transfer_id)
        if after.state is not TransferState.DONE:
            raise RefusedError(f"it is {after.state}: {after.reason}", reason="NOT_PLACED", where=where)
        receiver.tell(after, folder)


def _record(
    unit: Unit, type: str, transfer: Transfer, order: Order, also: dict[str, Any] | None = None
) -> None:
    private = transfer.private | {"by": order.by, "reason": order.reason}
    unit.record(Event(type, transfer.link, transfer.public | (also or {}), private))


def _require(conn: sa.Connection, transfer_id: TransferId, step: str, *also: TransferState) -> Transfer:
    """The transfer, if it can take the step where it stands, which may be at one of `also`."""
    direction, states = _POSSIBLE[step]
    states = (*states, *also)
    transfer = records.get(conn, transfer_id)
    if transfer.direction != direction or transfer.state not in states:
        raise RefusedError(
            f"a transfer that is {transfer.direction} and {transfer.state} cannot {step}",
            reason="TRANSFER_STEP",
            where=f"transfer {transfer_id}",
            remedy=f"possible for {direction} ones that are " + " or ".join(states),
        )
    return transfer


def _require_kept(conn: sa.Connection, transfer: Transfer, folder: str) -> bytes:
    """The path of the transfer's file in `folder`, if it is in our care."""
    file = tables.kept_file.c
    kept = conn.execute(sa.select(file.folder, file.path, file.state).where(file.id == transfer.id)).first()
    if kept is None or kept.folder != folder or kept.state != "present":
        state = "never was" if kept is None or kept.folder != folder else f"is {kept.state}"
        raise NotFoundError(
            f"its file {state} in {folder}/", where=f"transfer {transfer.id}", remedy="drop the file anew"
        )
    path: bytes = kept.path
    return path


def _copy(places: Places, transfer: Transfer, copy: records.Parts) -> str:
    """Copy the file of a delivered transfer to `screening`; returns the copy's snapshot."""
    sent, screening = places["sent"], places["screening"]
    assert transfer.placed_as is not None
    try:
        source = sent.open(transfer.placed_as, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise NotFoundError(
            f"its file cannot be read: {error.strerror}", where=f"transfer {transfer.id}"
        ) from error
    try:
        target = screening.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            digest = hashlib.sha256()
            while chunk := os.read(source, _CHUNK):
                digest.update(chunk)
                durable.write_all(target, chunk)
            if digest.hexdigest() != transfer.sha256:
                raise RefusedError(
                    "its file was changed since", reason="FILE_CHANGED", where=f"transfer {transfer.id}"
                )
            os.fsync(target)
            durable.sync_parent(screening, copy)
            return str(identity(target))
        except BaseException:
            screening.unlink(copy)
            raise
        finally:
            os.close(target)
    finally:
        os.close(source)
