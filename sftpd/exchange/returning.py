"""Received files that go back to a remote: a transfer each, over an outbound route, from where they lie.

Retention says which. The file stays in our care at its place whatever comes of the transfer; once that is
delivered, retention disposes of it.
"""

from collections.abc import Iterable, Sequence
from functools import partial

import sqlalchemy as sa

from sftpd.clock import Clock
from sftpd.exchange import records
from sftpd.exchange.away import Away
from sftpd.exchange.due import HERE
from sftpd.exchange.places import is_at
from sftpd.exchange.records import Transfer
from sftpd.exchange.transfer import Outcome, TransferState
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link.model import Link
from sftpd.names import TransferId, new_id

EVENT = "transfer.returning"
"""Told of each file whose way back begins."""

_file, _returned = tables.kept_file, tables.returned


class Returns:
    """The ways back that there are; enters transfers for them, which the outbound queue then carries out."""

    def __init__(self, links: Iterable[Link], clock: Clock) -> None:
        self._ways = {
            (str(route.link), str(route.return_of)): (link, route) for link in links for route in link.returns
        }
        self._clock = clock

    def has(self, link: str, route: str) -> bool:
        """Whether files may go back by an outbound route of a link."""
        return (link, route) in self._ways

    def enter(self, unit: Unit, file: str, link: str, route: str) -> str:
        """Have the kept file of this id go back; returns the id of its transfer. There is such a way."""
        of, way = self._ways[link, route]
        row = unit.conn.execute(sa.select(_file).where(_file.c.id == file)).one()
        folder = of.folders.by_name()[row.folder].relative_to(of.folders.root)
        transfer = Transfer(
            id=TransferId(new_id(self._clock.now())),
            link=link,
            direction="outbound",
            route=way.name,
            peer=way.remote or "",
            path=records.split(bytes(folder) + b"/" + row.path),
            source=row.source,
            size=row.size,
            sha256=row.sha256,
            rank=HERE,
        )
        # The gates are asked first, as of any file that is about to be sent.
        records.insert(unit, transfer, Outcome.RESENT, not_before=unit.now)
        unit.record(Event(EVENT, link, transfer.public, transfer.private))
        return transfer.id


class Stay(Away):
    """What becomes of a received file once it is sent back, or will not be: it stays where it lies."""

    def bring_back(self, transfer: Transfer) -> bool:
        """It was never moved."""
        return is_at(self._source, transfer.path, transfer.source)

    def put_away(self, transfers: Sequence[Transfer]) -> dict[TransferId, Exception]:
        """Have retention know that files were delivered."""
        self._ledger.defer(partial(_delivered, transfers))
        return {}

    def put_aside(self, transfer: Transfer, folder: str) -> None:
        """End a transfer that failed or was held back."""
        del folder
        ended = {transfer.id: {"folder": None, "not_before": None}}
        self._ledger.write(lambda unit: records.move_all(unit, ended, Outcome.PUT_AWAY))

    def remove_done_file(self, transfer: Transfer) -> None:
        """Received files have none."""


def is_under_way(conn: sa.Connection, transfer_id: TransferId) -> bool:
    """Whether a kept file goes back by this very transfer."""
    mine = sa.select(_file.c.id).join(_returned, _returned.c.file == _file.c.id)
    query = mine.where(_returned.c.transfer == transfer_id, _file.c.state == "present")
    return conn.scalar(query) is not None


def _delivered(transfers: Sequence[Transfer], unit: Unit) -> None:
    changes = {transfer.id: {"not_before": None} for transfer in transfers}
    moved = records.move_all(unit, changes, Outcome.PUT_AWAY, unless=(TransferState.DONE,))
    unit.conn.execute(_returned.update().where(_returned.c.transfer.in_(moved)).values(fetched_at=unit.now))
