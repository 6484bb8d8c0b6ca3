"""Reads the clocks, and keeps in the ledger what they showed while they were right."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from sftpd.clock import Clock
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.names import made_at
from sftpd.retention.freezes import Scope, settle
from sftpd.retention.guards import CLOCK, Reading, Reason, Times, reasons_against_time

_log = structlog.get_logger()
_EVERYWHERE = Scope()
_MARK = "clock"
_REFRESH = timedelta(hours=1)
"""How old what was last seen may get: less than counts, and no write at each look."""


class Timekeeper:
    """Says whether the time may be relied on; one for each open instance, made before it writes anything."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        with ledger.read() as conn:
            self._times = _times(conn, self._reading())
        if self._times.seen is None:
            # Of an sftpd that kept no mark: what it wrote last was right.
            self._times = replace(self._times, seen=self._times.newest)
        self._told: tuple[str, ...] | None = None

    def look(self) -> tuple[Reason, ...]:
        """Compare the clocks, enter what is found, and return every reason not to rely on the time."""
        with self._lock:
            with self._ledger.read() as conn:
                newest = _newest(conn)
            times = self._times = replace(self._times, now=self._reading(), newest=newest)
            reasons = reasons_against_time(times)
            codes = tuple(reason.code for reason in reasons)
            if codes != self._told:
                self._ledger.write(lambda unit: settle(unit, _EVERYWHERE, CLOCK, reasons))
                self._told = codes
                for reason in reasons:
                    _log.error("retention_frozen", reason=reason.code, text=reason.text, remedy=reason.remedy)
            if not reasons and _is_stale(times):
                self._adopt(times)
            return reasons

    def proven(self) -> datetime:
        """The time, or where that may not be relied on the last one that was: holds end by no wrong clock.

        It waits for nobody: units of work ask it.
        """
        times = replace(self._times, now=self._reading())
        if times.seen is None or not reasons_against_time(times):
            return times.now.wall
        return min(times.now.wall, times.seen)

    def confirm(self, also: Callable[[Unit], None]) -> None:
        """Hold the time for right, because somebody says so, and do `also` in the same transaction."""
        with self._lock:
            self._adopt(replace(self._times, now=self._reading(), right=None), also)
            self._told = None

    def _adopt(self, times: Times, also: Callable[[Unit], None] = lambda _: None) -> None:
        """Enter that the time is right; later readings are compared with the first one of the boot."""
        now, right, pardoned = times.now, times.right, times.pardoned
        first = right if right is not None and right.boot == now.boot else now
        if times.newest is not None and times.newest > now.wall:
            pardoned = times.newest
        values = {
            "boot": first.boot,
            "wall": first.wall,
            "uptime": first.uptime // timedelta(microseconds=1),
            "seen": now.wall,
            "pardoned": pardoned,
        }

        def work(unit: Unit) -> None:
            mark = tables.clock_mark
            if not unit.conn.execute(mark.update().where(mark.c.name == _MARK).values(values)).rowcount:
                unit.conn.execute(mark.insert().values(name=_MARK, **values))
            also(unit)

        self._ledger.write(work)
        self._times = Times(now, first, now.wall, times.newest, pardoned)

    def _reading(self) -> Reading:
        up = self._clock.uptime()
        return Reading(up.boot, self._clock.now(), up.lasted)


def _is_stale(times: Times) -> bool:
    """Whether what the ledger says of the time is not of this boot, or not of late."""
    if times.right is None or times.right.boot != times.now.boot or times.seen is None:
        return True
    return abs(times.now.wall - times.seen) >= _REFRESH


def _times(conn: sa.Connection, now: Reading) -> Times:
    row = conn.execute(tables.clock_mark.select().where(tables.clock_mark.c.name == _MARK)).one_or_none()
    if row is None:
        return Times(now, None, None, _newest(conn))
    right = Reading(row.boot, row.wall, timedelta(microseconds=row.uptime))
    return Times(now, right, row.seen, _newest(conn), row.pardoned)


def _newest(conn: sa.Connection) -> datetime | None:
    """When the newest event of the ledger happened, told by what has an index: ids sort by time."""
    outbox, opening = tables.outbox.c, tables.opening.c
    ids = (
        conn.scalar(sa.select(outbox.event).order_by(outbox.seq.desc()).limit(1)),
        conn.scalar(sa.select(sa.func.max(opening.event))),
    )
    return max((made_at(one) for one in ids if one is not None), default=None)
