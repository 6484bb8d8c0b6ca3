"""Transfers and received files as rows of the ledger."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal

import sqlalchemy as sa

from sftpd.errors import NotFoundError
from sftpd.exchange.due import TOGETHER, USUAL
from sftpd.exchange.remote import Proof
from sftpd.exchange.transfer import FINAL, Outcome, TransferState, step
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.statement import Statement, inserting
from sftpd.ledger.writer import Unit
from sftpd.names import TransferId

Direction = Literal["inbound", "outbound"]
Parts = tuple[bytes, ...]
Values = Mapping[str, Any]
"""Columns of a transfer's row, by name."""

_t, _file = tables.transfer, tables.kept_file
_earlier = tables.transfer.alias().c
_INSERT = {
    "outbound": inserting(_t, "generation"),
    "inbound": inserting(
        _t,
        generation=sa.select(sa.func.coalesce(sa.func.max(_earlier.generation), 0) + 1)
        .where(_earlier.path == sa.bindparam("path"), _earlier.link == sa.bindparam("link"))
        .scalar_subquery(),
    ),
}
_GET = Statement(sa.select(_t).where(_t.c.id == sa.bindparam("transfer")))
_COLUMNS = [column.name for column in _t.columns]
_INSTANTS = ("not_before", "began_at")
_ID: list[sa.BindParameter[Any]] = [sa.bindparam(f"transfer_{n}") for n in range(TOGETHER)]
_PATH: list[sa.BindParameter[Any]] = [sa.bindparam(f"path_{n}") for n in range(TOGETHER)]
_GET_SOME = Statement(sa.select(_t).where(_t.c.id.in_(_ID)))
_STATES = Statement(sa.select(_t.c.id, _t.c.state).where(_t.c.id.in_(_ID)))
_FORGET = Statement(_file.delete().where(_file.c.id == sa.bindparam("transfer")))
_AT = (
    *tables.at_place(sa.bindparam("link_"), sa.bindparam("folder_"), sa.bindparam("path_")),
    _file.c.state == "present",
)
"""The file in our care at a place."""
_REPLACE = Statement(_file.update().where(*_AT).values(state="replaced", changed_at=sa.bindparam("now")))
_KEEP = inserting(_file)
_RECEIVED = Statement(sa.select(_file.c.received_at).where(_file.c.id == sa.bindparam("transfer")))
_ACCESSED = Statement(_file.update().where(*_AT).values(accessed_at=sa.bindparam("now")))
_FETCHED = Statement(
    tables.returned.update()
    .where(
        tables.returned.c.fetched_at.is_(None),
        tables.returned.c.file.in_(sa.select(_file.c.id).where(*_AT)),
    )
    .values(fetched_at=sa.bindparam("now"))
)
_BEING_PLACED = Statement(
    sa.select(_t.c.path, _t.c.id).where(
        _t.c.link == sa.bindparam("link"),
        _t.c.route == sa.bindparam("route"),
        _t.c.path.in_(_PATH),
        _t.c.state == "placing",
    )
)
_ON_THEIR_WAY = Statement(
    sa.select(_t.c.path, _t.c.source).where(
        *tables.on_its_way(sa.bindparam("link"), sa.bindparam("route")),
        _t.c.path.in_(_PATH),
        *(_t.c.state != str(state) for state in sorted(FINAL)),
    )
)
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
    copy_of: TransferId | None = None
    """Outbound, of a file that is sent again: the transfer that it was first sent by."""
    state: TransferState = TransferState.SCREENING
    folder: str | None = None
    placed_as: Parts | None = None
    reason: str | None = None
    attempts: int = 0
    rank: int = USUAL
    """See exchange.due."""
    not_before: datetime | None = None
    """When its turn to be taken on comes, if it is outbound and not at its end."""
    began_at: datetime | None = None
    """None: it is not in the ledger yet."""
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
        named = {"path": text(self.path), "sha256": self.sha256, "peer": self.peer}
        return named if self.delivered_as is None else named | {"delivered_as": text(self.delivered_as)}


def text(parts: Parts) -> str:
    r"""A path as people and events read it: bytes that are not UTF-8 as `\xNN`."""
    return join(parts).decode("utf-8", "backslashreplace")


def join(parts: Parts) -> bytes:
    """A relative path as the ledger keeps it."""
    return b"/".join(parts)


