"""Orders as rows of the ledger: each file with its signature once, what it opened, and its answers.

Answers to our notices are rows of theirs too, for they come in as orders do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sftpd.audit import sshsig
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.writer import Unit

FOLDER = "requests"
"""The folder of a link into which orders are dropped."""

BATCH = 100
"""Orders that are taken in at one time."""

_file, _order = tables.kept_file, tables.erasure_order


@dataclass(frozen=True, slots=True)
class Received:
    """A received file: its transfer, its name in the folder, and what is known of its content."""

    transfer: str
    name: bytes
    size: int
    sha256: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Dropped:
    """An order that nobody has gone over yet, with its signature."""

    content: Received
    signature: Received | None
    """None where it did not come in time."""

    @property
    def transfers(self) -> tuple[str, str]:
        """The transfers of both, empty for a signature that did not come."""
        return self.content.transfer, "" if self.signature is None else self.signature.transfer


@dataclass(frozen=True, slots=True)
class Taken:
    """An order that was gone over; refused if it has a reason, and not settled yet.

    With neither a request nor a reason it is an answer to a notice, and its name is the notice's.
    """

    transfer: str
    signature: str
    taken_at: datetime
    name: str | None
    digest: str | None
    request: str | None
    reason: str | None
    text: str | None
    answer: str | None


def dropped(
    conn: sa.Connection, link: str, counts: Callable[[bytes], bool], unsigned_by: datetime
) -> list[Dropped]:
    """The orders of a link that are complete and new, at most BATCH, in the order in which they came.

    Orders are files whose name `counts`. Those are complete, too, that came until `unsigned_by` and have no
    signature.
    """
    files = {one.name: one for one in _received(conn, link)}
    pairs = []
    for name, content in files.items():
        signature = files.get(name + sshsig.SUFFIX.encode())
        if counts(name) and (signature is not None or content.at <= unsigned_by):
            pairs.append(Dropped(content, signature))
    known = _known(conn, [pair.content.transfer for pair in pairs])
    new = (pair for pair in pairs if pair.transfers not in known)
    return sorted(new, key=lambda pair: pair.content.transfer)[:BATCH]


def _known(conn: sa.Connection, transfers: Sequence[str]) -> set[tuple[str, str]]:
    """What was gone over and lies there still: a hold keeps it."""
    query = sa.select(_order.c.transfer, _order.c.signature)
    parts = (conn.execute(query.where(_order.c.transfer.in_(some))) for some in in_parts(transfers))
    return {(row.transfer, row.signature) for rows in parts for row in rows}


def is_there(conn: sa.Connection, transfer: str) -> bytes | None:
    """The name under which a received file still lies in the folder; None where it is gone."""
    query = sa.select(_file.c.path).where(_file.c.id == transfer, _file.c.state == "present")
    return conn.scalar(query.where(_file.c.folder == FOLDER))


def accepted(conn: sa.Connection, link: str, name: str) -> Taken | None:
    """The order of that name that was accepted first."""
    query = _taken().where(_order.c.link == link, _order.c.name == name, _order.c.request.is_not(None))
    row = conn.execute(query.order_by(_order.c.taken_at).limit(1)).first()
    return None if row is None else Taken(*row)


def unsettled(conn: sa.Connection, link: str) -> list[Taken]:
    """The orders of a link that are not answered for the last time yet, oldest first."""
    query = _taken().where(_order.c.link == link, _order.c.settled.is_(False))
    return [Taken(*row) for row in conn.execute(query.order_by(_order.c.taken_at, _order.c.transfer))]


def insert(unit: Unit, link: str, order: Dropped, **values: Any) -> None:
    """Enter that an order was gone over; `values`: its name, digest and request, or why it is refused."""
    transfer, signature = order.transfers
    pair = {"transfer": transfer, "signature": signature}
    unit.conn.execute(_order.insert().values(**pair, link=link, taken_at=unit.now, settled=False, **values))


def update(unit: Unit, order: Taken, **values: Any) -> None:
    """Note what became of an order."""
    here = (_order.c.transfer == order.transfer, _order.c.signature == order.signature)
    unit.conn.execute(_order.update().where(*here).values(**values))


def _received(conn: sa.Connection, link: str) -> list[Received]:
    columns = (_file.c.id, _file.c.path, _file.c.size, _file.c.sha256, _file.c.received_at)
    query = sa.select(*columns).where(_file.c.link == link, _file.c.folder == FOLDER)
    rows = conn.execute(query.where(_file.c.state == "present"))
    return [Received(*row) for row in rows if b"/" not in row.path]


def _taken() -> sa.Select[Any]:
    o = _order.c
    return sa.select(
        o.transfer, o.signature, o.taken_at, o.name, o.digest, o.request, o.reason, o.text, o.answer
    )
