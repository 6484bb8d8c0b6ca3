"""Names of files that are here no more: where the ledger still tells them, and how it forgets a person's."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from sftpd.erasure import openings
from sftpd.erasure.contents import Searchable
from sftpd.erasure.erasures import Digests
from sftpd.erasure.file_names import file_name_carries
from sftpd.erasure.identifiers import Identifier, fold
from sftpd.erasure.plan import Parts
from sftpd.errors import SftpdError
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.writer import Unit

_PAGE = 1000
"""Names that are looked at together."""
_STATES = ("present", "replaced", "withdrawn", "disposed", "erased", "absent")
"""The states of files in our care in which nothing is under way with them."""
_ENDED = ("done", "quarantined", "failed", "skipped", "vanished", "cancelled")

_file, _transfer = tables.kept_file, tables.transfer


class Gone(NamedTuple):
    """What is to be forgotten: files and transfers, by their ids, the paths of these, and events.

    `events` tell such paths, `contents` what was erased, each with whether a file of that content is gone.
    """

    files: Sequence[str]
    transfers: Sequence[str]
    names: frozenset[str]
    events: Sequence[str]
    contents: Mapping[str, bool]


def look(
    conn: sa.Connection,
    link: str,
    request: str,
    identifiers: Sequence[Identifier],
    folders: Sequence[Searchable],
    removed: Iterable[Parts],
) -> Gone:
    """The files and transfers of a link that are over and whose names carry a person, and what tells of such.

    A file that is not in its folder any more, as its consumer took it, is over. `removed` are paths of what
    the request has erased. Events tell also what files were called before and after.
    """
    by_name = {folder.name: folder for folder in folders}
    files = list(_carrying(conn, _file, link, identifiers))
    moved = list(_carrying(conn, _transfer, link, identifiers))
    here = [row for row in files if row.state not in _STATES or _is_there(by_name, row)]
    ids = {row.id for row in here}
    over = [row for row in files if row.id not in ids]
    transfers = [row for row in moved if row.state in _ENDED and row.id not in ids]
    names = frozenset(_text(row.path) for row in (*over, *transfers))
    known = names.union(
        _text(b"/".join(path)) for path in removed if file_name_carries(identifiers, path[-1])
    )
    under_way = [row for row in moved if row.state not in _ENDED]
    kept = {_text(row.path) for row in (*here, *under_way)} - known
    events = openings.of_names(conn, link, identifiers, known, kept)
    contents = openings.of_contents(conn, request)
    return Gone([row.id for row in over], [row.id for row in transfers], names, events, contents)


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
    openings.forget(unit, gone.events, openings.OF_NAMES)
    openings.forget_contents(unit, gone.contents)


def forget_disposals(unit: Unit, files: Collection[str]) -> None:
    """Forget the names in what retention has done with files, by their ids."""
    row, done = tables.disposal.c, tables.disposal.update()
    here = (row.file.in_(files), row.done_at.is_not(None))
    unit.conn.execute(done.where(*here).values(path=b"", copies=[]))


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
    conn: sa.Connection, table: sa.Table, link: str, identifiers: Sequence[Identifier]
) -> Iterator[Any]:
    """The rows of a link whose paths carry an identifier in the name of the file."""
    query = sa.select(table.c.id, table.c.path, table.c.folder, table.c.state)
    query = query.where(table.c.link == link, table.c.path != b"")
    for rows in conn.execute(query.execution_options(yield_per=_PAGE)).partitions():
        together = fold("\n".join(row.path.decode("utf-8", "replace") for row in rows))
        if any(identifier.may_be_in(together) for identifier in identifiers):
            for row in rows:
                if file_name_carries(identifiers, row.path.rpartition(b"/")[2]):
                    yield row


def _is_there(folders: Mapping[str, Searchable], row: Any) -> bool:
    """Whether a file that should be present is; where one cannot look it counts as there."""
    if row.state != "present":
        return False
    if row.folder not in folders:
        return True
    try:
        with folders[row.folder].open() as contents:
            os.close(contents.open(tuple(row.path.split(b"/")))[0])
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, SftpdError):
        return True
    return True


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
