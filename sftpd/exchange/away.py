"""What becomes of a dropped file once it is sent, or will not be: archived, removed or put aside."""

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from sftpd.errors import ContainmentError
from sftpd.exchange import records
from sftpd.exchange.places import Places, is_at
from sftpd.exchange.records import Parts, Transfer
from sftpd.exchange.transfer import Outcome
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.link.model import Outbound
from sftpd.names import TransferId

_Place = tuple[Transfer, Parts | None]
"""A transfer, and where its file was put; None: there is none to keep."""


class Away:
    """Takes the files of one outbound route out of its watched folder; each step may be repeated."""

    def __init__(self, route: Outbound, places: Places, source: Root, ledger: Ledger) -> None:
        """`source` is the watched folder."""
        self._route = route
        self._places = places
        self._source = source
        self._ledger = ledger

    def put_away(self, transfers: Sequence[Transfer]) -> dict[TransferId, Exception]:
        """Archive or remove files that were delivered or skipped, unless they are others by now.

        Returns what kept some from that. Raises OSError where it could not be made durable.
        """
        folder = "sent" if self._route.after == "archive" else None
        moves = durable.Unsynced()
        put: list[_Place] = []
        failed: dict[TransferId, Exception] = {}
        for transfer in transfers:
            try:
                self.remove_done_file(transfer)
                put.append((transfer, self._move_away(transfer, folder, moves)))
            except (OSError, ContainmentError) as error:
                failed[transfer.id] = error
        moves.sync()
        if put:
            self.close_soon(put, folder)
        return failed

    def _move_away(self, transfer: Transfer, folder: str | None, moves: durable.Unsynced) -> Parts | None:
        if folder is not None:
            return self._places.put_aside(transfer, self._source, transfer.path, folder, moves)
        if is_at(self._source, transfer.path, transfer.source):
            self._source.unlink(transfer.path)
            moves.add(self._source, transfer.path)
        return None

    def close_soon(self, put: Sequence[_Place], folder: str | None) -> None:
        """End transfers whose files are where they are to stay; recovery would do it too."""
        self._ledger.defer(partial(_close, put, folder))

    def put_aside(self, transfer: Transfer, folder: str) -> None:
        """Move the file of a transfer that is at its end to `failed` or `quarantine`, and end it."""
        self.remove_done_file(transfer)
        place = self._places.put_aside(transfer, self._source, transfer.path, folder)
        if place is not None and folder == "failed":
            self._places.note_reason(folder, place, transfer.reason or "unknown")
        self._ledger.write(partial(_close, [(transfer, place)], folder))

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


def _close(put: Sequence[_Place], folder: str | None, unit: Unit) -> None:
    """End transfers whose files were put aside, and keep those that are there."""
    gone = {transfer.id: {"not_before": None} for transfer, place in put if place is None}
    kept = [(transfer, place) for transfer, place in put if place is not None]
    where = {
        transfer.id: {"folder": folder, "placed_as": records.join(place), "not_before": None}
        for transfer, place in kept
    }
    records.move_all(unit, gone, Outcome.PUT_AWAY)
    records.move_all(unit, where, Outcome.PUT_AWAY)
    for transfer, place in kept:
        assert folder is not None
        records.keep(unit, transfer, folder, place)
