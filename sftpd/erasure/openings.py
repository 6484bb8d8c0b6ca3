"""What opens the commitments of events to names and contents: looked for, and forgotten.

All openings are read for it, once for a request: an index of them would cost every event that is recorded.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

import sqlalchemy as sa

from sftpd.erasure.file_names import file_name_carries
from sftpd.erasure.identifiers import Identifier, fold
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.writer import Unit
from sftpd.link.folders import NAMES

OF_NAMES = ("path", "new_path", "delivered_as", "returned_as", "copies", "paths")
"""The private values of events that are paths; `copies` and `paths` are several."""
OF_HASHES = ("sha256",)
OF_FILES = (*OF_HASHES, "path", "delivered_as")
"""Those of a content, and of a file with the name that it crossed the link under."""

_PAGE = 1000
"""Openings that are looked at together."""
_BEFORE = ("", "/upload/", "/download/", "/requests/", "/receipts/", *(f"{folder}/" for folder in NAMES))
"""What stands before the path of a file in these: nothing, where the partner sees it, or its folder."""

_opening, _content = tables.opening, tables.erasure_content


def of_names(
    conn: sa.Connection,
    link: str,
    identifiers: Sequence[Identifier],
    known: Collection[str],
    kept: Collection[str],
) -> list[str]:
    """The events of a link that tell a name which carries a person, but for those of files that are `kept`.

    Of an event from before openings knew their log it counts whether the name is a `known` one.
    """
    known, kept = _told(known), _told(kept)
    columns = (_opening.c.event, _opening.c.log, _opening.c.value)
    mine = sa.or_(_opening.c.log == link, _opening.c.log.is_(None))
    query = sa.select(*columns).where(_opening.c.field.in_(OF_NAMES), mine)
    found: dict[str, None] = {}
    for rows in conn.execute(query.execution_options(yield_per=_PAGE)).partitions():
        values = [each if isinstance(each, list) else [each] for each in _values(row.value for row in rows)]
        together = fold("\n".join(path for paths in values for path in paths))
        may = any(identifier.may_be_in(together) for identifier in identifiers)
        for (event, log, _), paths in zip(rows, values, strict=True):
            for path in paths:
                carries = may and log is not None and path not in kept and _carries(identifiers, path)
                if path in known or carries:
                    found[event] = None
    return list(found)


def of_contents(conn: sa.Connection, request: str) -> dict[str, bool]:
    """The events that tell of contents which a request has removed, and whether a file with one is gone."""
    hash_told = sa.func.substr(_opening.c.value, 2, 64)  # without the quotes of JSON
    both = sa.and_(_content.c.request == request, _content.c.sha256 == hash_told)
    query = sa.select(_opening.c.event, _content.c.whole).join(_content, both)
    rows = conn.execute(query.where(_opening.c.field.in_(OF_HASHES)))
    return {row.event: row.whole for row in rows}


def of_hashes(conn: sa.Connection, hashes: Iterable[str]) -> list[str]:
    """The events that tell of contents with these hashes."""
    told = [json.dumps(value) for value in hashes]
    query = sa.select(_opening.c.event).where(_opening.c.field.in_(OF_HASHES), _opening.c.value.in_(told))
    return list(conn.scalars(query))


def forget_contents(unit: Unit, told: Mapping[str, bool]) -> None:
    """Let nobody open the commitments of events to contents, nor to names where a file with one is gone."""
    forget(unit, [event for event, whole in told.items() if whole], OF_FILES)
    forget(unit, [event for event, whole in told.items() if not whole], OF_HASHES)


def forget(unit: Unit, events: Sequence[str], fields: Sequence[str]) -> None:
    """Let nobody open the commitments of events to these fields.

    A small file can be guessed from its hash, so the hash is personal data while it can be opened.
    """
    for some in in_parts(events):
        unit.conn.execute(_opening.delete().where(_opening.c.event.in_(some), _opening.c.field.in_(fields)))


def _values(values: Iterable[str]) -> list[str | list[str]]:
    """What is written in JSON each, read together."""
    read: list[str | list[str]] = json.loads(f"[{','.join(values)}]")
    return read


def _told(names: Iterable[str]) -> frozenset[str]:
    """The names as events may tell them."""
    return frozenset(f"{before}{name}" for name in names for before in _BEFORE)


def _carries(identifiers: Sequence[Identifier], path: str) -> bool:
    return file_name_carries(identifiers, path.rpartition("/")[2].encode("utf-8", "surrogatepass"))
