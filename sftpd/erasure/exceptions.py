"""Exceptions from erasure: files that stay although the person is in them, on a ground of GDPR 17(3)."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from sftpd.erasure.grounds import Ground, mark
from sftpd.erasure.plan import Action, Place
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

_exception, _item = tables.erasure_exception, tables.erasure_item


def standing(conn: sa.Connection, request_id: str) -> dict[Place, str]:
    """Why each excepted file of a request stays."""
    query = sa.select(_exception).where(_exception.c.request == request_id)
    return {
        (row.folder, tuple(row.path.split(b"/"))): mark(Ground(row.ground), row.reason)
        for row in conn.execute(query)
    }


def enter(
    unit: Unit, request_id: str, link: str, items: Mapping[int, Place], ground: Ground, reason: str, by: str
) -> None:
    """Except the files of some steps, by the numbers of these; all steps for these files keep them.

    What is removed of them stays on record.
    """
    for place in set(items.values()):
        here = keep(unit, request_id, place, ground, reason)
        steps = _item.update().filter_by(**here).where(_item.c.state != "done")
        unit.conn.execute(steps.values(action=Action.KEEP, state="planned", reason=mark(ground, reason)))
    for seq in items:
        public = {"request": request_id, "item": seq, "ground": ground}
        unit.record(Event("erasure.excepted", link, public, {"by": by, "reason": reason}))


def keep(unit: Unit, request_id: str, place: Place, ground: Ground, reason: str) -> dict[str, Any]:
    """Have a file stay in whatever plan of a request is made from now on; returns what its rows name."""
    here = {"request": request_id, "folder": place[0], "path": b"/".join(place[1])}
    unit.conn.execute(_exception.delete().filter_by(**here))
    unit.conn.execute(_exception.insert().values(**here, ground=ground, reason=reason))
    return here


def forget(unit: Unit, request_id: str) -> None:
    """Drop what is known of the exceptions of a closed request."""
    unit.conn.execute(_exception.delete().where(_exception.c.request == request_id))
