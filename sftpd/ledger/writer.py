"""The one writer of the ledger: units of work from many threads, grouped into few commits."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog

from sftpd.clock import Clock
from sftpd.errors import LedgerError
from sftpd.ledger.database import claim, connect_by_hand, fault_of, is_gone
from sftpd.ledger.outbox import Event, Seal, Sealed, put
from sftpd.ledger.statement import Statement
from sftpd.names import new_id

T = TypeVar("T")

_GROUP_LIMIT = 128
_LINGER = 0.02
"""Seconds that a unit waits for others when nobody waits for it."""

_SAVE = Statement(sa.text("SAVEPOINT unit"))
_UNDO = Statement(sa.text("ROLLBACK TO SAVEPOINT unit"))
_RELEASE = Statement(sa.text("RELEASE SAVEPOINT unit"))
_COMMIT = Statement(sa.text("COMMIT"))
_ROLLBACK = Statement(sa.text("ROLLBACK"))
_log = structlog.get_logger()


class Unit:
    """A unit of work inside the writer's transaction: what it changes and the events that tell of it."""

    def __init__(self, conn: sa.Connection, now: datetime, seal: Seal) -> None:
        self.conn = conn
        self.now = now
        self._seal = seal
        self.recorded: list[Event] = []
        """The events of this unit."""

    def record(self, event: Event) -> str:
        """Put an event in the outbox, in this transaction; returns its id."""
        (event_id,) = self.record_all([event])
        return event_id

    def record_all(self, events: Sequence[Event]) -> list[str]:
        """The same for several, in their order."""
        entries = [(event.log, new_id(self.now), event) for event in events]
        put(self.conn, [(log, event_id, self._sealed(event_id, event)) for log, event_id, event in entries])
        self.recorded += events
        return [event_id for _, event_id, _ in entries]

    def _sealed(self, event_id: str, event: Event) -> Sealed:
        return self._seal(
            event_id=event_id,
            type=event.type,
            time=self.now,
            link=event.link,
            public=event.public,
            private=event.private,
        )


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[Unit], Any]
    done: Future[Any]


_Follower = tuple[Statement, Mapping[str, Any]]
_Outcome = tuple[_Job, Any, BaseException | None, list[Event]]


