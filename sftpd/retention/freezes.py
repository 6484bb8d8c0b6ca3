"""Freezes as rows of the ledger: what keeps retention from disposing of anything, each told of once."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link import beside
from sftpd.retention.disposal import REMOVED
from sftpd.retention.guards import RUNS, Reason

_freeze = tables.freeze


@dataclass(frozen=True, slots=True)
class Scope:
    """What is frozen; empty, `link` means all links and `folder` every folder."""

    link: str = ""
    folder: str = ""

    def __str__(self) -> str:
        """As people read it."""
        if beside.is_beside(self.folder):
            return f"{self.link} {self.folder}"
        return f"{self.link}/{self.folder}" if self.folder else self.link or "all links"


@dataclass(frozen=True, slots=True)
class Freeze:
    """A reason for which nothing in its scope is disposed of; `since` None: found now, and not told of."""

    scope: Scope
    reason: Reason
    since: datetime | None
    files: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The freeze as `sftpd retention plan --json` prints it."""
        since = None if self.since is None else self.since.isoformat()
        reason = {"reason": self.reason.code, "text": self.reason.text, "remedy": self.reason.remedy}
        return {**asdict(self.scope), **reason, "since": since}


def standing(conn: sa.Connection) -> list[Freeze]:
    """Every freeze that stands, as it was told of."""
    query = sa.select(_freeze).where(_freeze.c.lifted_at.is_(None))
    rows = conn.execute(query.order_by(_freeze.c.link, _freeze.c.folder, _freeze.c.reason))
    return [
        Freeze(Scope(row.link, row.folder), Reason(row.reason, row.text), row.since, row.files)
        for row in rows
    ]


def confirmed(conn: sa.Connection, link: str) -> int:
    """How many files of a link somebody has confirmed for its next run."""
    query = sa.select(sa.func.max(_freeze.c.files))
    return conn.scalar(query.where(_freeze.c.link == link, _freeze.c.lifted_at.is_not(None))) or 0


def settle(
    unit: Unit, scope: Scope, codes: Collection[str], found: Sequence[Reason], files: int | None = None
) -> None:
    """Enter which of the reasons `codes` are found in a scope now; what begins or ends has an event."""
    row = _freeze.c
    here = sa.and_(row.link == scope.link, row.folder == scope.folder, row.reason.in_(codes))
    known = {r.reason for r in unit.conn.execute(_freeze.select().where(here, row.lifted_at.is_(None)))}
    begun = [reason for reason in found if reason.code not in known]
    ended = sorted(known - {reason.code for reason in found})
    for codes_of in ({reason.code for reason in begun}, ended):
        unit.conn.execute(_freeze.delete().where(here, row.reason.in_(codes_of)))
    for reason in begun:
        values = {**asdict(scope), "reason": reason.code, "text": reason.text, "files": files}
        unit.conn.execute(_freeze.insert().values(**values, since=unit.now))
    if begun:
        texts = [reason.text for reason in begun]
        _tell(unit, "retention.frozen", scope, {"reasons": [r.code for r in begun]}, {"texts": texts})
    if ended:
        _tell(unit, "retention.unfrozen", scope, {"reasons": ended, "cause": "ended"}, {})


def lift(unit: Unit, freezes: Iterable[Freeze], by: str, why: str) -> None:
    """End freezes because somebody confirms; a volume's row says until the next run how much may go."""
    for scope, group in groupby(freezes, _scope_of):
        lifted = list(group)
        for freeze in lifted:
            row = _freeze.c
            here = sa.and_(
                row.link == scope.link, row.folder == scope.folder, row.reason == freeze.reason.code
            )
            if freeze.files is None:
                unit.conn.execute(_freeze.delete().where(here))
            else:
                unit.conn.execute(_freeze.update().where(here).values(lifted_at=unit.now))
        public = {"reasons": [freeze.reason.code for freeze in lifted], "cause": "confirmed"}
        _tell(unit, "retention.unfrozen", scope, public, {"by": by, "reason": why})


def spend(unit: Unit, links: Collection[str]) -> None:
    """Forget what was confirmed for a run of `links`, which has come to its end."""
    row = _freeze.c
    unit.conn.execute(_freeze.delete().where(row.link.in_(links), row.lifted_at.is_not(None)))


def earlier_runs(conn: sa.Connection) -> dict[str, list[int]]:
    """How many files each of the latest runs took from each link that they took any from."""
    d = tables.disposal.c
    query = (
        sa.select(d.link, sa.func.count())
        .where(d.result.in_([result.value for result in REMOVED]))
        .group_by(d.link, d.plan)
        .order_by(sa.func.max(d.intended_at).desc())
    )
    runs: dict[str, list[int]] = {}
    for link, count in conn.execute(query):
        runs.setdefault(link, []).append(count)
    return {link: counts[:RUNS] for link, counts in runs.items()}


def _tell(unit: Unit, type: str, scope: Scope, public: dict[str, Any], private: dict[str, Any]) -> None:
    if scope.folder:
        public = {"folder": beside.told(scope.folder), **public}
    if beside.is_beside(scope.folder):
        private = {"path": scope.folder, **private}
    unit.record(Event(type, scope.link or None, public, private))


def _scope_of(freeze: Freeze) -> Scope:
    return freeze.scope