def split(path: bytes) -> Parts:
    """The components of a path from the ledger."""
    return tuple(path.split(b"/"))


def insert(unit: Unit, transfer: Transfer, *outcomes: Outcome, **values: Any) -> None:
    """Enter a transfer, in the state that `outcomes` lead to from the start."""
    insert_all(unit, [(transfer, values)], *outcomes)


def insert_all(unit: Unit, entries: Iterable[tuple[Transfer, Values]], *outcomes: Outcome) -> None:
    """The same for several, each with values of its own."""
    begun = {
        "state": step(TransferState.SCREENING, *outcomes),
        "began_at": unit.now,
        "changed_at": unit.now,
    }
    rows = [{**_columns(transfer), **begun, **values} for transfer, values in entries]
    if rows:
        _INSERT[rows[0]["direction"]].run(unit.conn, *rows)


def move(unit: Unit, transfer_id: TransferId, *outcomes: Outcome, **values: Any) -> None:
    """Take a transfer through `outcomes`.

    Raises LedgerError when they cannot happen where it stands, NotFoundError when there is no such transfer.
    """
    move_all(unit, {transfer_id: values}, *outcomes)


def move_all(
    unit: Unit,
    changes: Mapping[TransferId, Values],
    *outcomes: Outcome,
    unless: Collection[TransferState] = (),
) -> set[TransferId]:
    """The same for several, at most TOGETHER, each with values of its own under the same names.

    Those that stand at one of `unless` stay as they are. Returns which were moved.
    """
    states = _states(unit.conn, [*changes]) if changes else {}
    rows = [
        {"transfer": transfer, "state": step(states[transfer], *outcomes), "changed_at": unit.now, **values}
        for transfer, values in changes.items()
        if states[transfer] not in unless
    ]
    if rows:
        _update(tuple(name for name in rows[0] if name != "transfer")).run(unit.conn, *rows)
    return {row["transfer"] for row in rows}


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
    return _only(_GET.fetch(conn, transfer=transfer_id), transfer_id)


def look_up(ledger: Ledger, ids: Sequence[TransferId]) -> list[Transfer]:
    """Several transfers, at most TOGETHER, in the order of `ids`, where nothing else is to be read.

    Raises NotFoundError.
    """
    found = {row[0]: row for row in ledger.look_up(_GET_SOME, **_listed("transfer", ids))}
    return [_only([found[name]] if name in found else [], name) for name in ids]


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


def on_their_way(
    ledger: Ledger | sa.Connection, link: str, route: str, paths: Sequence[Parts]
) -> set[tuple[bytes, str]]:
    """Path and snapshot of the unfinished transfers of these paths; finished ones have put theirs away."""
    wanted = {"link": link, "route": route, **_listed("path", [join(path) for path in paths])}
    if isinstance(ledger, Ledger):
        return {(path, source) for path, source in ledger.look_up(_ON_THEIR_WAY, **wanted)}
    return {(path, source) for path, source in _ON_THEIR_WAY.fetch(ledger, **wanted)}


def being_placed(ledger: Ledger, transfers: Sequence[Transfer]) -> dict[bytes, TransferId]:
    """Other transfers of the same route, by path: such as may be at their place, or may not."""
    first, own = transfers[0], {transfer.id for transfer in transfers}
    paths = _listed("path", [join(transfer.path) for transfer in transfers])
    rows = ledger.look_up(_BEING_PLACED, link=first.link, route=first.route, **paths)
    return {path: TransferId(name) for path, name in rows if name not in own}


def let_go(unit: Unit, transfer_id: TransferId) -> None:
    """Have a transfer's file in our care no longer: it goes back to where it was sent from."""
    _FORGET.run(unit.conn, {"transfer": transfer_id})


def keep(unit: Unit, transfer: Transfer, folder: str, path: Parts, *, again: bool = True) -> None:
    """Take a transfer's file into our care; one at the same place before it counts as replaced.

    `again`: it may be in our care already, elsewhere. A copy that was sent again is kept since its original
    was: they are one file, and go together.
    """
    keep_all(unit, [(transfer, path)], folder, again=again)