class Writer:
    """Runs units of work in the order they came and answers each only after its commit is on disk.

    Who waits for a unit commits it, and all that wait with it, unless another is at it: then the next one
    does. What nobody waits for goes with the next commit, or a thread `sftpd-ledger` sees to it soon.

    Followers are changes that wait for no answer and cannot be refused: they need no unit of their own.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        clock: Clock,
        seal: Seal,
        committed: Callable[[list[Event]], None],
        alone: bool = False,
    ) -> None:
        """`alone`: no other writer that is alone commits anything while this one is connected."""
        self._engine = engine
        self._alone = alone
        self._clock = clock
        self._seal = seal
        self._committed = committed
        self._jobs: deque[_Job] = deque()
        self._followers: deque[_Follower] = deque()
        self._gate = threading.Lock()
        self._turn = threading.Lock()
        """Held by whoever commits."""
        self._conn: sa.Connection | None = None
        self._begin: Statement
        self._called = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sftpd-ledger", daemon=True)
        self._thread.start()

    def connect(self) -> None:
        """Connect to the database now. Raises LedgerError where that fails, or another is alone with it."""
        try:
            with self._turn:
                self._connect()
        except sa.exc.SQLAlchemyError as error:
            raise fault_of(self._engine, "the ledger cannot be opened", error) from error

    def write(self, work: Callable[[Unit], T]) -> T:
        """Run a unit of work and return its result once it is committed. Raises what it raises."""
        if not self._jobs and self._turn.acquire(blocking=False):
            try:
                return self._write_alone(work)
            finally:
                self._turn.release()
        done = self._queue(work)
        while not done.done():
            with self._turn:
                if not done.done():
                    self._commit()
        return done.result()

    def submit(self, work: Callable[[Unit], T]) -> Future[T]:
        """Queue a unit of work; the future is resolved once it is committed, or failed alone."""
        done = self._queue(work)
        self._called.set()
        return done

    def follow(self, statement: Statement, row: Mapping[str, Any]) -> None:
        """Run a statement in the next commit, whosever that is."""
        self._followers.append((statement, row))
        self._called.set()

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        with self._gate:
            self._closing.set()
        self._called.set()
        self._thread.join()

    def _queue(self, work: Callable[[Unit], T]) -> Future[T]:
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()  # it cannot be cancelled: what is queued is done
        with self._gate:
            if self._closing.is_set():
                raise _closed()
            self._jobs.append(_Job(work, done))
        return done

    def _run(self) -> None:
        while not self._closing.is_set():
            self._called.wait()
            self._closing.wait(_LINGER)
            self._called.clear()
            while self._jobs or self._followers:
                with self._turn:
                    self._commit()
        with self._turn:
            self._disconnect()

    def _write_alone(self, work: Callable[[Unit], T]) -> T:
        """Do one unit that has nobody to share a commit with; for whoever has the turn."""
        if self._closing.is_set():
            raise _closed()
        refusal: Exception | None = None
        try:
            with self._transaction() as conn:
                unit = Unit(conn, self._clock.now(), self._seal)
                try:
                    result = work(unit)
                except sa.exc.OperationalError:
                    raise
                except Exception as error:
                    refusal = error
                    raise
        except BaseException as error:
            if error is refusal or not isinstance(error, Exception):
                raise
            raise self._failed(error, units=1) from error
        self._committed(unit.recorded)
        return result

    def _commit(self) -> None:
        """Do the units that have waited longest, and what follows; for whoever has the turn."""
        group = [self._jobs.popleft() for _ in range(min(len(self._jobs), _GROUP_LIMIT))]
        if not group and not self._followers:
            return
        try:
            with self._transaction() as conn:
                outcomes = [self._try(conn, job) for job in group]
        except BaseException as error:
            fault = self._failed(error, units=len(group))
            for job in group:
                job.done.set_exception(fault)
            if not isinstance(error, Exception):
                raise
            return
        recorded: list[Event] = []
        for job, result, failure, events in outcomes:
            if failure is None:
                recorded += events
                job.done.set_result(result)
            else:
                job.done.set_exception(failure)
        self._committed(recorded)

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """One transaction, with the changes that follow earlier ones; they wait on where it fails."""
        followers = [self._followers.popleft() for _ in range(len(self._followers))]
        try:
            self._begin_transaction()
            assert self._conn is not None
            for statement, rows in groupby(followers, itemgetter(0)):
                statement.run(self._conn, *(row for _, row in rows))
            yield self._conn
            _COMMIT.run(self._conn, {})
        except BaseException:
            self._undo()
            self._followers.extendleft(reversed(followers))
            raise

    def _begin_transaction(self) -> None:
        known = self._conn
        if known is None:
            self._connect()
        assert self._conn is not None
        try:
            self._begin.run(self._conn, {})
        except sa.exc.OperationalError:
            # Nothing was done on it since the database ended it, so nothing is in doubt.
            if known is None or not is_gone(known.connection):
                raise
            self._disconnect()
            self._begin_transaction()

    def _connect(self) -> None:
        conn, self._begin = connect_by_hand(self._engine)
        try:
            if self._alone:
                claim(conn)
        except BaseException:
            conn.close()
            raise
        self._conn = conn

    def _undo(self) -> None:
        """Roll back; a connection that cannot even do that is given up."""
        try:
            if self._conn is not None:
                _ROLLBACK.run(self._conn, {})
        except sa.exc.SQLAlchemyError:
            self._disconnect()

    def _failed(self, error: BaseException, *, units: int) -> LedgerError:
        _log.error("ledger_commit_failed", error=str(error), units=units)
        if isinstance(error, LedgerError):
            return error
        return fault_of(self._engine, "could not commit", error)

    def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            # One that the database ended cannot even be rolled back.
            with suppress(sa.exc.SQLAlchemyError):
                conn.close()

    def _try(self, conn: sa.Connection, job: _Job) -> _Outcome:
        result, failure = None, None
        unit = Unit(conn, self._clock.now(), self._seal)
        _SAVE.run(conn, {})
        try:
            result = job.work(unit)
        except sa.exc.OperationalError:
            raise  # the database itself is in trouble: nobody in the group may be told "done"
        except Exception as error:
            failure = error
            _UNDO.run(conn, {})
        _RELEASE.run(conn, {})
        return job, result, failure, unit.recorded


def _closed() -> LedgerError:
    return LedgerError("the ledger is closed")
