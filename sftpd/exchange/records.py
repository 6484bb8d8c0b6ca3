"""Transfers and received files as rows of the ledger."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa

from sftpd.errors import NotFoundError
from sftpd.exchange.remote import Proof
from sftpd.exchange.transfer import FINAL, Outcome, TransferState, step
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.statement import Statement, inserting
from sftpd.ledger.writer import Unit
from sftpd.names import TransferId

Direction = Literal["inbound", "outbound"]
Parts = tuple[bytes, ...]

_t, _file = tables.transfer, tables.kept_file
_INSERT = inserting(_t)
_STATE = Statement(sa.select(_t.c.state).where(_t.c.id == sa.bindparam("transfer")))
_FORGET = Statement(_file.delete().where(_file.c.id == sa.bindparam("transfer")))
_REPLACE = Statement(
    _file.update()
    .where(
        _file.c.link == sa.bindparam("link_"),
        _file.c.folder == sa.bindparam("folder_"),
        _file.c.path == sa.bindparam("path_"),
        _file.c.state == "present",
    )
    .values(state="replaced", changed_at=sa.bindparam("now"))
)
_KEEP = inserting(_file)
_STEP = Statement(
    _t.update()
    .where(_t.c.id == sa.bindparam("transfer"), _t.c.state == sa.bindparam("before"))
    .values(state=sa.bindparam("after"), changed_at=sa.bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """One file crossing a link, once."""

    id: TransferId
    link: str
    direction: Direction
    route: str
    peer: str
    """The account or the remote; empty for `/download`, which every account of the link may read."""
    path: Parts
    source: str
    size: int
    sha256: str
    origin: str | None = None
    state: TransferState = TransferState.SCREENING
    folder: str | None = None
    placed_as: Parts | None = None
    reason: str | None = None
    attempts: int = 0
    not_before: datetime | None = None
    temporary: bytes | None = None
    """Outbound: the remote's own path of the file until it is placed."""
    delivered_as: Parts | None = None
    """Outbound: the path under which the counterparty finds it, when that is not `path`."""
    proof: Proof | None = None
    """Outbound: how it is known that its bytes arrived."""

    @property
    def final(self) -> Parts:
        """The path under which the counterparty finds it."""
        return self.delivered_as or self.path

    @property
    def public(self) -> dict[str, Any]:
        """What an audit leaf may say of it openly."""
        return {"transfer": self.id, "direction": self.direction, "route": self.route, "size": self.size}

    @property
    def private(self) -> dict[str, Any]:
        """What an audit leaf only commits to."""
        named = {"path": _text(self.path), "sha256": self.sha256, "peer": self.peer}
        return named if self.delivered_as is None else named | {"delivered_as": _text(self.delivered_as)}


def _text(parts: Parts) -> str:
    return join(parts).decode("utf-8", "backslashreplace")


def join(parts: Parts) -> bytes:
    """A relative path as the ledger keeps it."""
    return b"/".join(parts)


def split(path: bytes) -> Parts:
    """The components of a path from the ledger."""
    return tuple(path.split(b"/"))


def insert(unit: Unit, transfer: Transfer, *outcomes: Outcome, **values: Any) -> None:
    """Enter a transfer, in the state that `outcomes` lead to from the start."""
    row = {
        **_columns(transfer),
        "state": step(TransferState.SCREENING, *outcomes),
        "began_at": unit.now,
        "changed_at": unit.now,
    }
    _INSERT.run(unit.conn, row | values)


def move(unit: Unit, transfer_id: TransferId, *outcomes: Outcome, **values: Any) -> None:
    """Take a transfer through `outcomes`.

    Raises LedgerError when they cannot happen where it stands, NotFoundError when there is no such transfer.
    """
    rows = _STATE.fetch(unit.conn, transfer=transfer_id)
    if not rows:
        raise NotFoundError(f"no transfer {transfer_id}")
    after = step(TransferState(rows[0][0]), *outcomes)
    changes = {"state": after, "changed_at": unit.now, **values}
    _update(tuple(changes)).run(unit.conn, changes | {"transfer": transfer_id})