def keep_all(unit: Unit, files: Sequence[tuple[Transfer, Parts]], folder: str, *, again: bool = True) -> None:
    """The same for several, each at a path of its own."""
    places = [
        (transfer, {"link": transfer.link, "folder": folder, "path": join(path)}) for transfer, path in files
    ]
    if again:
        _FORGET.run(unit.conn, *({"transfer": transfer.id} for transfer, _ in places))
    replaced = [{f"{name}_": value for name, value in place.items()} for _, place in places]
    _REPLACE.run(unit.conn, *(place | {"now": unit.now} for place in replaced))
    _KEEP.run(
        unit.conn,
        *(
            _kept(unit, transfer, place | {"id": transfer.id, "source": transfer.source})
            for transfer, place in places
        ),
    )


def enter_kept(unit: Unit, transfer: Transfer, values: Values) -> None:
    """Enter a file, or a copy of it, that is in our care from now on; `values` say which, and where it is."""
    _KEEP.run(unit.conn, _kept(unit, transfer, values))


def _kept(unit: Unit, transfer: Transfer, values: Values) -> Values:
    """The row of a file that is in our care from now on."""
    return {
        "link": transfer.link,
        "size": transfer.size,
        "sha256": transfer.sha256,
        "state": "present",
        "received_at": _kept_since(unit, transfer),
        "changed_at": unit.now,
        "renamed_to": None,
        "accessed_at": None,
        "transfer": None,
        **values,
    }


def _kept_since(unit: Unit, transfer: Transfer) -> datetime:
    """Since when a file that comes into our care counts as kept: of one sent again, since it first was."""
    known = [] if transfer.copy_of is None else _RECEIVED.fetch(unit.conn, transfer=transfer.copy_of)
    return tables.instant(known[0][0]) if known else unit.now


def accessed(unit: Unit, link: str, read: Iterable[tuple[str, Parts, bool]]) -> None:
    """Enter that kept files were read through us just now: of each its folder and path, and whether whole.

    Of what is not in our care nothing is entered.
    """
    rows = [
        (folder, whole, {"link_": link, "folder_": folder, "path_": join(path), "now": unit.now})
        for folder, path, whole in read
    ]
    _ACCESSED.run(unit.conn, *(row for _, _, row in rows))
    _FETCHED.run(unit.conn, *(row for folder, whole, row in rows if whole and folder == "download"))


def _states(conn: sa.Connection, ids: Sequence[TransferId]) -> dict[TransferId, TransferState]:
    rows = _STATES.fetch(conn, **_listed("transfer", ids))
    states = {TransferId(name): TransferState(state) for name, state in rows}
    for name in ids:
        if name not in states:
            raise NotFoundError(f"no transfer {name}", remedy="see sftpd transfer list")
    return states


def _listed(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """The parameters of a statement that looks for at most TOGETHER values; it has one for each."""
    assert 0 < len(values) <= TOGETHER
    return {f"{name}_{n}": values[min(n, len(values) - 1)] for n in range(TOGETHER)}


@cache
def _update(names: tuple[str, ...]) -> Statement:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in names}
    return Statement(_t.update().where(_t.c.id == sa.bindparam("transfer")).values(values))


def _columns(transfer: Transfer) -> dict[str, Any]:
    named = {name: getattr(transfer, name) for name in ("path", "placed_as", "delivered_as")}
    return {
        **{name: getattr(transfer, name) for name in Transfer.__dataclass_fields__ if name != "began_at"},
        **{name: None if parts is None else join(parts) for name, parts in named.items()},
    }


def _only(rows: list[tuple[Any, ...]], transfer_id: TransferId) -> Transfer:
    """The transfer in the rows that a Statement found by its id."""
    if not rows:
        raise NotFoundError(f"no transfer {transfer_id}", remedy="see sftpd transfer list")
    row = dict(zip(_COLUMNS, rows[0], strict=True))
    for name in _INSTANTS:
        row[name] = None if row[name] is None else tables.instant(row[name])
    return _transfer(SimpleNamespace(**row))


def _transfer(row: Any) -> Transfer:
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
        copy_of=None if row.copy_of is None else TransferId(row.copy_of),
        state=TransferState(row.state),
        folder=row.folder,
        placed_as=None if row.placed_as is None else split(row.placed_as),
        reason=row.reason,
        attempts=row.attempts,
        rank=row.rank,
        not_before=row.not_before,
        began_at=row.began_at,
        temporary=row.temporary,
        delivered_as=None if row.delivered_as is None else split(row.delivered_as),
        proof=row.proof,
    )
