"""Jobs, their times over restarts, and who has a job's turn; the ledger is real."""

import json
import threading
from datetime import UTC, datetime, time, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from exchange_scene import open_ledger
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from waiting import holds, until

from sftpd.civil import Cron
from sftpd.clock import SystemClock
from sftpd.errors import NotFoundError, NotOpenError, RefusedError, RemoteAwayError, RemoteError
from sftpd.exchange.expectation import next_look
from sftpd.exchange.expecting import Expecting
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.link.model import Expectation
from sftpd.service.schedule import Job, Schedule, _Once, last_runs

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


def test_to_stop_lets_the_scheduler_forget_what_it_ran_once(ledger, monkeypatch):
    schedule = Schedule([Job("job", lambda: None, HOUR, ZONE)], ledger, "here", SystemClock())
    passing, ended, next_time = threading.Event(), [], _Once.get_next_fire_time

    def while_it_stops(trigger, previous, now):
        if previous is not None:
            passing.set()
            holds(lambda: not schedule._scheduler.running, patience=1)
        return next_time(trigger, previous, now)

    monkeypatch.setattr(_Once, "get_next_fire_time", while_it_stops)
    monkeypatch.setattr(threading, "excepthook", ended.append)
    schedule.start()
    schedule.soon("job")
    assert passing.wait(20)
    schedule.stop()
    assert not ended


class SetClock(SystemClock):
    """A clock that is set by hand."""

    def __init__(self, moment):
        self.moment, self.passed = moment, 0.0

    def now(self):
        return self.moment

    def monotonic(self):
        return self.passed

    def go_on(self, time):
        self.moment += time
        self.passed += time.total_seconds()


@pytest.fixture
def clock(monkeypatch):
    made = SetClock(NIGHT)

    class Now(datetime):
        @classmethod
        def now(cls, zone):
            return made.moment.astimezone(zone)

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Now)
    return made


class Noted:
    """A job that notes when it ran."""

    def __init__(self, name, when, clock, work=lambda: None):
        self.ran = []
        self.job = Job(name, partial(self._run, clock, work), when, ZONE)

    def _run(self, clock, work):
        self.ran.append(clock.now())
        work()

    def shown(self):
        """When it ran, as clocks showed it."""
        return [moment.astimezone(ZONE).strftime("%d %H:%M%z") for moment in self.ran]


class Course:
    """A schedule that lives through time as the test lets it pass."""

    def __init__(self, noted, ledger, clock):
        self._noted, self._ledger, self._clock = noted, ledger, clock
        self._begin()

    def _begin(self):
        jobs = [each.job for each in self._noted]
        self._schedule = Schedule(jobs, self._ledger, "here", self._clock)
        self._schedule.start()
        self._settle()

    def restart(self):
        self.stop()
        self._begin()

    def stop(self):
        self._schedule.stop()
        self._ledger.settle()

    def go_on(self, time):
        self._clock.go_on(time)
        self._schedule._attend()
        self._schedule._scheduler.wakeup()
        self._settle()

    def set(self, step):
        self._clock.moment += step
        self._schedule._attend()
        self._settle()

    def _settle(self):
        scheduler = self._schedule._scheduler
        until(lambda: all(job.next_run_time > self._clock.moment for job in scheduler.get_jobs()))
        until(lambda: not any(any(each._instances.values()) for each in scheduler._executors.values()))
        self._ledger.settle()


