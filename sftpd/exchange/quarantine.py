"""Received files that may not be published: why, and how they are put in quarantine."""

import errno
from collections.abc import Mapping

import sqlalchemy as sa

from sftpd.errors import ContainmentError
from sftpd.exchange import records
from sftpd.exchange.places import Places
from sftpd.exchange.records import Transfer
from sftpd.exchange.transfer import Outcome, TransferState
from sftpd.files import durable
from sftpd.hooks.verdict import Kind, Verdict
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

NEWER = "a newer file of that name has come in"
SUPERSEDED = Verdict(Kind.REJECT, f"{NEWER}; nothing may replace it")
STRAY = Verdict(Kind.REJECT, "the file is not the one that was written, and its name is taken")
_IN_THE_WAY = Verdict(Kind.REJECT, "a file or folder of that name is in the way")
_NO_PLACE = Verdict(Kind.REJECT, "the file could not be put in its place")
_OBSTACLES = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR}


class Quarantine:
    """The quarantine of one link."""

    def __init__(self, link: str, places: Places, ledger: Ledger) -> None:
        self._link = link
        self._places = places
        self._ledger = ledger

    def put(self, transfer: Transfer, verdict: Verdict, said: Mapping[str, str], *, entered: bool) -> None:
        """Record that a file is held back, and put it there; `entered`: the ledger knows its transfer."""

        def work(unit: Unit) -> None:
            values = {"folder": "quarantine", "reason": verdict.reason}
            if entered:
                records.move(unit, transfer.id, Outcome.BLOCKED, **values)
            else:
                records.insert(unit, transfer, Outcome.BLOCKED, **values)
            public = {**transfer.public, "verdict": verdict.kind.value, **said}
            unit.record(
                Event("transfer.blocked", self._link, public, transfer.private | {"reason": verdict.reason})
            )

        self._ledger.write(work)
        self.take_in(transfer)

    def take_in(self, transfer: Transfer) -> None:
        """Put a file there of which it is recorded; may be repeated after a crash."""
        waiting = (transfer.id.encode(),)
        place = self._places.put_aside(transfer, self._places["screening"], waiting, "quarantine")

        def work(unit: Unit) -> None:
            if place is None:
                records.move(unit, transfer.id, Outcome.PUT_AWAY)
                return
            records.move(unit, transfer.id, Outcome.PUT_AWAY, placed_as=records.join(place))
            records.keep(unit, transfer, "quarantine", place)

        self._ledger.write(work)


def verdict_on(error: Exception) -> Verdict | None:
    """What keeps a file from being published; None when only its sender must not rely on it.

    It is in its place then; should power fail before that is durable, the next start does it again.
    """
    if isinstance(error, durable.NotDurableError):
        return None
    is_obstacle = isinstance(error, ContainmentError) or getattr(error, "errno", None) in _OBSTACLES
    return _IN_THE_WAY if is_obstacle else _NO_PLACE


def is_superseded(ledger: Ledger, transfer: Transfer, folder: str) -> bool:
    """Whether a file that came in later is, or was, at the place of one that was acknowledged before it."""
    t, own = tables.transfer.c, tables.transfer.alias().c
    place = (t.path == records.join(transfer.path), t.link == transfer.link, t.folder == folder)
    published = t.state.in_((TransferState.PLACING, TransferState.DONE))
    generation = sa.select(sa.func.coalesce(own.generation, 0)).where(own.id == transfer.id)
    newer = t.generation > generation.scalar_subquery()
    with ledger.read() as conn:
        return bool(conn.scalar(sa.select(sa.exists().where(*place, published, newer))))
