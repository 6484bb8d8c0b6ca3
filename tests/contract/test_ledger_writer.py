import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import wait
from datetime import UTC, datetime

import ledgers
import pytest
import sqlalchemy as sa
from exchange_scene import open_ledger

from sftpd.clock import SystemClock
from sftpd.errors import AuditError, LedgerError
from sftpd.ledger import outbox, tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.statement import Statement


@pytest.fixture
def ledger(tmp_path):
    ledger = open_ledger(tmp_path / "ledger.db", SystemClock())
    yield ledger
    ledger.close()


def note(job):
    """A unit of work: one row and its event."""

    def work(unit):
        unit.conn.execute(tables.tick.insert().values(job=job, last=unit.now))
        unit.record(Event("test.noted", public={"job": job}))
        return job

    return work


def jobs(ledger):
    with ledger.read() as conn:
        return set(conn.scalars(sa.select(tables.tick.c.job)))


def events(ledger):
    with ledger.read() as conn:
        return len(outbox.pending(conn, 10_000))


class Halt:
    """Keeps the writer busy, so that what is submitted meanwhile makes one group."""

    def __init__(self, ledger):
        self._go, self._taken = threading.Event(), threading.Event()
        self._busy = ledger.submit(self._wait)
        self._taken.wait()

    def _wait(self, unit):
        self._taken.set()
        self._go.wait()

    def release(self):
        self._go.set()
        self._busy.result()


def test_units_that_wait_are_committed_together(ledger):
    commits = []
    ledger.on_commit(lambda: commits.append(None))
    halt = Halt(ledger)
    waiting = [ledger.submit(note(str(number))) for number in range(100)]
    halt.release()
    assert [done.result() for done in waiting] == [str(number) for number in range(100)]
    assert len(commits) == 2
    assert len(jobs(ledger)) == events(ledger) == 100


def test_a_unit_that_fails_fails_alone_and_leaves_nothing(ledger):
    def fail(unit):
        note("bad")(unit)
        raise KeyError("bad")

    halt = Halt(ledger)
    before, bad, after = (ledger.submit(work) for work in (note("before"), fail, note("after")))
    halt.release()
    assert (before.result(), after.result()) == ("before", "after")
    with pytest.raises(KeyError):
        bad.result()
    assert jobs(ledger) == {"before", "after"}
    assert events(ledger) == 2


def test_a_unit_that_breaks_a_constraint_fails_alone(ledger):
    halt = Halt(ledger)
    done = [ledger.submit(note(job)) for job in ("a", "a", "b")]
    halt.release()
    assert isinstance(done[1].exception(), sa.exc.IntegrityError)
    assert jobs(ledger) == {"a", "b"}


def test_what_cannot_be_recorded_is_not_done(ledger):
    def work(unit):
        note("a")(unit)
        unit.record(Event("not a type"))

    with pytest.raises(AuditError):
        ledger.write(work)
    assert jobs(ledger) == set()
    assert events(ledger) == 0


def trouble(unit):
    """What a database cannot do, or one that goes away in the middle."""
    ends = "select pg_terminate_backend(pg_backend_pid())"
    unit.conn.execute(sa.text("select * from no_such_table" if ledgers.is_sqlite() else ends))


def test_a_database_in_trouble_tells_everybody_in_the_group(ledger):
    halt = Halt(ledger)
    waiting = [
        ledger.submit(note("a")),
        ledger.submit(trouble),
        ledger.submit(note("b")),
    ]
    halt.release()
    wait(waiting)
    assert all(isinstance(done.exception(), LedgerError) for done in waiting)
    assert jobs(ledger) == set()
    assert ledger.write(note("c")) == "c"


TOUCH = Statement(
    tables.tick.update().where(tables.tick.c.job == sa.bindparam("name")).values(last=sa.bindparam("to"))
)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def last(ledger, job):
    with ledger.read() as conn:
        return conn.scalar(sa.select(tables.tick.c.last).where(tables.tick.c.job == job))


def test_what_follows_goes_with_the_next_commit(ledger):
    ledger.write(note("a"))
    halt = Halt(ledger)
    Ledger.follow(ledger, TOUCH, {"name": "a", "to": LATER})
    done = ledger.submit(lambda unit: unit.conn.scalar(sa.select(tables.tick.c.last)))
    halt.release()
    assert done.result() == last(ledger, "a") == LATER


def test_what_follows_is_committed_soon_when_nothing_else_is(ledger):
    ledger.write(note("a"))
    Ledger.follow(ledger, TOUCH, {"name": "a", "to": LATER})
    deadline = time.monotonic() + 10
    while last(ledger, "a") != LATER:
        assert time.monotonic() < deadline


