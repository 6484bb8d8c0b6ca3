"""Events on their way to the audit log: written beside the state they tell of, taken by the sequencer."""

import json
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from sftpd.ledger import tables
from sftpd.ledger.statement import Statement, inserting

SYSTEM_LOG = "system"
"""The log of events that belong to no link."""

_ADD = inserting(tables.outbox, "seq")
_KEEP_OPENING = inserting(tables.opening)
_REMOVE = Statement(tables.outbox.delete().where(tables.outbox.c.seq == sa.bindparam("taken")))


@dataclass(frozen=True, slots=True)
class Event:
    """A fact to record: public values stand in the audit leaf, private ones are only committed to."""

    type: str
    link: str | None = None
    public: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> str:
        """The name of the log the event belongs to."""
        return self.link or SYSTEM_LOG


class Opening(Protocol):
    """What opens one commitment."""

    @property
    def field(self) -> str:
        """The name of the private field."""
        ...

    @property
    def nonce(self) -> bytes:
        """The random key of the commitment."""
        ...

    @property
    def value(self) -> Any:
        """The value committed to, as JSON has it."""
        ...


class Sealed(Protocol):
    """An event in the form the audit log keeps."""

    @property
    def leaf(self) -> bytes:
        """The bytes the log hashes."""
        ...

    @property
    def openings(self) -> Sequence[Opening]:
        """What opens the leaf's commitments."""
        ...


class Seal(Protocol):
    """Makes a leaf and the openings of its commitments out of an event."""

    def __call__(
        self,
        *,
        event_id: str,
        type: str,
        time: datetime,
        link: str | None,
        public: Mapping[str, Any],
        private: Mapping[str, Any],
    ) -> Sealed:
        """Seal one event."""
        ...


@dataclass(frozen=True, slots=True)
class Pending:
    """An event in the outbox."""

    seq: int
    log: str
    event_id: str
    leaf: bytes


def put(conn: sa.Connection, entries: Sequence[tuple[str, str, Sealed]]) -> None:
    """Add sealed events to the outbox, each with its log and its id, and keep their openings."""
    _ADD.run(conn, *({"log": log, "event": event, "leaf": sealed.leaf} for log, event, sealed in entries))
    rows = [
        {"event": event, "field": o.field, "nonce": o.nonce, "value": json.dumps(o.value), "log": log}
        for log, event, sealed in entries
        for o in sealed.openings
    ]
    _KEEP_OPENING.run(conn, *rows)


def pending(conn: sa.Connection, limit: int, without: Collection[str] = ()) -> list[Pending]:
    """The oldest events not yet in their log, at most `limit`, in the order they were committed.

    Those of the logs in `without` are left out.
    """
    outbox = tables.outbox.c
    query = sa.select(outbox.seq, outbox.log, outbox.event, outbox.leaf).where(outbox.log.not_in(without))
    query = query.order_by(outbox.seq).limit(limit)
    return [Pending(*row) for row in conn.execute(query)]


def remove(conn: sa.Connection, events: Iterable[Pending]) -> None:
    """Take events out that their log now holds durably."""
    _REMOVE.run(conn, *({"taken": event.seq} for event in events))


def opened(
    conn: sa.Connection, events: Sequence[str], fields: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    """The values of these fields, or of all, that can still be opened, by event.

    `events` are at most some hundreds.
    """
    opening = tables.opening.c
    query = sa.select(opening.event, opening.field, opening.value).where(opening.event.in_(events))
    if fields is not None:
        query = query.where(opening.field.in_(fields))
    found: dict[str, dict[str, Any]] = {}
    for event, name, value in conn.execute(query):
        found.setdefault(event, {})[name] = json.loads(value)
    return found


def telling(conn: sa.Connection, log: str, text: str, most: int) -> set[str]:
    """The newest events of a log in which a value that can still be opened has a text, `most` at most."""
    opening = tables.opening.c
    stored = json.dumps(text)[1:-1]
    of_log = (opening.log == log) | opening.log.is_(None)
    query = sa.select(opening.event, opening.value).where(
        of_log, opening.value.contains(stored, autoescape=True)
    )
    rows = conn.execution_options(yield_per=1000).execute(query.order_by(opening.event))
    # LIKE may take letters of the other case for the same.
    return set(deque((event for event, value in rows if stored in value), maxlen=most))


def openings(conn: sa.Connection, event_id: str) -> dict[str, tuple[bytes, Any]]:
    """The openings that are left of an event: field → (nonce, value)."""
    opening = tables.opening.c
    query = sa.select(opening.field, opening.nonce, opening.value).where(opening.event == event_id)
    return {name: (nonce, json.loads(value)) for name, nonce, value in conn.execute(query)}
