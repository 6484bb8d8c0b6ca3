"""Requests that a legal hold kept from being closed, and that can go on since it ended."""

from collections.abc import Callable

import sqlalchemy as sa

from sftpd.erasure.plan import Parts
from sftpd.erasure.request import State
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger

HELD = "legal hold: "
"""How the reason of a step begins whose file a legal hold keeps."""


def freed(ledger: Ledger, held: Callable[[str, str, Parts], str | None]) -> dict[str, str]:
    """The ids of the requests that can go on, each with its link; `held` tells of the hold on a file."""
    r, item = tables.erasure_request.c, tables.erasure_item.c
    query = (
        sa.select(r.id, r.link, item.folder, item.path)
        .join_from(tables.erasure_request, tables.erasure_item, r.id == item.request)
        .where(r.state == State.PARTIAL, item.state == "planned", item.reason.startswith(HELD))
        .order_by(r.id)
    )
    with ledger.read() as conn:
        rows = list(conn.execute(query))
    found: dict[str, str] = {}
    for id_, link, folder, path in rows:
        if id_ not in found and held(link, folder, tuple(path.split(b"/"))) is None:
            found[id_] = link
    return found
