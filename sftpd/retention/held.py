"""Which files of the ledger, and which paths, are under a hold."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

import sqlalchemy as sa

from sftpd.errors import NotFoundError
from sftpd.ledger import tables
from sftpd.ledger.statement import Statement
from sftpd.link import aside, vaulted
from sftpd.retention import holds
from sftpd.retention.disposal import OFFERED
from sftpd.retention.hold import Hold, HoldBook
from sftpd.retention.in_care import NOT_GIVEN_BACK, PEER, count, given_back, kept_files, rows, singled_out
from sftpd.retention.many import Row, coverable
from sftpd.retention.rule import STAGING, Kept, place
from sftpd.retention.scope import (
    OfAccount,
    OfFile,
    OfFolder,
    OfLink,
    OfQuery,
    OfSubject,
    OfTransfer,
    Scope,
)

_hold, _file, _transfer = tables.hold.c, tables.kept_file.c, tables.transfer.c
PLACED = Statement(
    sa.select(_hold.id).where(_hold.link == sa.bindparam("link"), _hold.released_at.is_(None)).limit(1)
)
"""A row where a link has a hold that was not released; one that has run out counts."""
ANYWHERE = Statement(sa.select(_hold.id).where(_hold.released_at.is_(None)).limit(1))
"""The same of all links."""

_KEPT = frozenset({"inbound", "requests", "quarantine", "sent", "failed", aside.FOLDER, vaulted.FOLDER})
"""The folders whose files it knows as kept."""
_ELSEWHERE = (aside.FOLDER, STAGING)
"""The folders of files that count as lying elsewhere, or whose accounts their paths tell."""
_FEW = 8
"""Up to so many holds of a link are counted with a query each; more are by reading its files once."""
_AT_ONCE = 10_000
"""Rows of files that are looked at together."""


def on_path(conn: sa.Connection, now: datetime, link: str, folder: str, path: bytes) -> Hold | None:
    """The oldest hold that stands over the file at a path; with no hold on the link one look tells."""
    if not PLACED.fetch(conn, link=link):
        return None
    file = _at(conn, now, link, folder, path)
    found = HoldBook(holds.standing(conn, now, link, file.id, file.crossed_by), now).on(file)
    return found[0] if found else None


def as_of(conn: sa.Connection, now: datetime, files: Collection[Kept]) -> Callable[[Kept], bool]:
    """Says whether a hold that stands at `now` covers one of `files`, each as it lies.

    It goes by what the ledger knows: one that was given back has lain elsewhere, and an unfinished upload
    that goes with another file is a file of its own.
    """
    book = HoldBook(holds.standing(conn, now), now)
    if not book:
        return lambda _: False
    parts = [file.path for file in files if file.folder == STAGING]
    known = kept_files(
        conn,
        _file.id.in_([file.id for file in files]) | ((_file.folder == STAGING) & _file.path.in_(parts)),
        with_peers=book.by_peer,
    )
    by_id = {file.id: file for file in known}
    staged = {(file.link, file.path): file for file in known if file.folder == STAGING}

    def covers(file: Kept) -> bool:
        lying = staged.get((file.link, file.path)) if file.folder == STAGING else None
        return any(book.on(one) for one in (file, by_id.get(file.id), lying) if one is not None)

    return covers


def covered(conn: sa.Connection, holds: Sequence[Hold]) -> dict[str, int]:
    """How many files in our care are in the scope of each hold now, whether or not it stands, by its id.

    Those of a link are read at most once, however many holds there are.
    """
    counts = {hold.id: 0 for hold in holds}
    on_many: dict[str, list[Hold]] = {}
    for hold in holds:
        if (named := hold.scope.names) is None:
            on_many.setdefault(hold.link, []).append(hold)
        else:
            here = _file.id == named
            if isinstance(hold.scope, OfTransfer):
                here |= _file.transfer == named
            counts[hold.id] = count(conn, hold.link, here)
    for link, those in on_many.items():
        counts |= _covered_by(conn, link, those)
    return counts


def _covered_by(conn: sa.Connection, link: str, holds: Sequence[Hold]) -> dict[str, int]:
    """The same of holds on many files of a link."""
    told = {hold.id: where for hold in holds if (where := _conditions(hold.scope)) is not None}
    if len(told) > _FEW:
        told = {}
    by_rows = [hold for hold in holds if hold.id not in told]
    counts = _counted_by_rows(conn, link, by_rows) if by_rows else {}
    return counts | _counted_by_ledger(conn, link, [hold for hold in holds if hold.id in told], told)


def _counted_by_ledger(
    conn: sa.Connection,
    link: str,
    holds: Sequence[Hold],
    told: Mapping[str, Sequence[sa.ColumnElement[bool]]],
) -> dict[str, int]:
    """The same where conditions decide, for each hold with a query of its own."""
    if not holds:
        return {}
    by_peer = any(hold.scope.by_peer for hold in holds)
    special = given_back(conn, link, with_peers=by_peer)
    for folder in _ELSEWHERE:
        found = kept_files(conn, _file.link == link, _file.folder == folder, with_peers=by_peer)
        special += [file for file in found if file.returned is None]
    counts = {}
    for hold in holds:
        where = (*told[hold.id], _file.folder.not_in(_ELSEWHERE), NOT_GIVEN_BACK)
        plain = count(conn, link, *where, with_peers=hold.scope.by_peer)
        counts[hold.id] = plain + sum(map(hold.covers, special))
    return counts


def _conditions(scope: Scope) -> Sequence[sa.ColumnElement[bool]] | None:
    """What is true of the files that a hold covers where they lie; None where the ledger cannot tell."""
    match scope:
        case OfLink() | OfSubject(searched_at=None):
            return ()
        case OfFolder():
            return (_file.folder == scope.folder,)
        case OfAccount():
            return (PEER.in_([scope.account]),)
        case OfQuery(glob=None):
            bounds = (
                None if scope.folder is None else _file.folder == scope.folder,
                None if scope.account is None else PEER.in_([scope.account]),
                None if scope.since is None else _file.received_at >= scope.since,
                None if scope.before is None else _file.received_at < scope.before,
            )
            return [bound for bound in bounds if bound is not None]
        case _:
            return None


def _counted_by_rows(conn: sa.Connection, link: str, holds: Sequence[Hold]) -> dict[str, int]:
    """The same where names or places of files decide: of most files a row says enough."""
    with_peers = any(hold.scope.by_peer for hold in holds)
    special = singled_out(conn, link, with_peers=with_peers)
    put_aside = kept_files(conn, _file.link == link, _file.folder == aside.FOLDER, with_peers=with_peers)
    special |= {file.id: file for file in put_aside}
    counts = {hold.id: sum(map(hold.covers, special.values())) for hold in holds}
    known = rows(conn, link, with_peers=with_peers)
    found = (row for row in known if row[0] not in special)
    while batch := list(islice(found, _AT_ONCE)):
        for folder, those in _by_folder(batch).items():
            for hold in holds:
                counts[hold.id] += len(coverable(hold.scope, folder, those))
    return counts


def _by_folder(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[2]].append(row)
    return found


def find_file(conn: sa.Connection, link: str, named: str) -> OfFile:
    """The file in our care that is named as in a plan (`inbound/report.csv`) or by its id.

    Raises NotFoundError.
    """
    folder, slash, path = named.partition("/")
    where = (
        (_file.folder == folder, _file.path == path.encode("utf-8", "surrogateescape"))
        if slash
        else (_file.id == named,)
    )
    columns = (_file.id, _file.folder, _file.path)
    row = conn.execute(
        sa.select(*columns).where(_file.link == link, _file.state == "present", *where)
    ).first()
    if row is None:
        raise NotFoundError(
            f"no file {named!r} is in our care",
            where=f"link {link}",
            expected="a path as sftpd retention plan shows it, such as inbound/report.csv, or a file's id",
        )
    return OfFile(row.id, place(row.folder, row.path))


def find_transfer(conn: sa.Connection, link: str, transfer: str) -> OfTransfer:
    """The transfer of that id, which may still be under way. Raises NotFoundError."""
    where = (_transfer.id == transfer, _transfer.link == link)
    if conn.scalar(sa.select(_transfer.id).where(*where)) is None:
        raise NotFoundError(
            f"no transfer {transfer!r}", where=f"link {link}", remedy="see sftpd transfer list"
        )
    return OfTransfer(transfer)


def has_peer(conn: sa.Connection, link: str, peer: str) -> bool:
    """Whether any file of the link came from, or went to, an account or remote of that name."""
    query = sa.select(_transfer.id).where(_transfer.peer == peer, _transfer.link == link).limit(1)
    return conn.scalar(query) is not None


def _at(conn: sa.Connection, now: datetime, link: str, folder: str, path: bytes) -> Kept:
    """What is known of the file at a path."""
    found = kept_files(conn, *tables.at_place(link, folder, path), with_peers=True)
    if found:
        return found[0]
    unrecorded = Kept(id="", link=link, folder=folder, path=path, source="", received_at=now)
    if folder in _KEPT:
        return unrecorded
    # What was sent and is not kept lies in `download`, or is still in its watched folder.
    where = (
        (_transfer.folder == folder, sa.func.coalesce(_transfer.delivered_as, _transfer.path) == path)
        if folder == OFFERED
        else (_transfer.folder.is_(None), _transfer.path == path)
    )
    query = (
        sa.select(_transfer.id, _transfer.peer, _transfer.began_at)
        .where(_transfer.link == link, _transfer.direction == "outbound", *where)
        .order_by(_transfer.id.desc())
    )
    row = conn.execute(query).first()
    return (
        unrecorded if row is None else replace(unrecorded, id=row.id, peer=row.peer, received_at=row.began_at)
    )
