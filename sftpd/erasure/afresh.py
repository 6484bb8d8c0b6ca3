"""Open requests of a restored state: what was decided on them may have been decided otherwise since."""

import sqlalchemy as sa

from sftpd.erasure import records
from sftpd.erasure.request import State
from sftpd.errors import RefusedError
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

_DECIDED = (State.REVIEW, State.APPROVED, State.EXECUTING, State.VERIFYING)
"""The states of requests on whose plans somebody decides, or has."""

_request, _decision = tables.erasure_request, tables.erasure_decision


def decide_afresh(unit: Unit) -> None:
    """Have open requests be searched and approved anew, and nothing go by a decision from before."""
    unit.conn.execute(_decision.delete().where(_decision.c.remove))
    for request_id in records.ids(unit.conn, *_DECIDED):
        request = records.get(unit.conn, request_id)
        again = {"state": State.SCOPING, "approved_by": None, "approved_at": None}
        records.mark(unit, request_id, **again)
        public = {"request": request_id, "was": request.state}
        unit.record(Event("erasure.begun_afresh", request.link, public))


def require_known(conn: sa.Connection) -> None:
    """Pass unless the state was restored and nobody has confirmed that what was held since is held again.

    Raises RefusedError `RESTORED`.
    """
    freeze = tables.freeze.c
    text = conn.scalar(sa.select(freeze.text).where(freeze.reason == "RESTORED"))
    if text is not None:
        raise RefusedError(
            text,
            reason="RESTORED",
            remedy="place again what was held since, then confirm that by `sftpd retention unfreeze`",
        )
