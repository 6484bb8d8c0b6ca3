"""The end of a request's own retention: its certificate goes, and all else but that there was one."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from functools import partial

import sqlalchemy as sa
import structlog

from sftpd.erasure import notices
from sftpd.errors import LedgerError
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

KeptUntil = Callable[[str, datetime], datetime]
"""When what is left of a request of a link is to go, given when it was answered."""

_request, _item = tables.erasure_request, tables.erasure_item
_log = structlog.get_logger()
_NOTHING = {"plain": [], "secret": ""}


def forget_old(ledger: Ledger, kept_until: KeptUntil, now: datetime) -> int:
    """Forget the requests whose term is over, each with an event; returns how many that were.

    Its id, link, times and epoch stay: a restored backup is told by them what to replay.
    """
    query = sa.select(_request.c.id, _request.c.link, _request.c.closed_at)
    with ledger.read() as conn:
        # Whoever opened it is forgotten with the rest: nobody means that this was done.
        known = list(conn.execute(query.where(_request.c.closed_at.is_not(None), _request.c.opened_by != "")))
    old = [row for row in known if kept_until(row.link, row.closed_at) <= now]
    for row in old:
        ledger.write(partial(_forget, row.id, row.link))
    return len(old)


def leave_nothing(ledger: Ledger) -> None:
    """Leave nothing of what was forgotten to be read in the ledger's files, if that can be done now."""
    try:
        ledger.compact()
    except LedgerError as fault:
        _log.warning("ledger_not_compacted", fault=str(fault))


def _forget(request: str, link: str, unit: Unit) -> None:
    here = _request.c.id == request
    certificate = unit.conn.scalar(sa.select(_request.c.certificate).where(here))
    digest = None if certificate is None else hashlib.sha256(certificate.encode()).hexdigest()
    unit.conn.execute(_item.delete().where(_item.c.request == request))
    notices.forget(unit, request)
    unit.conn.execute(
        _request.update()
        .where(here)
        .values(opened_by="", approved_by=None, identifiers=_NOTHING, findings=None, certificate=None)
    )
    unit.record(Event("erasure.forgotten", link, {"request": request, "certificate_sha256": digest}))
