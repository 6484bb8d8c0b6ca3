"""Who got files that a deletion request found the person in: the outbound ledger, before it forgets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sftpd.erasure import traces
from sftpd.erasure.plan import Place
from sftpd.erasure.records import Request
from sftpd.files.fingerprint import Fingerprint
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit

_t, _content, _delivery = tables.transfer, tables.erasure_content, tables.erasure_delivery
_DELIVERED = (_t.c.direction == "outbound", _t.c.state.in_(("placed", "done")))


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file that was delivered over a link, as its recipient knows it; `remote` is empty for `/download`."""

    transfer: str
    link: str
    remote: str
    name: str
    sha256: str


def note(unit: Unit, request: Request, place: Place, old: Fingerprint | None, *, whole: bool) -> None:
    """Keep whom the content at a place was delivered to, before its name and hash are forgotten.

    `old` is what it was, where that is known, and `whole` says whether the file is gone. To be called in the
    transaction in which they are forgotten.
    """
    crossed, hashes = traces.crossed(unit.conn, request.link, place, old)
    enter(unit, request.id, _found(unit.conn, _t.c.id.in_(crossed)))
    _enter_contents(unit, request.id, dict.fromkeys(hashes), whole=whole)


def note_ahead(
    ledger: Ledger, request: Request, old: Fingerprint, carried: Sequence[int], *, whole: bool
) -> None:
    """Keep the hash of a content that is about to go, which after a crash nobody could tell any more.

    `carried` are the numbers of the request's identifiers that it has: recipients are told no others.
    """
    content = {old.sha256.hex(): list(carried)}
    ledger.write(lambda unit: _enter_contents(unit, request.id, content, whole=whole))


def carried(conn: sa.Connection, request: str) -> dict[str, Sequence[int] | None]:
    """The numbers of the identifiers that each content has that a request has removed; None: unknown."""
    query = sa.select(_content.c.sha256, _content.c.carried).where(_content.c.request == request)
    return {row.sha256: row.carried for row in conn.execute(query)}


def of_same_content(conn: sa.Connection, request: str) -> list[Delivery]:
    """Deliveries over any link of what a request has removed, by the hash; no copy of them need be here."""
    hashes = [*conn.scalars(sa.select(_content.c.sha256).where(_content.c.request == request))]
    return [one for some in in_parts(hashes) for one in _found(conn, _t.c.sha256.in_(some))]


def enter(unit: Unit, request: str, found: Iterable[Delivery]) -> None:
    """Enter deliveries that a request has to tell of; those that are entered stay as they are."""
    known = set(unit.conn.scalars(sa.select(_delivery.c.transfer).where(_delivery.c.request == request)))
    new = {one.transfer: one for one in found if one.transfer not in known}
    rows: list[dict[str, Any]] = [
        {
            "request": request,
            "transfer": one.transfer,
            "link": one.link,
            "remote": one.remote,
            "name": one.name,
            "sha256": one.sha256,
        }
        for one in new.values()
    ]
    if rows:
        unit.conn.execute(_delivery.insert(), rows)


def untold(conn: sa.Connection, request: str) -> list[Delivery]:
    """The deliveries of which no notice tells yet, by link, remote and transfer."""
    columns = (
        _delivery.c.transfer,
        _delivery.c.link,
        _delivery.c.remote,
        _delivery.c.name,
        _delivery.c.sha256,
    )
    query = sa.select(*columns).where(_delivery.c.request == request, _delivery.c.notice.is_(None))
    ordered = query.order_by(_delivery.c.link, _delivery.c.remote, _delivery.c.transfer)
    return [Delivery(*row) for row in conn.execute(ordered)]


def tell(unit: Unit, request: str, told: Iterable[Delivery], notice: str) -> None:
    """Note by which notice they are told of."""
    for some in in_parts([one.transfer for one in told]):
        here = (_delivery.c.request == request, _delivery.c.transfer.in_(some))
        unit.conn.execute(_delivery.update().where(*here).values(notice=notice))


def forget_told(unit: Unit, notice: str) -> None:
    """Forget the names and hashes of files of which a notice has told."""
    rows = _delivery.update().where(_delivery.c.notice == notice)
    unit.conn.execute(rows.values(name="", sha256=""))


def forget_contents(unit: Unit, request: str) -> None:
    """Forget the hashes of what a request has removed."""
    unit.conn.execute(_content.delete().where(_content.c.request == request))


def _enter_contents(
    unit: Unit, request: str, contents: Mapping[str, Sequence[int] | None], *, whole: bool
) -> None:
    """Enter contents by their hash, each with what it carried; what that was of known ones stays as it is."""
    mine = (_content.c.request == request, _content.c.sha256.in_([*contents]))
    known = set(unit.conn.scalars(sa.select(_content.c.sha256).where(*mine)))
    rows = [
        {"request": request, "sha256": sha256, "carried": numbers, "whole": whole}
        for sha256, numbers in contents.items()
        if sha256 not in known
    ]
    if rows:
        unit.conn.execute(_content.insert(), rows)
    if whole and known:
        unit.conn.execute(_content.update().where(*mine).values(whole=True))


def _found(conn: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Delivery]:
    columns = (_t.c.id, _t.c.link, _t.c.peer, _t.c.path, _t.c.delivered_as, _t.c.sha256)
    rows = conn.execute(sa.select(*columns).where(*_DELIVERED, *where).order_by(_t.c.id))
    return [
        Delivery(
            row.id,
            row.link,
            row.peer,
            (row.delivered_as or row.path).decode("utf-8", "backslashreplace"),
            row.sha256,
        )
        for row in rows
        if row.sha256
    ]
