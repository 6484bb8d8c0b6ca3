"""Names of files that are here no more: where the ledger still tells them, and how it forgets a person's."""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from sftpd.erasure.contents import Searchable
from sftpd.erasure.erasures import Digests
from sftpd.erasure.file_names import file_name_carries
from sftpd.erasure.identifiers import Identifier, fold
from sftpd.errors import SftpdError
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.writer import Unit
from sftpd.link.folders import NAMES

_PAGE = 1000
"""Names that are looked at together."""
_STATES = ("present", "replaced", "withdrawn", "disposed", "erased", "absent")
"""The states of files in our care in which nothing is under way with them."""
_ENDED = ("done", "quarantined", "failed", "skipped", "vanished")
_PATHS = ("path", "new_path", "delivered_as", "returned_as")
"""The private values of events that are paths; `copies` tell of others beside them."""
_BEFORE = ("", "/upload/", "/download/", "/requests/", "/receipts/", *(f"{folder}/" for folder in NAMES))
"""What stands before the path of a file in these: nothing, where the partner sees it, or its folder."""

_file, _transfer, _opening = tables.kept_file, tables.transfer, tables.opening


class Gone(NamedTuple):
    """What is to be forgotten: of which files, of which transfers, and the paths themselves."""

    files: Sequence[str]
    transfers: Sequence[str]
    names: frozenset[str]


def look(
    conn: sa.Connection, link: str, identifiers: Sequence[Identifier], folders: Sequence[Searchable]
) -> Gone:
    """The files and transfers of a link that are over and whose names carry a person.

    A file that is not in its folder any more, as its consumer took it, is over.
    """
    by_name = {folder.name: folder for folder in folders}
    files = list(_carrying(conn, _file, identifiers, _file.c.link == link, _file.c.state.in_(_STATES)))
    here = {row.id for row in files if row.state == "present" and _is_there(by_name, row.folder, row.path)}
    over = [row for row in files if row.id not in here]
    moved = _carrying(conn, _transfer, identifiers, _transfer.c.link == link, _transfer.c.state.in_(_ENDED))
    transfers = [row for row in moved if row.id not in here]
    names = frozenset(row.path.decode("utf-8", "backslashreplace") for row in (*over, *transfers))
    return Gone([row.id for row in over], [row.id for row in transfers], names)


def forget(unit: Unit, gone: Gone, digests: Digests) -> None:
    """Forget these names, where they are entered and where events tell them."""
    for some in in_parts(gone.files):
        state = sa.case((_file.c.state == "present", "absent"), else_=_file.c.state)
        unit.conn.execute(_file.update().where(_file.c.id.in_(some)).values(path=b"", state=state))
        returned = tables.returned.update().where(tables.returned.c.file.in_(some))
        unit.conn.execute(returned.values(path=b""))
        forget_disposals(unit, some)
    for some in in_parts(gone.transfers):
        know_at_remote(unit, some, digests)
        ended = _transfer.update().where(_transfer.c.id.in_(some))
        unit.conn.execute(ended.values(path=b"", placed_as=None, temporary=None, delivered_as=None))
    if gone.names:
        drop_openings(unit, gone.names)


def forget_disposals(unit: Unit, files: Collection[str]) -> None:
    """Forget the names in what retention has done with files, by their ids."""
    row, done = tables.disposal.c, tables.disposal.update()
    here = (row.file.in_(files), row.done_at.is_not(None))
    unit.conn.execute(done.where(*here).values(path=b"", copies=[]))


def drop_openings(unit: Unit, names: Iterable[str]) -> None:
    """Let nobody open the commitments of events to these names."""
    told = [json.dumps(f"{before}{name}") for name in names for before in _BEFORE]
    for some in in_parts(told):
        events = sa.select(_opening.c.event).where(_opening.c.field.in_(_PATHS), _opening.c.value.in_(some))
        for telling in in_parts(list(unit.conn.scalars(events))):
            here = (_opening.c.event.in_(telling), _opening.c.field.in_((*_PATHS, "copies")))
            unit.conn.execute(_opening.delete().where(*here))


def know_at_remote(unit: Unit, transfers: Sequence[str], digests: Digests) -> None:
    """Know fetched files by digests from now on: their remote may offer them still, and they are done."""
    t, attempt = tables.transfer.c, tables.attempt
    fetched = (t.id.in_(transfers), t.origin.is_not(None), t.path != b"")
    columns = (t.id, t.link, t.route, t.path, t.origin)
    for id_, of_link, route, path, origin in unit.conn.execute(sa.select(*columns).where(*fetched)).all():
        place = {"link": of_link, "route": route, "key": digests.fetched(path, origin)}
        same = [attempt.c[name] == value for name, value in place.items()]
        unit.conn.execute(attempt.delete().where(*same))
        unit.conn.execute(attempt.insert().values(transfer=id_, told=True, **place))


def _carrying(
    conn: sa.Connection, table: sa.Table, identifiers: Sequence[Identifier], *where: sa.ColumnElement[bool]
) -> Iterator[Any]:
    """The rows whose paths carry an identifier in the name of the file."""
    query = sa.select(table.c.id, table.c.path, table.c.folder, table.c.state)
    query = query.where(*where, table.c.path != b"")
    for rows in conn.execute(query.execution_options(yield_per=_PAGE)).partitions():
        together = fold("\n".join(row.path.decode("utf-8", "replace") for row in rows))
        if any(identifier.may_be_in(together) for identifier in identifiers):
            for row in rows:
                if file_name_carries(identifiers, row.path.rpartition(b"/")[2]):
                    yield row


def _is_there(folders: Mapping[str, Searchable], folder: str, path: bytes) -> bool:
    """Whether there is a file; where one cannot look it counts as there."""
    if folder not in folders:
        return True
    try:
        with folders[folder].open() as contents:
            os.close(contents.open(tuple(path.split(b"/")))[0])
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, SftpdError):
        return True
    return True
