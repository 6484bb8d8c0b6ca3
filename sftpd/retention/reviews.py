"""The review queue as rows of the ledger: files that somebody must decide on, and what was decided."""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.retention.rule import Review
from sftpd.retention.schedule import Item

_review, _file = tables.review, tables.kept_file


def given(conn: sa.Connection, link: str | None = None) -> dict[str, Review]:
    """What was decided of the files that are still here, of one link or of all, by their ids."""
    r = _review.c
    columns = (r.file, r.rule, r.rule_version, r.answer, r.until, r.reason, r.answered_by)
    query = _of(sa.select(*columns).where(r.answer.is_not(None)), link)
    return {row.file: Review(*row) for row in conn.execute(query)}


def waiting(conn: sa.Connection, link: str | None = None) -> dict[str, sa.Row[Any]]:
    """The rows of the files that wait, as was told last, by their ids."""
    query = _of(sa.select(_review).where(_review.c.answer.is_(None)), link)
    return {row.file: row for row in conn.execute(query)}


def waiting_by_link(conn: sa.Connection) -> Mapping[str, int]:
    """How many files of each link wait, as was told last."""
    query = _of(sa.select(_review.c.link, sa.func.count()).where(_review.c.answer.is_(None)), None)
    return {row[0]: row[1] for row in conn.execute(query.group_by(_review.c.link))}


def settle(unit: Unit, link: str, items: Iterable[Item]) -> None:
    """Have exactly `items` wait for their review, with an event for each that did not wait under its rule."""
    known = waiting(unit.conn, link)
    for item in items:
        row = known.pop(item.file.id, None)
        if row is None or (row.rule, row.rule_version) != _rule(item):
            _enter(unit, item)
            unit.record(Event("retention.review_asked", link, _public(item), {"path": item.file.place}))
    for file in known:
        unit.conn.execute(_review.delete().where(_review.c.file == file))


def answer(unit: Unit, item: Item, review: Review) -> None:
    """Enter what was decided of a file, with its event."""
    said = {"answer": review.answer, "until": review.until, "reason": review.reason}
    _enter(unit, item, **said, answered_by=review.by, answered_at=unit.now)
    until = None if review.until is None else review.until.isoformat()
    private = {"path": item.file.place, "reason": review.reason, "by": review.by}
    event = Event(f"retention.{review.answer}", item.file.link, _public(item) | {"until": until}, private)
    unit.record(event)


def _of(query: sa.Select[Any], link: str | None) -> sa.Select[Any]:
    """The same, of files that are still here."""
    # Joined, SQLite would begin with all files that are present.
    query = query.where(sa.exists().where(_file.c.id == _review.c.file, _file.c.state == "present"))
    return query if link is None else query.where(_review.c.link == link)


def _enter(unit: Unit, item: Item, **values: Any) -> None:
    unit.conn.execute(_review.delete().where(_review.c.file == item.file.id))
    rule, version = _rule(item)
    row = {"file": item.file.id, "link": item.file.link, "rule": rule, "rule_version": version}
    unit.conn.execute(_review.insert().values(**row, since=unit.now, **values))


def _rule(item: Item) -> tuple[str, int]:
    rule = item.decision.rule
    assert rule is not None
    return rule.id, rule.version


def _public(item: Item) -> dict[str, Any]:
    rule, version = _rule(item)
    return {"file": item.file.id, "rule": rule, "rule_version": version}
