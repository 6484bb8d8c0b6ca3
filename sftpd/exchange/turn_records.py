"""Which outbound transfers the ledger has that wait for their turn."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from sftpd.exchange.due import FIRST, HERE, USUAL, Due
from sftpd.exchange.transfer import TransferState
from sftpd.ledger import tables
from sftpd.ledger.statement import Statement
from sftpd.ledger.writer import Unit
from sftpd.names import TransferId

RANKS = (HERE, FIRST, USUAL)

_MOMENT = timedelta(microseconds=1)
_PUTTING_AWAY = timedelta(minutes=2)
"""More than a file that was delivered has for being put away before that is tried again."""

_t = tables.transfer
_OF_RANK = (
    _t.c.link == sa.bindparam("link"),
    _t.c.route == sa.bindparam("route"),
    _t.c.rank == sa.bindparam("rank"),
)
_NEXT = Statement(
    sa.select(_t.c.rank, _t.c.not_before, _t.c.id, _t.c.path, _t.c.size)
    .where(*_OF_RANK, _t.c.not_before <= sa.bindparam("now"))
    .order_by(_t.c.not_before, _t.c.id)
    .limit(sa.bindparam("limit"))
)
_LATER = Statement(
    sa.select(_t.c.not_before)
    .where(*_OF_RANK, _t.c.not_before > sa.bindparam("now"))
    .order_by(_t.c.not_before)
    .limit(1)
)
_LAST = Statement(
    sa.select(_t.c.not_before)
    .where(*_OF_RANK, _t.c.not_before.is_not(None))
    .order_by(_t.c.not_before.desc())
    .limit(1)
)
_EVER = datetime.max.replace(tzinfo=UTC)


def due(
    conn: sa.Connection, link: str, route: str, now: datetime, limit: int, *, strict: bool = False
) -> list[Due]:
    """The outbound transfers of a route whose turn has come by `now`, in their order, at most `limit`.

    In `strict` order only the one before it is waited for, whatever the time is.
    """
    found: list[Due] = []
    for rank in RANKS:
        by = now if rank in _timed(strict=strict) else _EVER
        wanted = {"link": link, "route": route, "rank": rank, "now": by, "limit": limit - len(found)}
        rows = _NEXT.fetch(conn, **wanted)
        found += (Due(rank, tables.instant(at), TransferId(name), *rest) for rank, at, name, *rest in rows)
    return found


def next_turn(
    conn: sa.Connection, link: str, route: str, now: datetime, *, strict: bool = False
) -> datetime | None:
    """When, after `now`, the turn of another outbound transfer of a route comes."""
    rows = [_LATER.fetch(conn, link=link, route=route, rank=rank, now=now) for rank in _timed(strict=strict)]
    return min((tables.instant(at) for found in rows for (at,) in found), default=None)


def new_turn(unit: Unit, link: str, route: str, *, strict: bool) -> datetime:
    """The turn of a transfer that is to be sent; in `strict` order behind all others, whatever time it is."""
    if not strict:
        return unit.now
    rows = [row for rank in RANKS for row in _LAST.fetch(unit.conn, link=link, route=route, rank=rank)]
    return max([unit.now, *(tables.instant(at) + _MOMENT for (at,) in rows)])


def waits(conn: sa.Connection, link: str, route: str) -> bool:
    """Whether an outbound transfer of a route is not at its end."""
    return any(_LAST.fetch(conn, link=link, route=route, rank=rank) for rank in RANKS)


def recall(unit: Unit, link: str, route: str, waits: Sequence[timedelta], *, strict: bool) -> int:
    """Give transfers their turn whose time is further off than any waits; returns how many these are.

    `waits`: for how long one waits at most after no failed try, after one and so on, and the last after more.
    """
    t = tables.transfer.c

    def after(wait: timedelta) -> sa.BindParameter[datetime]:
        return sa.literal(unit.now + wait + _PUTTING_AWAY, t.not_before.type)

    tried = [(t.attempts == count, after(wait)) for count, wait in enumerate(waits)]
    farthest = sa.case((t.rank == HERE, after(timedelta())), *tried, else_=after(waits[-1]))
    late = (t.not_before > after(timedelta()), t.not_before > farthest)
    turns = (t.link == link, t.route == route, t.rank.in_(_timed(strict=strict)), *late)
    return unit.conn.execute(tables.transfer.update().where(*turns).values(not_before=unit.now)).rowcount


def _timed(*, strict: bool) -> tuple[int, ...]:
    """The ranks in which a turn comes at its time."""
    return (HERE,) if strict else RANKS


def returning(conn: sa.Connection, link: str) -> list[TransferId]:
    """The transfers of a link whose file is on its way back to its watched folder."""
    t = tables.transfer.c
    query = sa.select(t.id).where(t.state == TransferState.RETURNING, t.link == link)
    return [TransferId(name) for name in conn.scalars(query)]


def turn_to_put_away(unit: Unit, transfer: TransferId, at: datetime) -> None:
    """Give a transfer that was delivered its turn then, if it is not put away yet."""
    t = tables.transfer.c
    delivered = (t.id == transfer, t.state == TransferState.PLACED)
    unit.conn.execute(tables.transfer.update().where(*delivered).values(not_before=at))


def hasten(unit: Unit, link: str) -> None:
    """Give the transfers of a link that were delivered before a crash their turn at once."""
    t = tables.transfer.c
    delivered = (t.state == TransferState.PLACED, t.link == link, t.direction == "outbound")
    unit.conn.execute(tables.transfer.update().where(*delivered).values(not_before=unit.now))


def left_behind(conn: sa.Connection, link: str, routes: Sequence[str]) -> list[TransferId]:
    """What was cancelled while these routes of a link were not served."""
    t = tables.transfer.c
    left = (t.state == TransferState.CANCELLED, t.link == link, t.route.in_(routes))
    return [TransferId(found) for found in conn.scalars(sa.select(t.id).where(*left))]


def count_waiting(conn: sa.Connection) -> dict[tuple[str, str], int]:
    """How many outbound transfers are not at their end, by link and route."""
    t = tables.transfer.c
    query = sa.select(t.link, t.route, sa.func.count()).where(t.not_before.is_not(None))
    return {(row[0], row[1]): row[2] for row in conn.execute(query.group_by(t.link, t.route))}
