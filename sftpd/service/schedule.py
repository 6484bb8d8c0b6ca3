"""What is done regularly: APScheduler ticks, the ledger remembers, and a failed job is told of."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from sftpd.civil import Cron, instant
from sftpd.clock import Clock, Steps
from sftpd.errors import (
    NotFoundError,
    NotOpenError,
    RefusedError,
    RemoteAwayError,
    RemoteError,
    SftpdError,
)
from sftpd.ledger import leases, tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.service.lookout import Lookout

_LEASE = timedelta(hours=1)
"""For how long a job is kept from running elsewhere when its machine is gone."""

_ATTEND = 5.0
"""Seconds after which it is noticed that the clock was set."""

_THREADS = {"long": 10, "brief": 2}
"""Jobs that are done in no time have threads of their own: no pull keeps a deadline from being told."""

_log = structlog.get_logger()

When = timedelta | Cron | time | Callable[[datetime], datetime]
"""Each interval, at the times of a cron line, daily, or what tells the next time after an instant."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do regularly; `work` may return how soon it wants to be run again before its time."""

    name: str
    work: Callable[[], timedelta | None]
    when: When
    zone: ZoneInfo
    brief: bool = False
    """Whether it is done in no time."""

    def next(self, after: datetime) -> datetime:
        """Its next time after an instant."""
        match self.when:
            case timedelta():
                return after + self.when
            case Cron():
                return self.when.next(after, self.zone)
            case time():
                day = after.astimezone(self.zone).date() - timedelta(days=1)
                while (moment := instant(day, self.when, self.zone)) <= after:
                    day += timedelta(days=1)
                return moment
            case _:
                return self.when(after)

    def first(self, last: datetime | None, now: datetime) -> datetime:
        """When to run it after a start: at once, and once, if a time was missed since it last ran.

        What has an interval and never ran is due at once; what has times of its own waits for the next.
        """
        if last is None:
            return now if isinstance(self.when, timedelta) else self.next(now)
        return max(self.next(min(last, now)), now)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What keeps a job from being done, and how often and since when something has."""

    why: str
    times: int
    since: datetime


class Schedule:
    """Runs jobs on a few threads; a job that is still running, here or elsewhere, is not started again."""

    def __init__(self, jobs: list[Job], ledger: Ledger, owner: str, clock: Clock) -> None:
        """`owner` names this machine's instance in leases, the same after each restart."""
        self._ledger = ledger
        self._owner = owner
        self._clock = clock
        self._jobs = {job.name: job for job in jobs}
        self._turns = {job.name: threading.Lock() for job in jobs}
        self._kept: dict[str, _Kept] = {}
        """The jobs that wait for their links or remotes, as it was told."""
        executors = {name: ThreadPoolExecutor(threads) for name, threads in _THREADS.items()}
        self._scheduler = BackgroundScheduler(timezone="UTC", executors=executors)
        self._steps = Steps(clock)
        self._lookout = Lookout(self._attend, _ATTEND)
        self._adding = threading.Lock()
        self._takes_more = False

    def start(self) -> None:
        """Begin; what was missed while nobody ran it is run once."""
        self._steps.look()
        with self._ledger.read() as conn:
            last = _last(conn)
        now = self._clock.now()
        for job in self._jobs.values():
            self._add(job, _Times(job, job.first(last.get(job.name), now)), job.name)
        self._takes_more = True
        self._scheduler.start()
        self._lookout.start()

    def stop(self) -> None:
        """Let the jobs that run finish, and start none."""
        # APScheduler waits for its jobs under the lock that adding takes; a job may wait for who adds one.
        with self._adding:
            self._takes_more = False
        if self._scheduler.running:
            self._lookout.stop()
            # A pass under way would not find the jobs that it forgets any more: it ends first.
            self._scheduler.pause()
            self._scheduler.get_jobs()
            self._scheduler.shutdown()

    def soon(self, name: str, wait: timedelta = timedelta()) -> None:
        """Run a job again before its time, after `wait`."""
        with self._adding:
            if self._takes_more:
                self._add(self._jobs[name], _Once(self._clock.now() + wait), None)

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Do a job's work by hand, while the schedule does not.

        Raises NotFoundError where there is no such job, RefusedError while it runs, here or elsewhere.
        """
        turn = self._turns.get(name)
        if turn is None:
            raise NotFoundError(f"no job {name!r}")
        # Who is done in no time is waited for: what it is run again for may have come after it looked.
        if not turn.acquire(blocking=self._jobs[name].brief):
            raise _running(name)
        lease = f"job {name}"
        try:
            if not self._ledger.write(lambda unit: leases.acquire(unit, lease, self._owner, _LEASE)):
                raise _running(name)
            try:
                yield
            finally:
                self._ledger.defer(lambda unit: leases.release(unit, lease, self._owner))
        finally:
            turn.release()

    def _attend(self) -> None:
        """Have no job wait for a clock that was set.

        APScheduler sleeps for as long as it takes by the clock as it was, and then runs what civil time has
        reached. What has an interval, or was asked for soon, comes when it would have come. What has times of
        its own comes at the next one that the clock now shows, be it again, and at once if one has passed by.
        """
        if not (step := self._steps.look()):
            return
        with self._adding:
            if not self._takes_more:
                return
            now = self._clock.now()
            for entry in self._scheduler.get_jobs():
                job, comes = self._jobs.get(entry.id), entry.next_run_time
                if job is None or isinstance(job.when, timedelta):
                    comes += step
                else:
                    comes = min(comes, job.next(now))
                with suppress(JobLookupError):  # it has run meanwhile
                    entry.modify(next_run_time=comes)
            self._scheduler.wakeup()

    def _add(self, job: Job, trigger: BaseTrigger, name: str | None) -> None:
        self._scheduler.add_job(
            self._run,
            trigger,
            [job],
            id=name,
            executor="brief" if job.brief else "long",
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )

    def _run(self, job: Job) -> None:
        try:
            with self.turn(job.name):
                again = self._work(job)
        except RefusedError:
            _log.debug("job_runs_already", job=job.name)
            return
        if again is not None:
            self.soon(job.name, again)

    def _work(self, job: Job) -> timedelta | None:
        began = self._clock.now()
        try:
            again = job.work()
        except (NotOpenError, RemoteError) as error:
            self._tell_kept(job, error, began)
            return None
        except SftpdError as error:
            _log.warning("job_failed", job=job.name, error=str(error))
            return None
        except Exception:
            _log.exception("job_failed", job=job.name)
            return None
        if (kept := self._kept.pop(job.name, None)) is not None:
            _log.info("job_goes_on", job=job.name, failed=kept.times, since=kept.since.isoformat())
        self._ledger.defer(lambda unit: _mark(unit, job.name, began))
        return again

    def _tell_kept(self, job: Job, error: NotOpenError | RemoteError, now: datetime) -> None:
        """Tell once why a job waits for its link or remote, until it is done or waits for another reason."""
        # What is said of a remote that is left alone differs with whether it was just tried.
        why = error.code if isinstance(error, RemoteAwayError) else str(error)
        before = self._kept.get(job.name, _Kept("", 0, now))
        self._kept[job.name] = _Kept(why, before.times + 1, before.since)
        if before.why == why:
            return
        if isinstance(error, NotOpenError):
            _log.info("job_held", job=job.name, reason=error.reason, text=str(error))
        else:
            _log.warning("job_failed", job=job.name, error=str(error))


class _Times(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """APScheduler asks; the job knows."""

    def __init__(self, job: Job, first: datetime) -> None:
        self._job = job
        self._first = first

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """As BaseTrigger says: one time stands for all that were missed."""
        if previous is None:
            return self._first
        if isinstance(self._job.when, timedelta):
            return previous + self._job.when * max((now - previous) // self._job.when + 1, 1)
        return self._job.next(max(previous, now))


class _Once(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    def __init__(self, at: datetime) -> None:
        self._at = at

    def get_next_fire_time(self, previous: datetime | None, _now: datetime) -> datetime | None:
        """As BaseTrigger says."""
        return self._at if previous is None else None


def last_runs(conn: sa.Connection) -> dict[str, str]:
    """When each job last began a run that came to its end, in ISO 8601."""
    return {name: last.isoformat() for name, last in _last(conn).items()}


def _last(conn: sa.Connection) -> Mapping[str, datetime]:
    tick = tables.tick.c
    return {row.job: row.last for row in conn.execute(sa.select(tick.job, tick.last))}


def _running(name: str) -> RefusedError:
    return RefusedError(f"{name} runs already", reason="RUNS_ALREADY", remedy="wait until it is done")


def _mark(unit: Unit, job: str, began: datetime) -> None:
    tick = tables.tick
    if not unit.conn.execute(tick.update().where(tick.c.job == job).values(last=began)).rowcount:
        unit.conn.execute(tick.insert().values(job=job, last=began))
