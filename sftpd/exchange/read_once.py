"""Files of a remote that gives each only once: what was asked for is noted before, and told of if it failed.

The ledger keeps a digest of name, size and time: such a file has no other trace here, and may be a person's.
"""

import hashlib
from collections.abc import Iterable

import sqlalchemy as sa
import structlog

from sftpd.exchange.remote import RemoteFile
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link.model import Inbound
from sftpd.names import TransferId

_CUT_OFF = "the read was cut off"
_attempt = tables.attempt

_log = structlog.get_logger()


class Attempts:
    """The reads of one route; its caller sees to it that one run at a time uses them."""

    def __init__(self, route: Inbound, ledger: Ledger) -> None:
        self._route = route
        self._ledger = ledger
        self._where = (_attempt.c.link == route.link, _attempt.c.route == route.name)

    def tried(self, files: list[RemoteFile]) -> set[RemoteFile]:
        """Those of `files` that were read before, with success or not."""
        by_key = {_key(file): file for file in files}
        found: set[RemoteFile] = set()
        with self._ledger.read() as conn:
            for some in in_parts([*by_key]):
                query = sa.select(_attempt.c.key).where(*self._where, _attempt.c.key.in_(some))
                found.update(by_key[key] for key in conn.scalars(query))
        return found

    def begin(self, file: RemoteFile, transfer: TransferId) -> None:
        """Note durably that a file is about to be read."""
        row = {"link": self._route.link, "route": self._route.name, "key": _key(file), "transfer": transfer}
        self._ledger.write(lambda unit: unit.conn.execute(_attempt.insert().values(told=False, **row)))

    def failed(self, file: RemoteFile, transfer: TransferId, reason: str) -> None:
        """Tell that a read failed; the file is not asked for again."""

        def work(unit: Unit) -> None:
            row = _attempt.update().where(*self._where, _attempt.c.key == _key(file))
            unit.conn.execute(row.values(told=True))
            unit.record(self._event(transfer, file, reason))

        self._ledger.write(work)
        self._log(transfer, reason)

    def settle(self, files: Iterable[RemoteFile]) -> None:
        """Between two runs: forget the reads of which a transfer came, and tell of those cut off.

        `files` are there now.
        """
        query = sa.select(_attempt.c.key, _attempt.c.transfer).where(*self._where, _attempt.c.told.is_(False))
        with self._ledger.read() as conn:
            rows = list(conn.execute(query))
        if not rows:
            return
        there = {_key(file): file for file in files}

        def work(unit: Unit) -> list[TransferId]:
            lost = []
            for key, transfer in rows:
                t = tables.transfer.c
                mine = (*self._where, _attempt.c.key == key)
                if unit.conn.scalar(sa.select(t.id).where(t.id == transfer)) is not None:
                    unit.conn.execute(_attempt.delete().where(*mine))
                    continue
                unit.conn.execute(_attempt.update().where(*mine).values(told=True))
                unit.record(self._event(transfer, there.get(key), _CUT_OFF))
                lost.append(TransferId(transfer))
            return lost

        for transfer in self._ledger.write(work):
            self._log(transfer, _CUT_OFF)

    def _event(self, transfer: str, file: RemoteFile | None, reason: str) -> Event:
        public = {"transfer": transfer, "route": self._route.name}
        private = {"peer": self._route.remote, "reason": reason}
        if file is not None:
            private["path"] = file.name.decode("utf-8", "backslashreplace")
        return Event("transfer.fetch_failed", self._route.link, public, private)

    def _log(self, transfer: TransferId, reason: str) -> None:
        _log.error(
            "file_lost_at_remote",
            route=self._route.name,
            transfer=transfer,
            error=reason,
            remedy="the remote gives it once: ask the counterparty for it under another time or name",
        )


def _key(file: RemoteFile) -> bytes:
    return hashlib.sha256(b"%d:%d:" % (file.size, file.mtime) + file.name).digest()