def follow(
    ledger: Ledger, transfer_id: TransferId, before: TransferState, *outcomes: Outcome, now: datetime
) -> None:
    """Take a transfer that stands at `before` through `outcomes`, with the next commit."""
    row = {"transfer": transfer_id, "before": before, "after": step(before, *outcomes), "now": now}
    ledger.follow(_STEP, row)


def get(conn: sa.Connection, transfer_id: TransferId) -> Transfer:
    """The transfer of that id.

    Raises NotFoundError.
    """
    found = find(conn, tables.transfer.c.id == transfer_id)
    if not found:
        raise NotFoundError(f"no transfer {transfer_id}")
    return found[0]


def find(conn: sa.Connection, *where: sa.ColumnElement[bool], limit: int | None = None) -> list[Transfer]:
    """Transfers that meet the conditions, oldest first."""
    t = tables.transfer.c
    query = sa.select(tables.transfer).where(*where).order_by(t.began_at, t.id).limit(limit)
    return [_transfer(row) for row in conn.execute(query)]


def latest(conn: sa.Connection, *where: sa.ColumnElement[bool], limit: int) -> list[Transfer]:
    """The newest transfers that meet the conditions, at most `limit`, oldest of them first."""
    t = tables.transfer.c
    query = sa.select(tables.transfer).where(*where).order_by(t.began_at.desc(), t.id.desc()).limit(limit)
    return [_transfer(row) for row in conn.execute(query)][::-1]


def count_by_state(conn: sa.Connection) -> dict[str, int]:
    """How many transfers are in each state that any is in."""
    t = tables.transfer.c
    query = sa.select(t.state, sa.func.count()).group_by(t.state).order_by(t.state)
    return {row[0]: row[1] for row in conn.execute(query)}


def unfinished(conn: sa.Connection, link: str) -> list[Transfer]:
    """The link's transfers that are not in a final state, oldest first."""
    t = tables.transfer.c
    return find(conn, t.link == link, t.state.not_in(FINAL))


def keep(unit: Unit, transfer: Transfer, folder: str, path: Parts, *, again: bool = True) -> None:
    """Take a transfer's file into our care; one at the same place before it counts as replaced.

    `again`: it may be in our care already, elsewhere.
    """
    place = {"link": transfer.link, "folder": folder, "path": join(path)}
    file = {"id": transfer.id, "source": transfer.source, "size": transfer.size, "sha256": transfer.sha256}
    kept = {"state": "present", "received_at": unit.now, "changed_at": unit.now, "renamed_to": None}
    if again:
        _FORGET.run(unit.conn, {"transfer": transfer.id})
    _REPLACE.run(unit.conn, {**{f"{name}_": value for name, value in place.items()}, "now": unit.now})
    _KEEP.run(unit.conn, file | place | kept)


@cache
def _update(names: tuple[str, ...]) -> Statement:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in names}
    return Statement(_t.update().where(_t.c.id == sa.bindparam("transfer")).values(values))


def _columns(transfer: Transfer) -> dict[str, Any]:
    named = {name: getattr(transfer, name) for name in ("path", "placed_as", "delivered_as")}
    return {
        **{name: getattr(transfer, name) for name in Transfer.__dataclass_fields__},
        **{name: None if parts is None else join(parts) for name, parts in named.items()},
    }


def _transfer(row: sa.Row[Any]) -> Transfer:
    return Transfer(
        id=TransferId(row.id),
        link=row.link,
        direction=row.direction,
        route=row.route,
        peer=row.peer,
        path=split(row.path),
        source=row.source,
        size=row.size,
        sha256=row.sha256,
        origin=row.origin,
        state=TransferState(row.state),
        folder=row.folder,
        placed_as=None if row.placed_as is None else split(row.placed_as),
        reason=row.reason,
        attempts=row.attempts,
        not_before=row.not_before,
        temporary=row.temporary,
        delivered_as=None if row.delivered_as is None else split(row.delivered_as),
        proof=row.proof,
    )
