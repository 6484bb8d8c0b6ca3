"""What a ledger in PostgreSQL has beside what any ledger has: other machines, and a server that goes away."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import ledgers
import pytest
import sqlalchemy as sa

from sftpd.audit.event import seal
from sftpd.clock import SystemClock
from sftpd.errors import LedgerError
from sftpd.ledger import database, tables
from sftpd.ledger.leases import acquire
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.statement import Statement

NOW = datetime(2026, 7, 1, tzinfo=UTC)
JOBS = Statement(sa.select(tables.tick.c.job).order_by(tables.tick.c.job))
MACHINES = 4


@pytest.fixture
def machines(tmp_path, postgresql):
    """Ledgers in one database."""
    with ledgers.kept_in(postgresql):
        url = ledgers.url(tmp_path / "ledger.db")
        made = [
            Ledger.open(url, clock=SystemClock(), seal=partial(seal, source="x")) for _ in range(MACHINES)
        ]
        yield made
        for each in made:
            each.close()


def note(job, unit):
    unit.conn.execute(tables.tick.insert().values(job=job, last=NOW))
    return job


def test_of_all_machines_that_ask_for_a_lease_at_once_one_gets_it(machines):
    together = threading.Barrier(MACHINES)

    def ask(number):
        together.wait()
        work = partial(acquire, name="one", owner=str(number), period=timedelta(minutes=1))
        return machines[number].write(work)

    with ThreadPoolExecutor(MACHINES) as asking:
        for _ in range(20):
            assert sorted(asking.map(ask, range(MACHINES))) == [False] * (MACHINES - 1) + [True]
            machines[0].write(lambda unit: unit.conn.execute(tables.lease.delete()))


def test_what_a_unit_has_read_holds_until_it_is_committed(machines):
    """Each counts up what it has read; without a turn of its own it would lose another's step."""
    machines[0].write(partial(note, "0"))

    def step(unit):
        (known,) = unit.conn.scalars(sa.select(tables.tick.c.job)).all()
        unit.conn.execute(tables.tick.update().values(job=str(int(known) + 1)))

    with ThreadPoolExecutor(MACHINES) as working:
        for done in [working.submit(ledger.write, step) for _ in range(25) for ledger in machines]:
            done.result()
    assert machines[0].look_up(JOBS) == [(str(25 * MACHINES),)]


def test_a_server_that_is_started_anew_costs_nothing_that_comes_after(machines, postgresql):
    ledger = machines[0]
    with ledger.read(), ledger.read():
        ledger.write(partial(note, "a"))
    assert ledger.look_up(JOBS) == [("a",)]
    postgresql.restart()
    assert ledger.look_up(JOBS) == [("a",)]
    with ledger.read() as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(tables.tick)) == 1
    assert ledger.write(partial(note, "b")) == "b"
    assert ledger.look_up(JOBS) == [("a",), ("b",)]


def test_one_daemon_at_a_time_works_on_a_ledger(tmp_path, postgresql, monkeypatch):
    """Each has audit logs of its own, and knows in memory alone how links stand."""
    monkeypatch.setattr(database, "_CLAIM_PATIENCE", 0.0)
    with ledgers.kept_in(postgresql):
        url = ledgers.url(tmp_path / "ledger.db")

        def opened():
            return Ledger.open(url, clock=SystemClock(), seal=partial(seal, source="x"), alone=True)

        first = opened()
        with pytest.raises(LedgerError, match="another sftpd has this ledger open"):
            opened()
        first.write(partial(note, "a"))
        postgresql.restart()
        first.write(partial(note, "b"))
        postgresql.restart()
        second = opened()
        with pytest.raises(LedgerError, match="another sftpd has this ledger open"):
            first.write(partial(note, "c"))
        assert second.look_up(JOBS) == [("a",), ("b",)]
        second.close()
        first.write(partial(note, "d"))
        first.close()
