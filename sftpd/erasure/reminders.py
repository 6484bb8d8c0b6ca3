"""What is told of the ends of terms, each once: that a request is soon due, and that it is overdue.

To look is one unit of work: what it tells, and that it was told, is committed together.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from sftpd.erasure import records
from sftpd.erasure.records import Request
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.periods import Period

OVERDUE = "overdue"

Before = Callable[[str], Sequence[timedelta]]
"""How long before they end a link's terms are told of; no time at all for a link that is not configured."""

_reminder = tables.erasure_reminder


@dataclass(frozen=True, slots=True)
class Terms:
    """By link: how many requests have no answer yet, and how many of these are soon due and overdue."""

    unanswered: Mapping[str, int]
    due_soon: Mapping[str, int]
    overdue: Mapping[str, int]


def passed(due: datetime, before: Sequence[timedelta], now: datetime) -> list[str]:
    """What is to have been told of a term that ends at `due`, the latest first: OVERDUE, how long before."""
    told = [OVERDUE] if now > due else []
    return told + [_period(wait) for wait in sorted(before) if due - wait <= now]


def tell(ledger: Ledger, before: Before) -> None:
    """Tell what is to be told; of what was missed while nobody looked, the latest alone."""

    def work(unit: Unit) -> None:
        for request in records.unanswered(unit.conn):
            if request.asked_at is None:
                _tell(unit, request, passed(request.due_at, before(request.link), unit.now))

    ledger.write(work)


def terms(conn: sa.Connection, before: Before, now: datetime) -> Terms:
    """How the terms of all links stand; of one that stands still, nothing is soon due."""
    waiting = records.unanswered(conn)
    running = [request for request in waiting if request.asked_at is None]
    told = [(request.link, passed(request.due_at, before(request.link), now)) for request in running]
    return Terms(
        Counter(request.link for request in waiting),
        Counter(link for link, about in told if about and about[0] != OVERDUE),
        Counter(link for link, about in told if about and about[0] == OVERDUE),
    )


def _period(wait: timedelta) -> str:
    return str(Period(days=wait.days, seconds=(wait - timedelta(days=wait.days)).total_seconds()))


def _tell(unit: Unit, request: Request, about: Sequence[str]) -> None:
    here = (_reminder.c.request == request.id, _reminder.c.due == request.due_at)
    known = set(unit.conn.scalars(sa.select(_reminder.c.about).where(*here)))
    new = [one for one in about if one not in known]
    if not new:
        return
    row = {"request": request.id, "due": request.due_at, "told_at": unit.now}
    unit.conn.execute(_reminder.insert(), [row | {"about": one} for one in new])
    if new[0] == about[0]:
        public = {"request": request.id, "due": request.due_at.isoformat()}
        if new[0] == OVERDUE:
            unit.record(Event("erasure.overdue", request.link, public))
        else:
            unit.record(Event("erasure.due_soon", request.link, public | {"before": new[0]}))
