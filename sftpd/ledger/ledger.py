"""The ledger: one object to write through and read from."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.pool import PoolProxiedConnection

from sftpd.clock import Clock
from sftpd.errors import LedgerError
from sftpd.ledger.database import fault_of, is_gone, migrate, open_engine
from sftpd.ledger.outbox import Event, Seal
from sftpd.ledger.statement import Statement
from sftpd.ledger.writer import Unit, Writer

T = TypeVar("T")
_READERS = 4
"""Connections that are kept for look-ups: the pool's would cost more to take out than the look-up does."""
_log = structlog.get_logger()


class Ledger:
    """The database of transfers, received files, holds and requests, and the outbox of their events."""

    def __init__(self, engine: sa.Engine, *, clock: Clock, seal: Seal, alone: bool = False) -> None:
        self._engine = engine
        self._listeners: list[Callable[[], None]] = []
        self._counters: list[Callable[[Event], None]] = []
        self._readers: deque[PoolProxiedConnection] = deque()
        """Idle, outside any transaction and no longer the pool's."""
        self._writer = Writer(engine, clock=clock, seal=seal, committed=self._tell, alone=alone)

    @classmethod
    def open(cls, url: str, *, clock: Clock, seal: Seal, alone: bool = False) -> Self:
        """Open the database at `url`, bringing its schema up to date.

        `alone`: nobody else who is to be alone with it has it open meanwhile. Raises LedgerError when that is
        not possible.
        """
        engine = open_engine(url)
        ledger = cls(engine, clock=clock, seal=seal, alone=alone)
        try:
            if alone:
                ledger._writer.connect()
            migrate(engine)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def write(self, work: Callable[[Unit], T]) -> T:
        """Run a unit of work in a transaction and return its result once the commit is durable.

        Raises what the work raises (nothing of it is then kept), or LedgerError when the commit fails.
        """
        return self._writer.write(work)

    def submit(self, work: Callable[[Unit], T]) -> Future[T]:
        """As `write`, without waiting."""
        return self._writer.submit(work)

    def defer(self, work: Callable[[Unit], object]) -> Future[Any]:
        """As `submit`, for what nobody waits for: a failure is logged, and recovery will find the rest."""
        done = self._writer.submit(work)
        done.add_done_callback(_log_failure)
        return done

    def follow(self, statement: Statement, row: Mapping[str, Any]) -> None:
        """Run a statement with the next commit: of what cannot be refused and recovery would do."""
        self._writer.follow(statement, row)

    def settle(self) -> None:
        """Return once all is committed that was deferred before."""
        self.write(lambda _unit: None)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection that sees one consistent state; writing through it is a programming error.

        Raises LedgerError where the database cannot be reached.
        """
        try:
            connected = self._engine.connect()
        except sa.exc.OperationalError as error:
            raise fault_of(self._engine, "the ledger cannot be read", error) from error
        with connected as conn:
            yield conn

    def look_up(self, query: Statement, **values: Any) -> list[tuple[Any, ...]]:
        """The rows of one query that needs no other beside it, as cheap as it can be."""
        try:
            connection, kept = self._readers.pop(), True
        except IndexError:
            connection, kept = self._engine.raw_connection(), False
            connection.detach()
        try:
            rows = query.fetch_on(connection, self._engine.dialect, **values)
            connection.rollback()
        except BaseException:
            gone = kept and is_gone(connection)
            connection.close()
            if gone:
                # With it went those that are kept beside it; a new one may be had.
                self._forget_readers()
                return self.look_up(query, **values)
            raise
        if len(self._readers) < _READERS:
            self._readers.append(connection)
        else:
            connection.close()
        return rows

    def compact(self) -> None:
        """Leave nothing of deleted rows to be read: SQLite keeps old pages in its write-ahead log.

        Raises LedgerError while a reader keeps that from being done.
        """
        if self._engine.dialect.name != "sqlite":
            return
        # On the driver's own connection: a transaction, as SQLAlchemy begins one, would be in the way itself.
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy = cursor.fetchall()[0][0]
            cursor.close()
        finally:
            connection.close()
        if busy:
            raise LedgerError("the write-ahead log is in use", remedy="it is emptied when the daemon stops")

    def copy_to(self, path: Path) -> None:
        """Write a copy of the database as it is at one moment to a new file, while others go on.

        It has no free pages, and so nothing of what was deleted. Raises LedgerError for a database that is no
        file, or where the disk fails.
        """
        if self._engine.dialect.name != "sqlite":
            raise LedgerError(
                "the ledger is in a database of its own",
                where=self._engine.url.render_as_string(hide_password=True),
                remedy="back it up as that database is backed up",
            )
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute("VACUUM INTO ?", (str(path),))
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise LedgerError(f"the ledger could not be copied: {error}", where=str(path)) from error
        finally:
            connection.close()

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Have `listener` called, briefly and on the thread that commits, after each commit."""
        self._listeners.append(listener)

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """The same for each event that was committed."""
        self._counters.append(listener)

    def close(self) -> None:
        """Commit what is queued and close every connection."""
        self._writer.close()
        self._forget_readers()
        self._engine.dispose()

    def _forget_readers(self) -> None:
        # Other threads take them and forget them too.
        with suppress(IndexError):
            while True:
                self._readers.pop().close()

    def _tell(self, events: list[Event]) -> None:
        for counter in self._counters:
            for event in events:
                counter(event)
        for listener in self._listeners:
            listener()


def _log_failure(done: Future[object]) -> None:
    error = done.exception()
    if error is not None:
        _log.error("deferred_write_failed", error=str(error))
