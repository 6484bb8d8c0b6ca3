from collections import deque
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest
import sqlalchemy as sa
from exchange_scene import open_ledger

from sftpd.clock import SystemClock
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.statement import Statement, inserting

ADD = inserting(tables.tick)
LAST = Statement(sa.select(tables.tick.c.job).where(tables.tick.c.last == sa.bindparam("at")))
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path):
    ledger = open_ledger(tmp_path / "ledger.db", SystemClock())
    yield ledger
    ledger.close()


def add(*jobs):
    return lambda unit: ADD.run(unit.conn, *({"job": job, "last": NOON} for job in jobs))


def test_parameters_are_converted_as_their_columns_say(ledger):
    ledger.write(add("a", "b"))
    with ledger.read() as conn:
        assert set(conn.scalars(sa.select(tables.tick.c.last))) == {NOON}
    assert sorted(ledger.look_up(LAST, at=NOON)) == [("a",), ("b",)]


def test_errors_are_sqlalchemys(ledger):
    ledger.write(add("a"))
    with pytest.raises(sa.exc.IntegrityError):
        ledger.write(add("b", "a"))
    assert ledger.look_up(LAST, at=NOON) == [("a",)]


def test_what_is_deferred_is_done_before_what_is_written_after_it(ledger):
    Ledger.defer(ledger, add("a"))
    assert ledger.write(lambda unit: LAST.fetch(unit.conn, at=NOON)) == [("a",)]


def test_a_kept_connection_sees_each_commit_and_keeps_nothing_from_being_compacted(ledger):
    for known, job in enumerate("abc"):
        assert len(ledger.look_up(LAST, at=NOON)) == known
        ledger.write(add(job))
    ledger.compact()


def test_look_ups_share_a_connection_and_outlive_one_that_failed(ledger):
    ledger.look_up(LAST, at=NOON)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(sa.exc.DBAPIError):
        ledger.look_up(Statement(sa.text("SELECT nothing FROM nowhere")))
    for _ in range(3):
        ledger.look_up(LAST, at=NOON)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_stream_gives_every_row_and_raises_as_other_queries_do(ledger):
    every = Statement(sa.select(tables.tick.c.job).order_by(tables.tick.c.job))
    rows = [{"job": f"{number:04}", "last": NOON} for number in range(1000)]
    ledger.write(lambda unit: ADD.run(unit.conn, *rows))
    with ledger.read() as conn:
        found = chain.from_iterable(every.batches(conn))
        assert [job for (job,) in found] == [f"{number:04}" for number in range(1000)]
        with pytest.raises(sa.exc.DBAPIError):
            list(Statement(sa.text("SELECT nothing FROM nowhere")).batches(conn))


def test_kept_connections_may_be_forgotten_by_several_threads_at_once(ledger, monkeypatch):
    class Contended(deque):
        def __bool__(self):
            """Another thread takes the last one, just after it was seen here."""
            seen = len(self) > 0
            self.clear()
            return seen

    ledger.look_up(LAST, at=NOON)
    kept = ledger._readers
    monkeypatch.setattr(ledger, "_readers", Contended(kept))
    ledger._forget_readers()
    while kept:
        kept.pop().close()
