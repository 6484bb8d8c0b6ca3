"""Uploads that nobody ended: what lies in staging has no transfer, so it is looked for."""

import stat
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import sqlalchemy as sa

from sftpd.errors import RefusedError
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import Snapshot, snapshot
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.names import new_id
from sftpd.retention.roots import Roots
from sftpd.retention.rule import STAGING

_file = tables.kept_file


def look(ledger: Ledger, roots: Roots, link: str) -> None:
    """Note what lies in the staging folder of a link; there is nothing where there was never one.

    Raises RefusedError where it cannot be seen, and LedgerError.
    """
    try:
        with ExitStack() as opened:
            area = roots.same((link, STAGING), opened)
            if area is not None:
                note(ledger, link, area)
    except OSError as error:
        raise RefusedError(
            f"unfinished uploads cannot be seen: {error}", reason="UNSEEN", where=f"link {link}"
        ) from error


def note(ledger: Ledger, link: str, area: Root) -> None:
    """Take what lies in the staging folder of a link into our care, each part since it was found as it is.

    One that was written to since it was found last is the same file, under the same holds, and counts as
    found now. Raises OSError, LedgerError.
    """
    found = {
        b"/".join(parts): snapshot(status) for parts, status in area.walk() if stat.S_ISREG(status.st_mode)
    }
    with ledger.read() as conn:
        query = sa.select(_file.c.path, _file.c.id, _file.c.source).where(*_present(link))
        known = {row.path: (row.id, row.source) for row in conn.execute(query)}
    gone = [file for path, (file, _) in known.items() if path not in found]
    changed = {
        file: found[path]
        for path, (file, source) in known.items()
        if path in found and str(found[path]) != source
    }
    fresh = {path: seen for path, seen in found.items() if path not in known}
    if gone or changed or fresh:
        ledger.write(lambda unit: _enter(unit, link, gone, changed, fresh))


def _enter(
    unit: Unit, link: str, gone: list[str], changed: Mapping[str, Snapshot], fresh: Mapping[bytes, Snapshot]
) -> None:
    for file in gone:
        row = _file.update().where(_file.c.id == file, _file.c.state == "present")
        unit.conn.execute(row.values(state="absent", changed_at=unit.now))
    for file, seen in changed.items():
        row = _file.update().where(_file.c.id == file, _file.c.state == "present")
        unit.conn.execute(row.values(**_found(unit, seen)))
        # What was decided was about what it was.
        unit.conn.execute(tables.review.delete().where(tables.review.c.file == file))
    for path, seen in fresh.items():
        values = {"id": new_id(unit.now), "link": link, "folder": STAGING, "path": path, "state": "present"}
        # What may still grow has no hash.
        unit.conn.execute(_file.insert().values(**values, sha256="", **_found(unit, seen)))


def _found(unit: Unit, seen: Snapshot) -> dict[str, Any]:
    """What is entered of a part that was found."""
    return {"source": str(seen), "size": seen.size, "received_at": unit.now, "changed_at": unit.now}


def _present(link: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _file.c.link == link, _file.c.folder == STAGING, _file.c.state == "present"
