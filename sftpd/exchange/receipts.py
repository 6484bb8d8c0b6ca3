"""Writing receipts: behind the audit log, with a cursor in the ledger, so that no upload waits for one.

    drafts (durable) → signature, then receipt renamed to their place → folders durable → cursor

A crash anywhere leaves the cursor where it was: the same receipts are then made again, and those that are at
their place stay as they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from math import inf
from typing import Any

import sqlalchemy as sa
import structlog

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import Checkpoint, SigningKey, parse_checkpoint
from sftpd.audit.published import PublishedLog
from sftpd.errors import AuditError
from sftpd.exchange import receipt
from sftpd.exchange.places import Places
from sftpd.exchange.receipt import Told
from sftpd.exchange.records import Parts
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.ledger import outbox, tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit

_BATCH = 512
"""Leaves that are gone over between two moves of the cursor."""

_cursor = tables.receipt_cursor
_log = structlog.get_logger()


class Receipts:
    """The receipts of one link; its methods are called by one thread at a time."""

    def __init__(
        self,
        link: str,
        places: Places,
        log: PublishedLog,
        *,
        key: SigningKey,
        ledger: Ledger,
        alone: AbstractContextManager[object],
    ) -> None:
        """`log` is the link's; the name of `key` is that of the instance.

        `alone` is held by who writes receipts, and by who removes some with what they were written from.
        """
        self.link = link
        self._drafts = places["drafts"]
        self._receipts = places["receipts"]
        self._audit = log
        self._key = key
        self._ledger = ledger
        self._alone = alone
        self._ready = False

    def leaves(self) -> int:
        """How many leaves the log has."""
        return self._head().size

    def advance(self) -> bool:
        """Make the receipts that are due, of a batch of leaves at most; says whether there are more.

        Raises AuditError when the log cannot be read or is shorter than it was, LedgerError, and OSError.
        """
        if not self._ready:
            self._prepare()
        head, start = self._head(), self._next()
        if start is None or start == head.size:
            return False
        if start > head.size:
            raise AuditError(
                f"the log has {head.size} leaves, and receipts were made of {start}",
                where=str(self._audit.public),
                remedy="restore the ledger and the logs that belong together",
            )
        stop = min(start + _BATCH, head.size)
        self._ready = False
        with self._alone:
            self._publish(dict(self._due(head, start, stop)))
        self._ready = True
        self._ledger.write(partial(_move, self.link, stop))
        return stop < head.size

    def _head(self) -> Checkpoint:
        return parse_checkpoint(self._audit.checkpoint())

    def _next(self) -> int | None:
        with self._ledger.read() as conn:
            found: int | None = conn.scalar(sa.select(_cursor.c.next).where(_cursor.c.link == self.link))
        return found

    def _prepare(self) -> None:
        """Remove what a crash left among the drafts, and say whose signatures count."""
        with self._drafts.scan() as listing:
            left = [entry.name for entry in listing]
        for name in left:
            self._drafts.unlink((name,))
        signers = sshsig.allowing(self._signers(), self._key.verifier, receipt.NAMESPACE)
        if signers is not None:
            self._put(self._receipts, {sshsig.SIGNERS: signers})
            self._receipts.sync()
        self._ready = True

    def _signers(self) -> bytes:
        try:
            return self._receipts.read((sshsig.SIGNERS,), sshsig.SIGNERS_LIMIT)
        except FileNotFoundError:
            return b""

    def _due(self, head: Checkpoint, start: int, stop: int) -> Iterator[tuple[Parts, bytes]]:
        """The receipts of the leaves from `start` up to `stop`, by where they are to lie."""
        leaves = self._audit.leaves(start, stop, head.size)
        events = [told for index, leaf in enumerate(leaves, start) if (told := receipt.read(index, leaf))]
        opened = self._opened(events)
        for told in events:
            values = opened.get(told.event.id, {})
            if not values.keys() >= set(receipt.PRIVATE_FIELDS):
                # There must be no document of a file that was erased.
                _log.info("no_receipt", link=self.link, transfer=told.data.transfer, reason="erased")
                continue
            made = receipt.make(told, values, instance=self._key.name, log=head.origin)
            yield receipt.place(told, made.name), receipt.content(made)

    def _opened(self, events: Sequence[Told]) -> Mapping[str, Mapping[str, Any]]:
        fields = (*receipt.PRIVATE_FIELDS, receipt.DELIVERED_AS)
        with self._ledger.read() as conn:
            return outbox.opened(conn, [told.event.id for told in events], fields)

    def _publish(self, due: Mapping[Parts, bytes]) -> None:
        """Put receipts at their places that are not there, each after its signature."""
        folders: dict[Parts, dict[bytes, bytes]] = {}
        for place, content in due.items():
            folders.setdefault(place[:-1], {})[place[-1]] = content
        for folder, contents in folders.items():
            self._receipts.make_parents((*folder, b""))
            with self._receipts.sub(folder) as into:
                self._put(into, self._lacking(into, contents))
        # A crash may have come between a rename and its sync, so the folders of those that were there count.
        for above in {folder[:depth] for folder in folders for depth in range(len(folder) + 1)}:
            with self._receipts.sub(above) as directory:
                directory.sync()

    def _lacking(self, into: Root, contents: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """The files that are not in a folder, in the order in which they are to appear."""
        files: dict[bytes, bytes] = {}
        for name, content in contents.items():
            signed = name + sshsig.SUFFIX.encode()
            if not (into.exists((name,)) and into.exists((signed,))):
                files[signed] = sshsig.sign(content, self._key, receipt.NAMESPACE)
                files[name] = content
        return files

    def _put(self, into: Root, files: Mapping[bytes, bytes]) -> None:
        """Make files that appear whole, in this order; their names are not durable yet."""
        drafts = [((b"%d" % number,), data) for number, data in enumerate(files.values())]
        durable.write_new(self._drafts, drafts)
        for (draft, _), name in zip(drafts, files, strict=True):
            self._drafts.rename(draft, into, (name,), replace=True)


def find(receipts: Root, transfers: Mapping[str, tuple[datetime, datetime]]) -> Iterator[Parts]:
    """Where the receipts of transfers lie, and their signatures; for each is told when it began and ended.

    It may have ended earlier than it began: the clock was set back.
    """
    ranges = [sorted((began.date(), ended.date())) for began, ended in transfers.values()]
    days = {
        str(first + timedelta(days=day)).encode()
        for first, last in ranges
        for day in range((last - first).days + 1)
    }
    for day in sorted(days):
        for folder in names_in(receipts, (day,)):
            for name in names_in(receipts, (day, folder)):
                if receipt.transfer_of(name) in transfers:
                    yield day, folder, name


def remove(receipts: Root, ledger: Ledger, transfers: Sequence[str]) -> None:
    """Remove the receipts of these transfers durably."""
    places = list(find(receipts, spans(ledger, transfers)))
    for place in places:
        receipts.unlink(place)
    for place in {place[:-1]: place for place in places}.values():
        durable.sync_parent(receipts, place)


def spans(ledger: Ledger, transfers: Sequence[str]) -> dict[str, tuple[datetime, datetime]]:
    """When each of these transfers began and last changed, in UTC, as the days of receipts are."""
    t = tables.transfer.c
    found: dict[str, tuple[datetime, datetime]] = {}
    with ledger.read() as conn:
        for some in in_parts(transfers):
            rows = conn.execute(sa.select(t.id, t.began_at, t.changed_at).where(t.id.in_(some)))
            found.update((row.id, (row.began_at, row.changed_at)) for row in rows)
    return found


def names_in(receipts: Root, folder: Parts) -> list[bytes]:
    """The names in a folder of receipts, sorted; none where there is no such folder."""
    try:
        with receipts.scan(folder) as listing:
            return sorted(entry.name for entry in listing)
    except FileNotFoundError:
        return []


def enrol(ledger: Ledger, links: Mapping[str, int]) -> None:
    """Have receipts made for these links and no others; for one that had none, after so many leaves.

    Raises LedgerError.
    """

    def work(unit: Unit) -> None:
        unit.conn.execute(_cursor.delete().where(_cursor.c.link.not_in(links)))
        known = set(unit.conn.scalars(sa.select(_cursor.c.link)))
        for link in links.keys() - known:
            unit.conn.execute(_cursor.insert().values(link=link, next=links[link]))

    ledger.write(work)


def made_of(conn: sa.Connection, link: str) -> float:
    """Of how many leaves of a link's log there are receipts; of every one where none are made."""
    found: int | None = conn.scalar(sa.select(_cursor.c.next).where(_cursor.c.link == link))
    return inf if found is None else found


def _move(link: str, index: int, unit: Unit) -> None:
    unit.conn.execute(_cursor.update().where(_cursor.c.link == link).values(next=index))