def expected_by(ledger, at):
    """An expectation of a file by that time of day, which never comes, and the job that looks after it."""
    link = tables.link.insert().values(name="demo", state="active", since=NIGHT)
    ledger.write(lambda unit: unit.conn.execute(link))
    expected = Expectation("orders", "demo", "upload", "*", at, ZONE, frozenset(range(7)))
    desk = Expecting([expected], ledger)
    desk.start()
    return partial(next_look, expected), partial(desk.look, expected)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(
    ("day", "shown"),
    [
        (datetime(2026, 3, 29, tzinfo=UTC), ["28 02:30+0100", "29 03:00+0200", "30 02:30+0200"]),
        (datetime(2026, 10, 25, tzinfo=UTC), ["24 02:30+0200", "25 02:30+0200", "26 02:30+0100"]),
    ],
)
def test_in_the_nights_in_which_clocks_change_each_job_runs_as_often_as_in_others(
    tmp_path, clock, day, shown, restarts
):
    clock.moment = day - timedelta(hours=36)
    ledger = open_ledger(tmp_path / "night.db", clock)
    when, look = expected_by(ledger, time(2, 30))
    daily = Noted("daily", time(2, 30), clock)
    cron = Noted("cron", Cron.parse("30 2 * * *"), clock)
    deadline = Noted("deadline", when, clock, look)
    hourly = Noted("hourly", HOUR, clock)
    quarters = Noted("quarters", Cron.parse("*/15 * * * *"), clock)
    course = Course([daily, cron, deadline, hourly, quarters], ledger, clock)
    for _ in range(6 * 72):
        course.go_on(timedelta(minutes=10))
        if restarts and abs(clock.moment - day - HOUR) <= 2 * HOUR:
            course.restart()
    course.stop()
    assert daily.shown() == cron.shown() == deadline.shown() == shown
    assert hourly.ran == [day + timedelta(hours=n) for n in range(-36, 37)]
    assert all(later - earlier <= timedelta(minutes=20) for earlier, later in pairwise(quarters.ran))
    assert len(quarters.ran) == len(set(quarters.ran)) == 4 * 72
    with ledger.read() as conn:
        missed = [
            json.loads(leaf)["data"]["deadline"] for (leaf,) in conn.execute(sa.select(tables.outbox.c.leaf))
        ]
    assert missed == [moment.isoformat() for moment in daily.ran]
    ledger.close()


@pytest.mark.parametrize("step", [HOUR, timedelta(days=1), timedelta(days=30)])
def test_a_clock_that_is_set_back_keeps_no_job_that_runs_waiting(ledger, clock, step):
    every, cron = Noted("every", HOUR, clock), Noted("cron", Cron.parse("*/10 * * * *"), clock)
    asked = Noted("asked", time(12), clock)
    course = Course([every, cron, asked], ledger, clock)
    course._schedule.soon("asked", timedelta(minutes=30))
    course.go_on(timedelta(minutes=15))
    course.set(-step)
    assert (len(every.ran), len(cron.ran), len(asked.ran)) == (1, 1, 0)
    course.go_on(timedelta(minutes=10))
    assert (len(every.ran), len(cron.ran), len(asked.ran)) == (1, 2, 0)
    course.go_on(timedelta(minutes=10))
    assert (len(every.ran), len(cron.ran), len(asked.ran)) == (1, 3, 1)
    course.go_on(timedelta(minutes=25))
    assert len(every.ran) == 2
    course.stop()


def test_a_clock_that_is_set_ahead_makes_up_for_a_time_that_it_leaps_over(ledger, clock):
    """APScheduler would go on to sleep until the time as it was reckoned before."""
    every, daily = Noted("every", HOUR, clock), Noted("daily", time(12), clock)
    course = Course([every, daily], ledger, clock)
    course.go_on(timedelta(minutes=15))
    course.set(timedelta(hours=18))
    assert (len(every.ran), len(daily.ran)) == (1, 1)
    course.go_on(timedelta(minutes=45))
    assert (len(every.ran), len(daily.ran)) == (2, 1)
    course.stop()


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


def test_what_a_job_waits_for_is_told_once_until_it_is_done_again(ledger):
    suspended = NotOpenError("the link is suspended", reason="LINK_NOT_ACTIVE", where="link demo")
    closing = NotOpenError("the link is closing", reason="LINK_NOT_ACTIVE", where="link demo")
    down, alone = RemoteAwayError("no route", tried=True), RemoteAwayError("it is not tried now: no route")
    full = RemoteError("no room")
    turns = [suspended, suspended, closing, closing, None, closing, None]
    turns += [down, alone, down, full, full, None]
    done = threading.Event()

    def work():
        if not turns:
            done.set()
            return
        if (turn := turns.pop(0)) is not None:
            raise turn
        return

    job = Job("job", work, timedelta(milliseconds=10), ZONE)
    schedule = Schedule([job], ledger, "here", SystemClock())
    with capture_logs() as logs:
        schedule.start()
        until(done.is_set)
        schedule.stop()
    shown = {"job_held": "text", "job_failed": "error", "job_goes_on": "failed"}
    assert [(log["event"], log[shown[log["event"]]]) for log in logs] == [
        ("job_held", str(suspended)),
        ("job_held", str(closing)),
        ("job_goes_on", 4),
        ("job_held", str(closing)),
        ("job_goes_on", 1),
        ("job_failed", "no route"),
        ("job_failed", "no room"),
        ("job_goes_on", 5),
    ]
