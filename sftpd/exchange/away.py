"""What becomes of a dropped file once it is sent, or will not be: archived, removed or put aside."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf

from sftpd.clock import Clock
from sftpd.errors import ContainmentError
from sftpd.exchange import records
from sftpd.exchange.archive import NO_ARCHIVE, Archive
from sftpd.exchange.backlog import Backlog
from sftpd.exchange.bell import Bell
from sftpd.exchange.keeping import Keeping
from sftpd.exchange.overdue import RouteWaits
from sftpd.exchange.places import Places, is_at
from sftpd.exchange.records import Parts, Transfer
from sftpd.exchange.screening import Screening
from sftpd.exchange.transfer import Outcome, TransferState
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.link.model import Outbound
from sftpd.names import TransferId

_Place = tuple[Transfer, str, Parts | None]
"""A transfer, and the folder and path where its file was put; no path: there is none to keep."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What claiming, sending and putting away work with."""

    ledger: Ledger
    screening: Screening
    keeping: Keeping
    clock: Clock
    observing: Backlog
    bell: Bell
    archive: Archive = NO_ARCHIVE
    waits: RouteWaits = field(default_factory=lambda: RouteWaits(inf))
    """The files of the route that are not ready."""


class Away:
    """Takes the files of one outbound route out of its watched folder; each step may be repeated."""

    def __init__(self, route: Outbound, places: Places, source: Root, tools: Tools) -> None:
        """`source` is the watched folder."""
        self._route = route
        self._places = places
        self._source = source
        self._ledger = tools.ledger
        self._keeping = tools.keeping

    def put_away(self, transfers: Sequence[Transfer]) -> dict[TransferId, Exception]:
        """Archive or remove files that were delivered or skipped, unless they are others by now.

        Returns what kept some from that. Raises OSError where it could not be made durable.
        """
        moves = durable.Unsynced()
        put: list[_Place] = []
        failed: dict[TransferId, Exception] = {}
        for transfer in transfers:
            try:
                self.remove_done_file(transfer)
                put.append((transfer, "sent", self._move_away(transfer, moves)))
            except (OSError, ContainmentError) as error:
                failed[transfer.id] = error
        moves.sync()
        if put:
            self._ledger.defer(partial(_close, put))
        return failed

    def _move_away(self, transfer: Transfer, moves: durable.Unsynced) -> Parts | None:
        kept = self._route.after == "archive" or self._keeping.covers(self._route.folder.name, transfer.path)
        if kept:
            return self._places.put_aside(transfer, self._source, transfer.path, "sent", moves)
        if is_at(self._source, transfer.path, transfer.source):
            self._source.unlink(transfer.path)
            moves.add(self._source, transfer.path)
        return None

    def close_offered(self, transfers: Sequence[Transfer], folder: str) -> None:
        """End transfers whose files lie at their places in `folder`, and keep the files."""
        self._ledger.defer(partial(_close_offered, transfers, folder))

    def put_aside(self, transfer: Transfer, folder: str) -> None:
        """Move the file of a transfer that is at its end to `failed` or `quarantine`, and end it."""
        self.remove_done_file(transfer)
        place = self._places.put_aside(transfer, self._source, transfer.path, folder)
        if place is not None and folder == "failed":
            self._places.note_reason(folder, place, transfer.reason or "unknown")
        self._ledger.write(partial(_close, [(transfer, folder, place)]))

    def bring_back(self, transfer: Transfer) -> bool:
        """Put a file that is to be sent again where it was sent from; says whether it is there as it was."""
        assert transfer.folder is not None
        assert transfer.placed_as is not None
        if not is_at(self._source, transfer.path, transfer.source):
            if not is_at(self._places[transfer.folder], transfer.placed_as, transfer.source):
                return False
            durable.publish(self._places[transfer.folder], transfer.placed_as, self._source, transfer.path)
        self._places.forget_reason(transfer.folder, transfer.placed_as)
        return True

    def remove_done_file(self, transfer: Transfer) -> None:
        """Remove the done-file of a file that is about to leave the folder: it must not speak for the next.

        Once the file is gone its done-file was removed before: what lies there then belongs to another.
        """
        suffix = self._route.readiness.done_file
        if suffix is None or not is_at(self._source, transfer.path, transfer.source):
            return
        done = (*transfer.path[:-1], transfer.path[-1] + os.fsencode(suffix))
        with suppress(FileNotFoundError):
            self._source.unlink(done)
            durable.sync_parent(self._source, done)


def _close(put: Sequence[_Place], unit: Unit) -> None:
    """End transfers whose files were put aside, unless they are done, and keep those that are there."""
    gone = {transfer.id: {"not_before": None} for transfer, _, place in put if place is None}
    kept = [(transfer, folder, place) for transfer, folder, place in put if place is not None]
    where = {
        transfer.id: {"folder": folder, "placed_as": records.join(place), "not_before": None}
        for transfer, folder, place in kept
    }
    records.move_all(unit, gone, Outcome.PUT_AWAY, unless=(TransferState.DONE,))
    moved = records.move_all(unit, where, Outcome.PUT_AWAY, unless=(TransferState.DONE,))
    for transfer, folder, place in kept:
        if transfer.id in moved:
            records.keep(unit, transfer, folder, place)


def _close_offered(transfers: Sequence[Transfer], folder: str, unit: Unit) -> None:
    changes = {each.id: {"not_before": None} for each in transfers}
    moved = records.move_all(unit, changes, Outcome.PUT_AWAY, unless=(TransferState.DONE,))
    for each in transfers:
        if each.id in moved:
            records.keep(unit, each, folder, each.final)
