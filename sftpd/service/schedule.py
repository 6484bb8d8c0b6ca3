"""What is done regularly: APScheduler ticks, the ledger remembers, and a failed job is told of."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from sftpd.errors import SftpdError
from sftpd.ledger import leases, tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit

_LEASE = timedelta(hours=1)
"""For how long a job is kept from running elsewhere when its machine is gone."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do: each `interval`, at the times of a cron expression, or daily at a time of day."""

    name: str
    work: Callable[[], object]
    when: timedelta | str | time
    zone: ZoneInfo


class Schedule:
    """Runs jobs on a few threads; a job that is still running, here or elsewhere, is not started again."""

    def __init__(self, jobs: list[Job], ledger: Ledger, owner: str) -> None:
        """`owner` names this machine's instance in leases, the same after each restart."""
        self._ledger = ledger
        self._owner = owner
        self._scheduler = BackgroundScheduler(timezone="UTC")
        for job in jobs:
            self._scheduler.add_job(
                self._run,
                _trigger(job),
                [job],
                id=job.name,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self) -> None:
        """Let the jobs that run finish, and start none."""
        if self._scheduler.running:
            self._scheduler.shutdown()

    def _run(self, job: Job) -> None:
        lease = f"job {job.name}"
        if not self._ledger.write(lambda unit: leases.acquire(unit, lease, self._owner, _LEASE)):
            _log.info("job_runs_elsewhere", job=job.name)
            return
        try:
            self._work(job)
        finally:
            self._ledger.defer(lambda unit: leases.release(unit, lease, self._owner))

    def _work(self, job: Job) -> None:
        try:
            job.work()
        except SftpdError as error:
            _log.warning("job_failed", job=job.name, error=str(error))
            return
        except Exception:
            _log.exception("job_failed", job=job.name)
            return
        self._ledger.defer(lambda unit: _mark(unit, job.name))


def last_runs(conn: sa.Connection) -> dict[str, str]:
    """When each job last ran to its end, in ISO 8601."""
    tick = tables.tick.c
    return {name: last.isoformat() for name, last in conn.execute(sa.select(tick.job, tick.last))}


def _mark(unit: Unit, job: str) -> None:
    tick = tables.tick
    if not unit.conn.execute(tick.update().where(tick.c.job == job).values(last=unit.now)).rowcount:
        unit.conn.execute(tick.insert().values(job=job, last=unit.now))


def _trigger(job: Job) -> CronTrigger | IntervalTrigger:
    match job.when:
        case timedelta():
            return IntervalTrigger(seconds=job.when.total_seconds(), timezone=job.zone)
        case time():
            return CronTrigger(hour=job.when.hour, minute=job.when.minute, timezone=job.zone)
        case str():
            return CronTrigger.from_crontab(job.when, timezone=job.zone)
