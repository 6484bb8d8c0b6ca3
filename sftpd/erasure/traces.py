"""What the ledger keeps of a file's name and content, and how it follows when they go."""

import json
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from sftpd.erasure.erasures import Digests
from sftpd.erasure.gone_names import forget_disposals, know_at_remote
from sftpd.erasure.plan import Place
from sftpd.files.fingerprint import Fingerprint
from sftpd.ledger import tables
from sftpd.ledger.writer import Unit

_file = tables.kept_file
_opening = tables.opening
_NOWHERE = b"erased"
"""The path of a transfer that still looks for its file: it finds none, and ends."""


def reference(conn: sa.Connection, link: str, place: Place) -> str | None:
    """The id under which the file at this place was received; None for a file that was not."""
    return conn.scalar(sa.select(_file.c.id).where(*_at(link, place)))


def crossed(
    conn: sa.Connection, link: str, place: Place, old: Fingerprint | None
) -> tuple[set[str], set[str]]:
    """The ids of the transfers by which the file at this place crossed the link, and the hashes it had."""
    columns = (_file.c.id, _file.c.transfer, _file.c.sha256)
    rows = list(conn.execute(sa.select(*columns).where(*_at(link, place))))
    hashes = {row.sha256 for row in rows if row.sha256} | ({old.sha256.hex()} if old else set())
    return {row.transfer or row.id for row in rows}, hashes


def names(conn: sa.Connection, crossings: Iterable[str]) -> set[bytes]:
    """The last names that the files of transfers had on their way."""
    t = tables.transfer.c
    rows = conn.execute(sa.select(t.path, t.placed_as, t.delivered_as).where(t.id.in_(crossings)))
    return {path.rpartition(b"/")[2] for row in rows for path in row if path}


def transfers(conn: sa.Connection, link: str, place: Place, old: Fingerprint | None) -> list[str]:
    """The ids of the transfers by which the file at this place, or its content, crossed the link."""
    own, hashes = crossed(conn, link, place, old)
    t = tables.transfer.c
    same = conn.scalars(sa.select(t.id).where(t.link == link, t.sha256.in_(hashes)))
    return sorted({*own, *same})


def erased(unit: Unit, link: str, place: Place, digests: Digests) -> None:
    """Note that a file is gone: its name and hash leave the ledger.

    A fetched file stays known by a digest, for its remote may offer it still.
    """
    received = list(unit.conn.scalars(sa.select(_file.c.id).where(*_at(link, place))))
    crossed = [*received, *_left_without_file(unit.conn, received)]
    unit.conn.execute(
        _file.update()
        .where(_file.c.id.in_(received))
        .values(state="erased", path=b"", sha256="", changed_at=unit.now)
    )
    was = tables.returned.update().where(tables.returned.c.file.in_(received))
    unit.conn.execute(was.values(path=b""))
    _forget_ways_back(unit, received)
    forget_disposals(unit, received)
    know_at_remote(unit, crossed, digests)
    transfers = tables.transfer.update().where(tables.transfer.c.id.in_(crossed))
    unit.conn.execute(
        transfers.values(path=b"", placed_as=None, temporary=None, delivered_as=None, sha256="")
    )


def _forget_ways_back(unit: Unit, files: Sequence[str]) -> None:
    """Forget the names and hashes in the transfers by which files go back, or went.

    One that waits ends without its file, and then knows by `temporary` alone what to take back; one that is
    being placed may have its name at the remote already.
    """
    t = tables.transfer.c
    went = sa.select(tables.returned.c.transfer).where(tables.returned.c.file.in_(files))
    nameless = sa.case((t.not_before.is_(None), sa.null()), else_=t.temporary)
    row = tables.transfer.update().where(t.id.in_(went), t.state != "placing")
    unit.conn.execute(row.values(path=_NOWHERE, delivered_as=None, sha256="", temporary=nameless))


def redacted(unit: Unit, link: str, place: Place, new: Fingerprint, seen: str) -> None:
    """Note what a received file, and its mark, is now; its old hash leaves the ledger."""
    received = list(unit.conn.scalars(sa.select(_file.c.id).where(*_at(link, place))))
    unit.conn.execute(
        _file.update()
        .where(_file.c.id.in_(received))
        .values(source=seen, size=new.size, sha256=new.sha256.hex())
    )
    crossed = tables.transfer.update().where(tables.transfer.c.id.in_(received))
    unit.conn.execute(crossed.values(sha256=""))


def forget(unit: Unit, transfers: Sequence[str], reason: str | None) -> None:
    """Forget the names and hashes of an order's files, by their transfers, and the reason that it gave."""
    known = sa.select(_file.c.folder, _file.c.path, _file.c.sha256).where(_file.c.id.in_(transfers))
    told = {json.dumps(reason)}
    for folder, path, sha256 in unit.conn.execute(known):
        name = path.decode("utf-8", "backslashreplace")
        told |= {json.dumps(value) for value in (sha256, name, f"/{folder}/{name}")}
    opened = _opening.c.field.in_(("sha256", "path", "reason")), _opening.c.value.in_(told)
    unit.conn.execute(_opening.delete().where(*opened))
    unit.conn.execute(_file.update().where(_file.c.id.in_(transfers)).values(path=b"", sha256=""))
    crossed = tables.transfer.update().where(tables.transfer.c.id.in_(transfers))
    unit.conn.execute(crossed.values(path=b"", sha256=""))


def _left_without_file(conn: sa.Connection, copies: list[str]) -> list[str]:
    """The transfers that copies in the vault are of, but for those whose file is in our care."""
    original = _file.alias()
    here = sa.exists().where(original.c.id == _file.c.transfer, original.c.state == "present")
    query = sa.select(_file.c.transfer).where(_file.c.id.in_(copies), _file.c.transfer.is_not(None), ~here)
    return list(conn.scalars(query))


def _at(link: str, place: Place) -> tuple[sa.ColumnElement[bool], ...]:
    folder, path = place
    return (*tables.at_place(link, folder, b"/".join(path)), _file.c.state == "present")
