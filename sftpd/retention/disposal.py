"""Disposals as rows of the ledger: intended, then done, each with its event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import sqlalchemy as sa

from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.ledger.statement import Statement, inserting
from sftpd.ledger.writer import Unit
from sftpd.names import new_id
from sftpd.retention.rule import Action, Copy, Kept, place
from sftpd.retention.schedule import Item

OFFERED = "download"
"""The folder in which the partner finds what is given back."""


class Result(Enum):
    """What came of an intent."""

    DISPOSED = "disposed"
    LINKED = "disposed, other hard links remain"
    ABSENT = "absent"
    """The file was no longer there: its consumer took it."""
    GONE = "gone"
    """The file was no longer there after a crash; it was removed by us then, or taken."""
    CHANGED = "changed"
    """What lies there is not what was received; it stays."""
    IN_USE = "in_use"
    """Somebody has the file open; it waits for the next run."""
    COVERED = "covered"
    """Something is mounted over its directory; whether it is still there cannot be seen."""
    HELD = "held"
    """A hold was placed since; it stays."""
    RETURNED = "returned"
    """The file is offered to the partner, in `/download`."""
    QUEUED = "queued"
    """The file goes back by a route, and stays until it is delivered."""
    NOT_DUE = "not_due"
    """The rules no longer say what was intended before a crash; it stays."""
    FAILED = "failed"
    """The file system did not let it be removed; the log says why."""


class Returns(Protocol):
    """The ways by which files go back to a remote."""

    def has(self, link: str, route: str) -> bool:
        """Whether files may go back by an outbound route of a link."""
        ...

    def enter(self, unit: Unit, file: str, link: str, route: str) -> str:
        """Have the kept file of this id go back by one that there is; returns the id of its transfer."""
        ...


_ASIDE = "#"
"""What follows the hash of a plan, before an id, in the rows of a run of it after which it was run again."""

_UNKNOWN: tuple[sa.ColumnElement[Any], ...] = (sa.literal_column("''"), sa.null())
"""In the place of a file's peer, and of where it was given back to."""
_STATE_AFTER = {
    Result.DISPOSED: "disposed",
    Result.LINKED: "disposed",
    Result.ABSENT: "absent",
    Result.GONE: "disposed",
}
REMOVED = _STATE_AFTER.keys()
"""The results after which the file is no longer at its place."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an intent, and of each copy that was to go with its file."""

    intent: "Intent"
    result: Result
    copies: Mapping[Copy, Result] = field(default_factory=dict)
    returned_as: bytes | None = None
    """The path in `/download` of a file that was given back."""

    @property
    def copies_as_rows(self) -> list[dict[str, Any]]:
        """The copies as the ledger keeps them, with what came of each."""
        return [
            {**copy.as_row(), "result": self.copies[copy].value if copy in self.copies else None}
            for copy in self.intent.copies
        ]

    def event(self, also: Mapping[str, str]) -> Event:
        """What tells of it, with what else is openly said of it."""
        public = {**self.intent.public, "result": self.result.value, **also}
        return Event("retention.done", self.intent.file.link, public, self.private)

    @property
    def private(self) -> dict[str, Any]:
        """What an audit leaf only commits to."""
        told = {copy.place: result.value for copy, result in self.copies.items()}
        private = {"path": self.intent.file.place} | ({"copies": told} if told else {})
        if self.returned_as is not None:
            private["returned_as"] = place(OFFERED, self.returned_as)
        return private


@dataclass(frozen=True, slots=True)
class Intent:
    """A file to dispose of under a plan, entered before it is touched."""

    plan: str
    file: Kept
    rule: str
    rule_version: int
    copies: tuple[Copy, ...] = ()
    """What goes with it."""
    action: Action = "dispose"
    return_by: str | None = None
    """The route by which it goes back, if it does not lie in `/download` then."""

    @property
    def key(self) -> dict[str, str]:
        """What its row is found by."""
        return {"of_plan": self.plan, "of_file": self.file.id}

    @property
    def public(self) -> dict[str, Any]:
        """What an audit leaf may say of it openly."""
        return {
            "plan": self.plan,
            "action": self.action,
            "file": self.file.id,
            "rule": self.rule,
            "rule_version": self.rule_version,
        }


def of_plan(plan_hash: str) -> sa.ColumnElement[bool]:
    """That a disposal is of the plan of this hash, whichever time that was run."""
    plan = tables.disposal.c.plan
    return (plan == plan_hash) | plan.startswith(plan_hash + _ASIDE, autoescape=True)


def hash_of(plan: str) -> str:
    """The hash of the plan in a row of a disposal."""
    return plan.partition(_ASIDE)[0]


_disposal, _file = tables.disposal, tables.kept_file
_OF_INTENT = (_disposal.c.plan == sa.bindparam("of_plan"), _disposal.c.file == sa.bindparam("of_file"))
OF_PLAN = Statement(sa.select(_disposal.c.file).where(_disposal.c.plan == sa.bindparam("of_plan")).limit(1))
"""Finds a disposal of a plan as it was run last, if there is one."""
_SET_ASIDE = Statement(
    _disposal.update()
    .where(*_OF_INTENT, _disposal.c.done_at.is_not(None))
    .values(plan=_disposal.c.plan + sa.bindparam("aside"))
)
_FORGET = Statement(_disposal.delete().where(*_OF_INTENT))
_INTEND = inserting(_disposal)
_CONCLUDE = Statement(
    _disposal.update().where(*_OF_INTENT).values(done_at=sa.bindparam("now"), result=sa.bindparam("came_to"))
)
_TELL_OF_COPIES = Statement(_disposal.update().where(*_OF_INTENT).values(copies=sa.bindparam("now_copies")))
_END = Statement(
    _file.update()
    .where(_file.c.id == sa.bindparam("of_file"))
    .values(state=sa.bindparam("now_state"), changed_at=sa.bindparam("now"))
)


