"""A restored ledger takes its files on: they have other inodes now, and it knew them by these.

Between the copy of the ledger and that of a file the instance went on. What was received or moved since is
there and the ledger does not know it; what was taken away since is known and not there. Both are told, in the
audit log too, so that nothing is lost in silence.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from sftpd.audit.event import seal
from sftpd.backup.manifest import Summary
from sftpd.clock import Clock
from sftpd.files.beneath import Parts
from sftpd.files.naming import reason_beside
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link import vaulted
from sftpd.link.folders import Folders

TOLD = 1000
"""Files of each kind that are named; all are counted."""
_BATCH = 500
_OURS = frozenset(("inbound", "quarantine", "failed", "sent", "download", "held"))
"""Folders in which all files have been recorded before they came there."""

_REASON = reason_beside(b"")
"""What the name of a note beside a file that was put aside ends with."""

_file, _transfer = tables.kept_file, tables.transfer
_moved = sa.Table(
    "moved",
    sa.MetaData(),
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("was", sa.Text, primary_key=True),
    sa.Column("now", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("path", sa.LargeBinary, nullable=False),
    prefixes=["TEMPORARY"],
)


class Moved(NamedTuple):
    """A file of a link: its path in the folder of the link, and its mark in the ledger then and now."""

    link: str
    path: Parts
    was: str
    now: str


class Place(NamedTuple):
    """Where a file is, or should be."""

    link: str
    folder: str
    path: bytes


@dataclass(frozen=True, slots=True)
class Adopted:
    """Where ledger and files do not agree: how many, and the first of them."""

    missing: int
    unknown: int
    first_missing: tuple[Place, ...]
    first_unknown: tuple[Place, ...]


def adopt(
    database: Path, moved: Iterable[Moved], summary: Summary, clock: Clock, also: Callable[[Unit], None]
) -> Adopted:
    """Bring a ledger up to where its files are now, and record what is not there and what it does not know.

    With it `also` is done. Raises LedgerError.
    """

    def work(unit: Unit) -> Adopted:
        adopted = _adopt(unit, moved, summary)
        also(unit)
        return adopted

    source = f"sftpd://{summary.instance}"
    ledger = Ledger.open(f"sqlite:///{database}", clock=clock, seal=functools.partial(seal, source=source))
    try:
        return ledger.write(work)
    finally:
        ledger.close()


def _adopt(unit: Unit, moved: Iterable[Moved], summary: Summary) -> Adopted:
    _moved.create(unit.conn)
    rows = ({"link": f.link, "was": f.was, "now": f.now, **_place(f)} for f in moved)
    insert = _moved.insert().prefix_with("OR IGNORE")
    while batch := list(islice(rows, _BATCH)):
        unit.conn.execute(insert, batch)
    missing = _missing(unit.conn)
    for table in (_file, _transfer):
        _take_on(unit.conn, table)
    unknown = _unknown(unit.conn)
    # They are other directories now, by the word of who restores them.
    unit.conn.execute(tables.folder_mark.delete())
    for event, places in (("backup.file_missing", missing), ("backup.file_unknown", unknown)):
        for place in places[:TOLD]:
            path = {"path": place.path.decode("utf-8", "backslashreplace")}
            unit.record(Event(event, place.link, {"folder": place.folder}, path))
    public = {"made": summary.made, "epoch": summary.epoch, "files": summary.files}
    counts = {"missing": len(missing), "unknown": len(unknown)}
    unit.record(Event("backup.restored", None, public | counts))
    _freeze_retention(unit, f"the ledger is of {summary.made}: what was held or withdrawn since is not known")
    _moved.drop(unit.conn)
    return Adopted(len(missing), len(unknown), tuple(missing[:TOLD]), tuple(unknown[:TOLD]))


def _freeze_retention(unit: Unit, text: str) -> None:
    """Have nothing disposed of until somebody confirms that what was held since the backup is held again."""
    freeze = tables.freeze
    everywhere = {"link": "", "folder": "", "reason": "RESTORED"}
    unit.conn.execute(freeze.delete().filter_by(**everywhere))
    unit.conn.execute(freeze.insert().values(**everywhere, text=text, since=unit.now))
    unit.record(Event("retention.frozen", None, {"reasons": ["RESTORED"]}, {"texts": [text]}))


def _take_on(conn: sa.Connection, table: sa.Table) -> None:
    same = sa.and_(_moved.c.link == table.c.link, _moved.c.was == table.c.source)
    now = sa.select(_moved.c.now).where(same).scalar_subquery()
    conn.execute(table.update().where(sa.exists().where(same)).values(source=now))


def _missing(conn: sa.Connection) -> list[Place]:
    """Files in our care that were not in the backup, but for copies in the vault, which have no marks."""
    there = sa.exists().where(_moved.c.link == _file.c.link, _moved.c.was == _file.c.source)
    query = sa.select(_file.c.link, _file.c.folder, _file.c.path).where(
        _file.c.state == "present", _file.c.folder != vaulted.FOLDER, ~there
    )
    return [Place(*row) for row in conn.execute(query.order_by(_file.c.id))]


def _unknown(conn: sa.Connection) -> list[Place]:
    """Files in folders of ours that the ledger knows nothing of."""
    known = [
        sa.exists().where(table.c.link == _moved.c.link, table.c.source == _moved.c.now)
        for table in (_file, _transfer)
    ]
    query = sa.select(_moved.c.link, _moved.c.folder, _moved.c.path).where(
        _moved.c.folder.in_(_OURS), *(~each for each in known)
    )
    ordered = query.order_by(_moved.c.link, _moved.c.folder, _moved.c.path)
    return [Place(*row) for row in conn.execute(ordered) if not row.path.endswith(_REASON)]


def _place(file: Moved) -> dict[str, str | bytes]:
    """The folder of a link that a file is in, as the ledger names it, and its path there; else its path."""
    for parts, name in _names():
        if file.path[: len(parts)] == parts and len(file.path) > len(parts):
            return {"folder": name, "path": b"/".join(file.path[len(parts) :])}
    return {"folder": "", "path": b"/".join(file.path)}


@functools.cache
def _names() -> tuple[tuple[Parts, str], ...]:
    root = Path("link")
    return tuple(
        (tuple(part.encode() for part in path.relative_to(root).parts), name)
        for name, path in Folders(root).by_name().items()
    )
