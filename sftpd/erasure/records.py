"""Deletion requests as rows of the ledger."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from sftpd.erasure import exceptions, match_records, traces
from sftpd.erasure.identifiers import Identifier, parse_identifier
from sftpd.erasure.match_records import Match
from sftpd.erasure.plan import REMOVALS, Action, Parts, Place, Searched, Step
from sftpd.erasure.request import ANSWERED, State, Trigger, step
from sftpd.errors import NotFoundError
from sftpd.ledger import tables
from sftpd.ledger.writer import Unit

NO_TIME = timedelta()
_MICROSECOND = timedelta(microseconds=1)

_request = tables.erasure_request
_GET = sa.select(*(column for column in _request.c if column is not _request.c.findings)).where(
    _request.c.id == sa.bindparam("request")
)
"""Without what a search found, which is large and has readers of its own."""
_item = tables.erasure_item


@dataclass(frozen=True, slots=True)
class Request:
    """A deletion request; `secret` keys its digests, and `identifiers` is empty once it is closed."""

    id: str
    link: str
    state: State
    received_at: datetime
    due_at: datetime
    identifiers: tuple[Identifier, ...]
    secret: bytes
    opened_by: str
    approved_by: str | None = None
    approved_at: datetime | None = None
    closed_at: datetime | None = None
    certificate: str | None = None
    asked_at: datetime | None = None
    """While the person's identity is asked for: since when."""
    paused: timedelta = NO_TIME
    """How long it was asked for before."""
    extended_at: datetime | None = None
    forwarded_at: datetime | None = None
    instructed_at: datetime | None = None
    """When the controller was asked to decide, and when it did; for who decides itself, both are None."""
    duplicate_of: str | None = None

    def is_overdue(self, now: datetime) -> bool:
        """Whether its term has ended without an answer."""
        return self.state not in ANSWERED and self.asked_at is None and now > self.due_at

    def digest(self, place: Place) -> str:
        """A name for a file that tells nobody without `secret` which it is: 128 bits of HMAC-SHA256."""
        folder, path = place
        message = folder.encode() + b"\0" + b"/".join(path)
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Item:
    """A step of a request's plan, how far it is, and what reports call its file.

    It is `planned`, then `intended` and `done`; what cannot be done as approved is `planned` again. A
    possible match or unsearchable file that stays by decision is `kept`.
    """

    seq: int
    step: Step
    state: str
    file: str
    draft: str = ""
    """The hash of the content that was about to take the file's place."""

    @property
    def is_undone(self) -> bool:
        """Whether it is a removal that is not done."""
        return self.step.action in REMOVALS and self.state != "done"

    @property
    def is_undecided(self) -> bool:
        """Whether it is a possible match on which nobody has decided."""
        return self.step.action is Action.REVIEW and self.state != "kept"

    @property
    def is_unsearched(self) -> bool:
        """Whether its file could not be searched, and nobody has decided on it."""
        return self.step.action is Action.UNSEARCHABLE and self.state != "kept"

    @property
    def is_done(self) -> bool:
        """Whether it is a removal that is done."""
        return self.step.action in REMOVALS and self.state == "done"


def insert(unit: Unit, request: Request) -> None:
    """Enter a request."""
    unit.conn.execute(
        _request.insert().values(
            id=request.id,
            link=request.link,
            state=request.state,
            received_at=request.received_at,
            due_at=request.due_at,
            opened_by=request.opened_by,
            instructed_at=request.instructed_at,
            duplicate_of=request.duplicate_of,
            closed_at=request.closed_at,
            identifiers=_identifiers(request.identifiers, request.secret),
        )
    )


def get(conn: sa.Connection, request_id: str) -> Request:
    """The request of that id. Raises NotFoundError."""
    row = conn.execute(_GET, {"request": request_id}).one_or_none()
    if row is None:
        raise NotFoundError(f"no deletion request {request_id}", remedy="see sftpd erasure list")
    return Request(
        id=row.id,
        link=row.link,
        state=State(row.state),
        received_at=row.received_at,
        due_at=row.due_at,
        identifiers=tuple(map(parse_identifier, row.identifiers["plain"])),
        secret=bytes.fromhex(row.identifiers["secret"]),
        opened_by=row.opened_by,
        approved_by=row.approved_by,
        approved_at=row.approved_at,
        closed_at=row.closed_at,
        certificate=row.certificate,
        asked_at=row.asked_at,
        paused=row.paused * _MICROSECOND,
        extended_at=row.extended_at,
        forwarded_at=row.forwarded_at,
        instructed_at=row.instructed_at,
        duplicate_of=row.duplicate_of,
    )