def intend(
    unit: Unit, plan: str, items: Sequence[Item], copies: Mapping[str, Sequence[Copy]], *, again: bool
) -> list[Intent]:
    """Enter the disposal of `items` with one event a file; `copies` by the file's id.

    A plan that was run before and left files in place may be run `again`: what came of it then is set aside.
    """
    intents, rows, events = [], [], []
    for item in items:
        rule, due = item.decision.rule, item.decision.due
        assert rule is not None
        assert due is not None
        file = item.file
        also = tuple(copies.get(file.id, ()))
        action: Action = "return" if item.decision.action == "return" else "dispose"
        by = rule.return_by if action == "return" else None
        intent = Intent(plan, file, rule.id, rule.version, also, action, by)
        rows.append(
            {
                "plan": plan,
                "file": file.id,
                "link": file.link,
                "folder": file.folder,
                "path": file.path,
                "source": file.source,
                "action": intent.action,
                "return_by": by,
                "rule": rule.id,
                "rule_version": rule.version,
                "due": due,
                "reason": item.decision.reason,
                "copies": [copy.as_row() for copy in also],
                "intended_at": unit.now,
                "done_at": None,
                "result": None,
            }
        )
        public = {**intent.public, "due": due.isoformat()}
        private = {"path": file.place} | ({"copies": [copy.place for copy in also]} if also else {})
        events.append(Event("retention.intended", file.link, public, private))
        intents.append(intent)
    if again:
        before = [intent.key for intent in intents]
        aside = _ASIDE + new_id(unit.now)
        _SET_ASIDE.run(unit.conn, *({**key, "aside": aside} for key in before))
        _FORGET.run(unit.conn, *before)  # what was never concluded begins anew
    _INTEND.run(unit.conn, *rows)
    unit.record_all(events)
    return intents


def conclude(unit: Unit, results: Sequence[Done], returns: Returns | None) -> None:
    """Enter what came of intents, with one event a file; those that are QUEUED go back by `returns`."""
    now, after, sent = unit.now, [], {}
    for done in results:
        file = done.intent.file
        if done.returned_as is not None:
            _give_back(unit, file, done.returned_as)
        elif done.result is Result.QUEUED:
            sent[file.id] = {"transfer": _send_back(unit, done.intent, returns)}
        if done.result in _STATE_AFTER:
            after.append({"of_file": file.id, "now_state": _STATE_AFTER[done.result], "now": now})
    ended = [{"now": now, "came_to": done.result.value, **done.intent.key} for done in results]
    _CONCLUDE.run(unit.conn, *ended)
    told = [{"now_copies": done.copies_as_rows, **done.intent.key} for done in results if done.intent.copies]
    _TELL_OF_COPIES.run(unit.conn, *told)
    _END.run(unit.conn, *after)
    unit.record_all([done.event(sent.get(done.intent.file.id, {})) for done in results])


def _send_back(unit: Unit, intent: Intent, returns: Returns | None) -> str:
    """Have a file go back by the route of its intent, in place of a way on which it came to nothing."""
    assert intent.return_by is not None
    assert returns is not None
    file = intent.file
    transfer = returns.enter(unit, file.id, file.link, intent.return_by)
    unit.conn.execute(tables.returned.delete().where(tables.returned.c.file == file.id))
    _enter_returned(unit, file, transfer=transfer)
    return transfer


def _enter_returned(unit: Unit, file: Kept, **how: Any) -> None:
    was = {"file": file.id, "folder": file.folder, "path": file.path}
    unit.conn.execute(tables.returned.insert().values(**was, offered_at=unit.now, **how))


def _give_back(unit: Unit, file: Kept, path: bytes) -> None:
    """Enter that a file lies in `/download` from now on."""
    _enter_returned(unit, file)
    row = tables.kept_file.update().where(tables.kept_file.c.id == file.id)
    unit.conn.execute(row.values(folder=OFFERED, path=path, changed_at=unit.now))


def undone(conn: sa.Connection) -> list[Intent]:
    """The intents that were never concluded, oldest first."""
    d, f = tables.disposal.c, tables.kept_file.c
    kept = (d.file, d.link, d.folder, d.path, d.source, f.received_at, f.accessed_at, *_UNKNOWN, f.transfer)
    query = (
        sa.select(d.plan, d.rule, d.rule_version, d.copies, d.action, d.return_by, *kept)
        .join_from(tables.disposal, tables.kept_file, d.file == f.id)
        .where(d.done_at.is_(None))
        .order_by(d.intended_at, d.file)
    )
    return [
        Intent(row[0], Kept(*row[6:]), row[1], row[2], tuple(map(Copy.of_row, row[3])), row[4], row[5])
        for row in conn.execute(query)
    ]
