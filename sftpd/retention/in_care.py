"""The files in our care, as the ledger has them: whole, or as rows of which there are very many."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any

import sqlalchemy as sa

from sftpd.ledger import tables
from sftpd.ledger.statement import Statement
from sftpd.link import vaulted
from sftpd.retention.many import Row
from sftpd.retention.rule import STAGING, Kept, Returned

_OWN = len(Kept.__dataclass_fields__)
_AT_ONCE = 1000
"""Rows that are read at once."""
_GOING_BACK = ("offered_at", "fetched_at", "transfer")
_way = tables.transfer.alias("way")
"""The transfers by which files go back."""
PEER: sa.ColumnElement[str] = sa.func.coalesce(tables.transfer.c.peer, "")
"""The account or remote that a file came from or went to, where its transfer is looked up."""
NOT_GIVEN_BACK = tables.kept_file.c.id.not_in(sa.select(tables.returned.c.file))
_FIRST_LINK = Statement(sa.select(sa.func.min(tables.kept_file.c.link)))
_NEXT_LINK = Statement(
    sa.select(sa.func.min(tables.kept_file.c.link)).where(tables.kept_file.c.link > sa.bindparam("after"))
)


def kept_files(
    conn: sa.Connection,
    *where: sa.ColumnElement[bool],
    with_peers: bool = False,
) -> list[Kept]:
    """The files in our care that are still present and meet the conditions.

    Their peers are looked up only if asked for; an unfinished upload has its account anyway.
    """
    found = conn.execute(_kept_query(*where, with_peers=with_peers)).all()
    return [_kept(row) for row in found]


def by_place(conn: sa.Connection, link: str | None, most: int | None, *, with_peers: bool) -> Iterator[Kept]:
    """The files that are present, of one link or of all, by place; the first of them, at `most`."""
    file = tables.kept_file.c
    query = _kept_query(*([] if link is None else [file.link == link]), with_peers=with_peers)
    query = query.order_by(file.link, file.folder, file.path, file.id).limit(most)
    found = conn.execute(query.execution_options(yield_per=_AT_ONCE))
    return (_kept(row) for row in found)


def _kept_query(*where: sa.ColumnElement[bool], with_peers: bool) -> sa.Select[Any]:
    file, back, way = tables.kept_file.c, tables.returned.c, _way.c
    elsewhere: dict[str, sa.ColumnElement[Any]] = {
        "peer": _peer(with_peers=with_peers),
        "returned": sa.null(),
    }
    kept = [elsewhere[n] if n in elsewhere else file[n] for n in Kept.__dataclass_fields__]
    return (
        sa.select(*kept, back.folder, back.path, *(back[n] for n in _GOING_BACK), way.state)
        .select_from(
            _known(with_peers=with_peers)
            .outerjoin(tables.returned, back.file == file.id)
            .outerjoin(_way, way.id == back.transfer)
        )
        .where(file.state == "present", *where)
    )


def _known(*, with_peers: bool) -> sa.FromClause:
    """The files in our care, and where their peers are wanted the transfers that brought them."""
    file, transfer = tables.kept_file, tables.transfer
    if not with_peers:
        return file
    return file.outerjoin(transfer, transfer.c.id == sa.func.coalesce(file.c.transfer, file.c.id))


def _peer(*, with_peers: bool) -> sa.ColumnElement[str]:
    return PEER if with_peers else sa.literal_column("''")


def _kept(row: sa.Row[Any]) -> Kept:
    """A file as it counts: one that was given back as where it was before, a part with its account."""
    kept = Kept(*row[:_OWN])
    folder, path, *how = row[_OWN:]
    if folder is not None:
        returned = Returned(kept.folder, kept.path, *how)
        kept = replace(kept, folder=folder, path=path, returned=returned)
    if kept.folder == STAGING:
        kept = replace(kept, peer=account_of(kept.path))
    return kept


@cache
def _rows(*, of_link: bool, with_peers: bool) -> Statement:
    file = tables.kept_file.c
    columns = (file.id, file.link, file.folder, file.path, file.received_at, file.accessed_at)
    query = (
        sa.select(*columns, _peer(with_peers=with_peers))
        .select_from(_known(with_peers=with_peers))
        .where(file.state == "present")
    )
    if of_link:
        query = query.where(file.link == sa.bindparam("link"))
    return Statement(query.order_by(file.received_at, file.id))


def rows(conn: sa.Connection, link: str | None, *, with_peers: bool) -> Iterator[Row]:
    """The files in our care that are present, of one link or of all, in the order of their receipt."""
    of = {} if link is None else {"link": link}
    found = _rows(of_link=link is not None, with_peers=with_peers).batches(conn, **of)
    return chain.from_iterable(map(_with_accounts, found))


def _with_accounts(rows: Sequence[Row]) -> Sequence[Row]:
    return [(*row[:6], account_of(row[3])) if row[2] == STAGING else row for row in rows]


def singled_out(conn: sa.Connection, link: str | None, *, with_peers: bool) -> dict[str, Kept]:
    """The files of which a row does not say enough, by their ids: those given back, and copies in a vault."""
    file = tables.kept_file.c
    found = given_back(conn, link, with_peers=with_peers)
    for of in _links(conn) if link is None else [link]:
        found += kept_files(conn, file.link == of, file.folder == vaulted.FOLDER, with_peers=with_peers)
    return {kept.id: kept for kept in found}


def given_back(conn: sa.Connection, link: str | None, *, with_peers: bool) -> list[Kept]:
    """The files that were given back, of one link or of all."""
    file = tables.kept_file.c
    back = [file.id.in_(sa.select(tables.returned.c.file)), *([] if link is None else [file.link == link])]
    return kept_files(conn, *back, with_peers=with_peers)


def count(conn: sa.Connection, link: str, *where: sa.ColumnElement[bool], with_peers: bool = False) -> int:
    """How many files of a link are in our care, present and meet the conditions.

    With peers these may be on `PEER`, but an unfinished upload has none there.
    """
    file = tables.kept_file.c
    query = (
        sa.select(sa.func.count())
        .select_from(_known(with_peers=with_peers))
        .where(file.link == link, file.state == "present", *where)
    )
    return conn.scalar(query) or 0


def _links(conn: sa.Connection) -> Iterator[str]:
    """The links of all files: asked for one by one, they are read off an index, and files are not."""
    ((link,),) = _FIRST_LINK.fetch(conn)
    while link is not None:
        yield link
        ((link,),) = _NEXT_LINK.fetch(conn, after=link)


def account_of(path: bytes) -> str:
    """The account of an unfinished upload, with which its path begins."""
    return path.split(b"/", 1)[0].decode("utf-8", "backslashreplace")
