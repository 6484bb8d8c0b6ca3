"""Standing approvals as rows of the ledger: of each link at most one stands."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from sftpd.errors import NotFoundError
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.retention.approval import Approval, RuleVersion

_approval = tables.approval


def standing(conn: sa.Connection, link: str | None = None) -> dict[str, Approval]:
    """The approvals that nobody has withdrawn or replaced, of one link or of all, by link."""
    query = sa.select(_approval).where(_approval.c.withdrawn_at.is_(None)).order_by(_approval.c.link)
    if link is not None:
        query = query.where(_approval.c.link == link)
    return {row.link: _read(row) for row in conn.execute(query)}


def give(unit: Unit, approval: Approval) -> None:
    """Enter an approval, which takes the place of the one that stands."""
    _end(unit, approval.link, approval.by)
    unit.conn.execute(
        _approval.insert().values(
            id=approval.id,
            link=approval.link,
            rules=[list(rule) for rule in sorted(approval.rules)],
            files=approval.files,
            until=approval.until,
            reason=approval.reason,
            given_by=approval.by,
            given_at=approval.given_at,
        )
    )
    said = approval.as_json()
    public = {name: said[name] for name in ("rules", "files", "until")}
    _tell(unit, "retention.approval_given", approval, public, approval.by, approval.reason)


def withdraw(unit: Unit, link: str, by: str, why: str) -> Approval:
    """End the approval that stands, and return it. Raises NotFoundError."""
    approval = standing(unit.conn, link).get(link)
    if approval is None:
        raise NotFoundError("no standing approval", where=link)
    _end(unit, link, by)
    _tell(unit, "retention.approval_withdrawn", approval, {}, by, why)
    return approval


def use(unit: Unit, approval: Approval, plan: str, steps: Mapping[RuleVersion, int]) -> None:
    """Record that the run of a plan rests on an approval."""
    public = {"plan": plan, "files": sum(steps.values())}
    _tell(unit, "retention.run_approved", approval, public, approval.by, approval.reason)


def _end(unit: Unit, link: str, by: str) -> None:
    stands = _approval.update().where(_approval.c.link == link, _approval.c.withdrawn_at.is_(None))
    unit.conn.execute(stands.values(withdrawn_by=by, withdrawn_at=unit.now))


def _tell(unit: Unit, type: str, approval: Approval, public: dict[str, Any], by: str, why: str) -> None:
    private = {"by": by, "reason": why}
    unit.record(Event(type, approval.link, {"approval": approval.id, **public}, private))


def _read(row: sa.Row[Any]) -> Approval:
    rules = frozenset((rule, version) for rule, version in row.rules)
    return Approval(row.id, row.link, rules, row.files, row.until, row.reason, row.given_by, row.given_at)