def known(conn: sa.Connection, request_id: str) -> Request | None:
    """The request of that id; None where there is none, as in a state that is older."""
    try:
        return get(conn, request_id)
    except NotFoundError:
        return None


def listed(conn: sa.Connection, link: str | None) -> list[Request]:
    """The requests of one link or of all, oldest first."""
    query = sa.select(_request.c.id).order_by(_request.c.received_at, _request.c.id)
    if link is not None:
        query = query.where(_request.c.link == link)
    return [get(conn, request_id) for request_id in conn.scalars(query)]


def ids(conn: sa.Connection, *states: State) -> list[str]:
    """The ids of requests in any of the states, oldest first."""
    query = sa.select(_request.c.id).where(_request.c.state.in_(states)).order_by(_request.c.id)
    return list(conn.scalars(query))


def unanswered(conn: sa.Connection, link: str | None = None) -> list[Request]:
    """The requests of one link or of all whose term runs, or stands still, oldest first."""
    query = sa.select(_request.c.id).where(_request.c.state.not_in(ANSWERED)).order_by(_request.c.id)
    if link is not None:
        query = query.where(_request.c.link == link)
    return [get(conn, request_id) for request_id in conn.scalars(query)]


def microseconds(period: timedelta) -> int:
    """A period as the ledger keeps it."""
    return period // _MICROSECOND


def mark(unit: Unit, request_id: str, **values: Any) -> None:
    """Give a request other column values, in the state that it is in."""
    unit.conn.execute(_request.update().where(_request.c.id == request_id).values(**values))


def advance(unit: Unit, request_id: str, trigger: Trigger, **values: Any) -> Request:
    """Take a request a step further, with new column values, and return it as it was before.

    Raises RefusedError where the step is not allowed, NotFoundError when there is no such request.
    """
    before = get(unit.conn, request_id)
    mark(unit, request_id, state=step(before.state, trigger), **values)
    return before


def search_anew(unit: Unit, request_id: str) -> Request:
    """Begin a search, after which no plan is approved. Raises as `advance` does."""
    return advance(unit, request_id, Trigger.SEARCH, approved_by=None, approved_at=None)


def forget(unit: Unit, request: Request) -> None:
    """Drop a closed request's identifiers, its files' paths and where in them the person was."""
    identifiers = _identifiers((), request.secret)
    row = _request.update().where(_request.c.id == request.id)
    unit.conn.execute(row.values(identifiers=identifiers, findings=None))
    match_records.forget(unit, request.id)
    exceptions.forget(unit, request.id)
    unit.conn.execute(_item.update().where(_item.c.request == request.id).values(path=None))


def close_again(unit: Unit, request_id: str, epoch: int) -> None:
    """Close a request that was closed after this state was backed up, where the state knows of it."""
    row = _request.update().where(_request.c.id == request_id, _request.c.state != State.CLOSED)
    if unit.conn.execute(row.values(state=State.CLOSED, closed_at=unit.now, epoch=epoch)).rowcount:
        forget(unit, get(unit.conn, request_id))


def replace_plan(unit: Unit, request: Request, steps: Sequence[Step], searched: Searched) -> None:
    """Put a new plan in the place of what is left of the old one; removals that are done stay on record.

    `searched` is the search behind the plan.
    """
    done = sa.and_(_item.c.action.in_(REMOVALS), _item.c.state == "done")
    unit.conn.execute(_item.delete().where(_item.c.request == request.id, sa.not_(done)))
    highest = unit.conn.scalar(sa.select(sa.func.max(_item.c.seq)).where(_item.c.request == request.id))
    numbered = list(enumerate(steps, (highest or 0) + 1))
    if numbered:
        unit.conn.execute(_item.insert(), [_row(request.id, seq, planned) for seq, planned in numbered])
    notes = _findings(unit.conn, request.id).get("notes", {})
    for seq, planned in numbered:
        place = (planned.folder, planned.path)
        file = traces.reference(unit.conn, request.link, place) or request.digest(place)
        notes[str(seq)] = {"file": file, "locators": planned.locators}
    row = _request.update().where(_request.c.id == request.id)
    unit.conn.execute(row.values(findings=_seen(searched) | {"notes": notes}))
    match_records.replace(unit, request.id, request.secret, numbered)


