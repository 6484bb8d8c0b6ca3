"""Halts: what an operator has paused, and remotes that we leave alone until one says otherwise."""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from sftpd.errors import RefusedError
from sftpd.exchange.bell import Bell
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

Kind = Literal["link", "route", "remote"]
Cause = Literal["paused", "suspended"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is halted: the sending of a link, one of its outbound routes, or all that goes to a remote."""

    link: str
    kind: Kind
    name: str
    """That of the route or remote, and of the link again."""

    def __str__(self) -> str:
        return f"link {self.link}" if self.kind == "link" else f"{self.kind} {self.link}/{self.name}"

    @property
    def public(self) -> dict[str, str]:
        """What an audit leaf may say of it openly."""
        return {} if self.kind == "link" else {self.kind: self.name}


@dataclass(frozen=True, slots=True)
class Halt:
    """That a subject is halted, and why."""

    subject: Subject
    cause: Cause
    placed_by: str | None
    """None: we ourselves, because the remote refused us."""
    reason: str
    since: datetime


class Halts:
    """The halts of an instance; each outlives a restart. For any thread."""

    def __init__(self, ledger: Ledger, bell: Bell) -> None:
        self._ledger = ledger
        self._bell = bell
        self._lock = threading.Lock()
        self._standing: Mapping[Subject, Halt] = {}
        self._refresh()

    def of(self, subject: Subject) -> Halt | None:
        """The halt of a subject."""
        return self._standing.get(subject)

    def standing(self) -> list[Halt]:
        """All of them, oldest first."""
        return sorted(self._standing.values(), key=lambda halt: halt.since)

    def pause(self, subject: Subject, *, by: str, reason: str) -> None:
        """Send nothing over it any more. Raises RefusedError where it is halted already."""
        self._place(subject, "paused", by, reason)

    def suspend(self, subject: Subject, reason: str) -> None:
        """The same, by ourselves. Raises RefusedError where it is halted already."""
        self._place(subject, "suspended", None, reason)

    def lift(self, subject: Subject, *, by: str, reason: str | None) -> None:
        """Go on. Raises RefusedError where it is not halted."""

        def work(unit: Unit) -> None:
            if not unit.conn.execute(tables.halt.delete().where(*_is(subject))).rowcount:
                raise RefusedError("it is not paused", reason="NOT_HALTED", where=str(subject))
            private = {"by": by, "reason": reason}
            unit.record(Event(f"{subject.kind}.resumed", subject.link, subject.public, private))

        self._ledger.write(work)
        self._refresh()
        self._bell.ring()

    def _place(self, subject: Subject, cause: Cause, by: str | None, reason: str) -> None:
        def work(unit: Unit) -> None:
            before = unit.conn.execute(sa.select(tables.halt).where(*_is(subject))).first()
            if before is not None:
                raise RefusedError(
                    f"it is {before.cause} already: {before.reason}", reason="HALTED", where=str(subject)
                )
            halted = {"cause": cause, "placed_by": by, "reason": reason, "since": unit.now}
            unit.conn.execute(tables.halt.insert().values(asdict(subject) | halted))
            private = {"reason": reason} if by is None else {"by": by, "reason": reason}
            unit.record(Event(f"{subject.kind}.{cause}", subject.link, subject.public, private))

        self._ledger.write(work)
        self._refresh()
        self._bell.ring()

    def _refresh(self) -> None:
        with self._lock, self._ledger.read() as conn:
            rows = conn.execute(sa.select(tables.halt)).all()
            found = [
                Halt(Subject(row.link, row.kind, row.name), row.cause, row.placed_by, row.reason, row.since)
                for row in rows
            ]
            self._standing = {halt.subject: halt for halt in found}


def _is(subject: Subject) -> tuple[sa.ColumnElement[bool], ...]:
    halt = tables.halt.c
    return halt.link == subject.link, halt.kind == subject.kind, halt.name == subject.name