def test_what_follows_survives_a_unit_that_fails(ledger):
    def fail(unit):
        note("bad")(unit)
        raise KeyError("bad")

    ledger.write(note("a"))
    halt = Halt(ledger)
    Ledger.follow(ledger, TOUCH, {"name": "a", "to": LATER})
    halt.release()
    with pytest.raises(KeyError):
        ledger.write(fail)
    ledger.settle()
    assert jobs(ledger) == {"a"}
    assert last(ledger, "a") == LATER


def test_a_unit_alone_that_fails_leaves_nothing(ledger):
    def fail(unit):
        note("bad")(unit)
        raise KeyError("bad")

    for _ in range(3):
        with pytest.raises(KeyError):
            ledger.write(fail)
    assert jobs(ledger) == set()
    assert events(ledger) == 0
    assert ledger.write(note("good")) == "good"


def test_a_unit_alone_meets_a_database_in_trouble(ledger):
    with pytest.raises(LedgerError, match="could not commit"):
        ledger.write(trouble)
    assert ledger.write(note("good")) == "good"


def test_a_cancelled_wait_does_not_stop_the_writer(ledger):
    halt = Halt(ledger)
    assert not ledger.submit(note("a")).cancel()
    halt.release()
    assert ledger.write(note("b")) == "b"


def test_after_closing_nothing_is_taken_and_what_was_queued_is_there(tmp_path):
    ledger = open_ledger(tmp_path / "ledger.db", SystemClock())
    halt = Halt(ledger)
    queued = ledger.submit(note("queued"))
    threading.Timer(0.01, halt.release).start()
    ledger.close()
    assert queued.result() == "queued"
    with pytest.raises(LedgerError):
        ledger.submit(note("late"))


def test_a_commit_is_on_disk_before_it_is_told(ledger):
    settings = {"PRAGMA journal_mode": "wal", "PRAGMA synchronous": 2}
    if not ledgers.is_sqlite():
        settings = {"SHOW synchronous_commit": "on"}  # its server's own setting is another

    def shown(conn):
        return {query: conn.scalar(sa.text(query)) for query in settings}

    assert ledger.write(lambda unit: shown(unit.conn)) == settings
    with ledger.read() as conn:
        assert shown(conn) == settings


def test_a_reader_sees_one_state_while_others_write(ledger):
    ledger.write(note("a"))
    with ledger.read() as conn:
        count = sa.select(sa.func.count()).select_from(tables.tick)
        assert conn.scalar(count) == 1
        ledger.write(note("b"))
        assert conn.scalar(count) == 1
    assert jobs(ledger) == {"a", "b"}


def test_another_process_may_write_between_the_reading_and_the_writing_of_a_unit(ledger, tmp_path):
    other = open_ledger(tmp_path / "ledger.db", SystemClock())
    reading, started = threading.Event(), threading.Event()

    def read_then_write(unit):
        unit.conn.scalar(sa.select(sa.func.count()).select_from(tables.tick))
        reading.set()
        started.wait()
        note("a")(unit)

    first = ledger.submit(read_then_write)
    reading.wait()
    second = other.submit(note("b"))
    started.set()
    first.result()
    second.result()
    other.close()
    assert jobs(ledger) == {"a", "b"}


FULL_DISK = """if True:
    import resource, sys
    from functools import partial
    from concurrent.futures import wait
    from pathlib import Path
    from test_ledger_writer import Halt, jobs, events, note
    from exchange_scene import open_ledger
    from sftpd.clock import SystemClock
    from sftpd.errors import LedgerError
    path = Path(sys.argv[1])
    ledger = open_ledger(path, SystemClock())
    ledger.write(note("before"))
    size = path.with_name(path.name + "-wal").stat().st_size
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    halt = Halt(ledger)
    waiting = [ledger.submit(note(f"{n}" * 3000)) for n in range(20)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, hard))
    halt.release()
    wait(waiting)
    assert all(isinstance(done.exception(), LedgerError) for done in waiting), waiting
    assert jobs(ledger) == {"before"}
    assert events(ledger) == 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    ledger.write(note("after"))
    assert jobs(ledger) == {"before", "after"}
    ledger.close()
"""


@pytest.mark.sqlite
def test_on_a_full_disk_everybody_is_told_and_nothing_is_half_there(tmp_path):
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        pytest.skip("file sizes are limited here already")
    # A limit on file sizes stands in for the full disk: it needs no privilege and no mount.
    path = [*filter(None, sys.path)]
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / "ledger.db"],
        env={"PYTHONPATH": ":".join(path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
