"""Jobs, their times over restarts, and who has a job's turn; the ledger is real."""

import threading
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from exchange_scene import open_ledger
from hypothesis import given
from hypothesis import strategies as st
from waiting import holds, until

from sftpd.civil import Cron
from sftpd.clock import SystemClock
from sftpd.errors import NotFoundError, RefusedError, RemoteError
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.service.schedule import Job, Schedule, last_runs

ZONE = ZoneInfo("Europe/Amsterdam")
NIGHT = datetime(2026, 10, 25, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def ledger(tmp_path):
    ledger = open_ledger(tmp_path / "ledger.db", SystemClock())
    yield ledger
    ledger.close()


class Counted:
    """A job that counts its runs."""

    def __init__(self, when, **options):
        self.runs = 0
        self.answer = None
        self.job = Job("job", self._run, when, ZONE, **options)

    def _run(self):
        self.runs += 1
        return self.answer


def ran_at(ledger, moment):
    ledger.write(lambda unit: unit.conn.execute(tables.tick.insert().values(job="job", last=moment)))


def running(ledger, counted, owner="here"):
    schedule = Schedule([counted.job], ledger, owner, SystemClock())
    schedule.start()
    return schedule


def job(when):
    return Job("job", lambda: None, when, ZONE)


moments = st.integers(-3 * 86400, 3 * 86400).map(lambda seconds: NIGHT + timedelta(seconds=seconds))
whens = st.sampled_from(
    [HOUR, timedelta(days=2), Cron.parse("30 2 * * *"), Cron.parse("*/5 * * * *"), time(2, 30)]
)


@given(whens, moments, moments)
def test_after_a_start_a_missed_time_is_made_up_for_at_once_and_no_other_is(when, last, now):
    last, now = min(last, now), max(last, now)
    due = job(when).next(last)
    assert job(when).first(last, now) == max(due, now)


@given(whens, moments)
def test_what_never_ran_waits_for_its_time_but_an_interval_begins_at_once(when, now):
    first = job(when).first(None, now)
    assert first == now if isinstance(when, timedelta) else first > now


def test_a_clock_that_was_set_back_does_not_keep_a_job_from_running():
    assert job(HOUR).first(NIGHT + timedelta(days=365), NIGHT) == NIGHT + HOUR


@pytest.mark.parametrize("day", [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)])
def test_a_daily_time_comes_once_a_day_also_when_clocks_change(day):
    daily, moment, days = job(time(2, 30)), day, []
    for _ in range(4):
        moment = daily.next(moment)
        days.append(moment.astimezone(ZONE).day)
    assert days == [day.day + count for count in range(4)]


def test_a_time_that_was_missed_is_made_up_for_once(ledger):
    ran_at(ledger, datetime.now(UTC) - timedelta(days=30))
    counted = Counted(time((datetime.now(ZONE).hour + 12) % 24))
    schedule = running(ledger, counted)
    until(lambda: counted.runs)
    schedule.stop()
    again = running(ledger, counted)
    again.stop()
    assert counted.runs == 1


def test_a_run_that_failed_is_not_taken_for_one(ledger):
    tried = threading.Event()

    def fail():
        tried.set()
        raise RemoteError("no")

    schedule = Schedule([Job("job", fail, HOUR, ZONE)], ledger, "here", SystemClock())
    schedule.start()
    assert tried.wait(20)
    schedule.stop()
    ledger.settle()
    with ledger.read() as conn:
        assert last_runs(conn) == {}


def test_work_may_ask_to_be_run_again_soon(ledger):
    counted = Counted(HOUR)
    counted.answer = timedelta(milliseconds=1)
    schedule = running(ledger, counted)
    until(lambda: counted.runs >= 3)
    schedule.stop()


def test_who_has_the_turn_has_it_alone(ledger):
    counted = Counted(HOUR)
    schedule = Schedule([counted.job], ledger, "here", SystemClock())
    elsewhere = Schedule([counted.job], ledger, "there", SystemClock())
    with schedule.turn("job"):
        for other in (schedule, elsewhere):
            with pytest.raises(RefusedError, match="runs already"), other.turn("job"):
                pass
    ledger.settle()
    with elsewhere.turn("job"):
        pass
    with pytest.raises(NotFoundError), schedule.turn("other"):
        pass


@pytest.mark.parametrize("brief", [True, False])
def test_the_schedule_waits_for_no_turn_but_for_that_of_a_brief_job(ledger, brief):
    counted = Counted(HOUR, brief=brief)
    schedule = Schedule([counted.job], ledger, "here", SystemClock())
    asked = schedule._turns["job"] = _AskedLock()
    with schedule.turn("job"):
        schedule.start()
        until(lambda: asked.times == 2)
    if brief:
        until(lambda: counted.runs)
    schedule.stop()
    assert counted.runs == brief


def test_to_stop_waits_for_no_commit_that_asks_for_a_job_meanwhile(ledger):
    """Whoever commits has the ledger's turn, and asks the scheduler; a job that runs waits for that turn."""
    adding = threading.Event()

    def work():
        assert adding.wait(20)
        ledger.write(lambda unit: None)

    schedule = Schedule([Job("job", work, HOUR, ZONE)], ledger, "here", SystemClock())
    schedule.start()
    scheduler = schedule._scheduler
    add_job, stopping = scheduler.add_job, threading.Thread(target=schedule.stop, daemon=True)

    def add_while_it_stops(*args, **options):
        adding.set()
        stopping.start()
        holds(lambda: not scheduler.running and _is_taken(scheduler._jobstores_lock), patience=1)
        add_job(*args, **options)

    scheduler.add_job = add_while_it_stops
    ledger.on_event(lambda event: schedule.soon("job"))
    committing = threading.Thread(
        target=ledger.write, args=(lambda unit: unit.record(Event("link.moved")),), daemon=True
    )
    committing.start()
    until(lambda: not committing.is_alive(), patience=20)
    stopping.join()


def _is_taken(lock):
    """Whether another thread has a lock."""
    free = lock.acquire(blocking=False)
    if free:
        lock.release()
    return not free


class _AskedLock:
    """A lock that counts how often it was asked for."""

    def __init__(self):
        self._lock = threading.Lock()
        self.times = 0

    def acquire(self, blocking=True):
        self.times += 1
        return self._lock.acquire(blocking)

    def release(self):
        self._lock.release()