def files_searched(conn: sa.Connection, request_id: str) -> dict[str, int]:
    """Files of each folder that the search behind the plan looked into; empty once the request is closed."""
    return dict(_findings(conn, request_id).get("files", {}))


def files_looked_up(conn: sa.Connection, request_id: str) -> int:
    """How many of these files were not read, since the index knew that they do not carry the person."""
    return int(_findings(conn, request_id).get("looked_up", 0))


def items(conn: sa.Connection, request_id: str) -> list[Item]:
    """The steps of a request, in order; without paths and locators once it is closed."""
    notes = _findings(conn, request_id).get("notes", {})
    rows = conn.execute(sa.select(_item).where(_item.c.request == request_id).order_by(_item.c.seq))
    matches = match_records.listed(conn, request_id)
    return [_read_item(row, notes.get(str(row.seq), {}), matches.get(row.seq)) for row in rows]


def match(conn: sa.Connection, request_id: str, seq: int) -> Item:
    """A possible match among the steps of a request; its file has no name for reports.

    Raises NotFoundError.
    """
    found = match_records.listed(conn, request_id, seq).get(seq)
    row = conn.execute(
        sa.select(_item).where(_item.c.request == request_id, _item.c.seq == seq)
    ).one_or_none()
    if found is None or row is None:
        raise NotFoundError(
            f"in step {seq} of request {request_id} there is nothing to decide on",
            remedy="list possible matches with `sftpd erasure review`; a file that could not be searched is "
            "decided on if it can be opened and no legal hold is on it",
        )
    return _read_item(row, {}, found)


def intend(unit: Unit, request_id: str, seq: int) -> None:
    """Note that a step is about to be carried out."""
    unit.conn.execute(_update_item(request_id, seq).values(state="intended"))


def conclude(unit: Unit, request_id: str, seq: int, records: int | None, reason: str | None) -> None:
    """Note that a step is done and how many records went, or with None that it is planned still."""
    values = {"state": "planned"} if records is None else {"state": "done", "records": records}
    unit.conn.execute(_update_item(request_id, seq).values(reason=reason, **values))


def _update_item(request_id: str, seq: int) -> sa.Update:
    return _item.update().where(_item.c.request == request_id, _item.c.seq == seq)


def _findings(conn: sa.Connection, request_id: str) -> dict[str, Any]:
    return conn.scalar(sa.select(_request.c.findings).where(_request.c.id == request_id)) or {}


def _seen(searched: Searched) -> dict[str, Any]:
    return {"files": dict(searched.files), "looked_up": searched.looked_up}


def _row(request_id: str, seq: int, planned: Step) -> dict[str, Any]:
    return {
        "request": request_id,
        "seq": seq,
        "folder": planned.folder,
        "path": b"/".join(planned.path),
        "action": planned.action,
        "format": planned.format,
        "records": planned.records,
        "state": "planned",
        "reason": planned.reason,
    }


def _read_item(row: sa.Row[Any], note: Mapping[str, Any], match: Match | None) -> Item:
    path: Parts = tuple(row.path.split(b"/")) if row.path else ()
    locators = tuple(note.get("locators", ()))
    planned = Step(row.folder, path, Action(row.action), row.format, row.records, row.reason, locators)
    if match is None:
        return Item(row.seq, planned, row.state, note.get("file", ""))
    planned = replace(planned, possible=match.possible, mark=match.mark)
    return Item(row.seq, planned, row.state, note.get("file", ""), match.draft)


def _identifiers(identifiers: Iterable[Identifier], secret: bytes) -> dict[str, Any]:
    return {"plain": [identifier.plain() for identifier in identifiers], "secret": secret.hex()}
