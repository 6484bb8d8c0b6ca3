"""Notices to recipients that a person was erased here (GDPR 19), as rows of the ledger.

A notice is a signed order of the kind `notice`. It holds identifiers: the ledger has it until it is
delivered, and so long the request is not closed either.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from sftpd.audit.canonical import instant
from sftpd.audit.checkpoint import SigningKey
from sftpd.erasure import deliveries, order, records
from sftpd.erasure.certificate import Recipient
from sftpd.erasure.deliveries import Delivery
from sftpd.erasure.order import Kind, NamedFile, Order
from sftpd.erasure.records import Request
from sftpd.erasure.request import State, Trigger
from sftpd.errors import NotFoundError, RefusedError
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.names import new_id

FOLDER = b"notices"
"""Where in `/receipts` those who log in to us find theirs."""

MADE, DELIVERED, ACKNOWLEDGED = "made", "delivered", "acknowledged"

TOLD = "told"
"""The answer that somebody here stands for."""

_FURTHER = (TOLD, "denied", "partial", "certificate")
"""Answers of which each may follow those before it, as a recipient erases what it first could not."""

DueBy = Callable[[str, datetime], datetime]
"""By when a notice over a link is to be acknowledged, given when it is made."""

_REASON = "We have erased this person (GDPR 17), who was in files that we delivered to you (GDPR 19)."
_FILES = 200
"""Files that a notice names; that there are more it says in its reason."""

_FORGOTTEN = {"content": None, "signature": None, "fault": None}
"""What a notice loses as soon as it is delivered."""

_notice = tables.erasure_notice


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice to one recipient; `remote` is empty where they log in to us."""

    id: str
    request: str
    link: str
    remote: str
    files: int
    state: str
    made_at: datetime
    due_at: datetime
    delivered_at: datetime | None = None
    acknowledged_at: datetime | None = None
    content: bytes | None = field(default=None, repr=False)
    """The order, until it is delivered."""
    signature: bytes | None = field(default=None, repr=False)
    fault: str | None = None
    """Why it could not be delivered when that was last tried."""
    told_at: datetime | None = None
    """When it was told that it is overdue."""
    withdrawn_at: datetime | None = None
    """When what lay here for its recipient was removed."""
    answer: str | None = None
    """What its recipient has answered, or TOLD."""
    document: bytes | None = field(default=None, repr=False)
    """What says so."""

    def may_be_answered(self, status: str) -> bool:
        """Whether an answer of this status tells more than what was answered before."""
        if self.state != ACKNOWLEDGED:
            return self.state == DELIVERED
        return _FURTHER.index(status) > _FURTHER.index(self.answer or TOLD)

    @property
    def public(self) -> dict[str, Any]:
        """What an audit leaf may say of it openly."""
        return {"request": self.request, "notice": self.id, "files": self.files}

    @property
    def private(self) -> dict[str, Any]:
        """What an audit leaf only commits to."""
        return {"peer": self.remote}


def make(unit: Unit, request: Request, key: SigningKey, due_by: DueBy) -> None:
    """Make a notice to each recipient of files that a request has to tell of and has not yet."""
    untold = deliveries.untold(unit.conn, request.id)
    carried = deliveries.carried(unit.conn, request.id)
    for (link, remote), group in groupby(untold, lambda one: (one.link, one.remote)):
        told = list(group)
        notice_id = new_id(unit.now)
        content = _content(notice_id, _identifiers(request, told, carried), told, unit.now)
        made = Notice(notice_id, request.id, link, remote, len(told), MADE, unit.now, due_by(link, unit.now))
        unit.conn.execute(_notice.insert().values(**_row(made, content, order.sign(content, key))))
        deliveries.tell(unit, request.id, told, notice_id)
        _record(unit, "erasure.notice_made", made)


def recipients(
    conn: sa.Connection, request: str, counterparty: Callable[[str], str]
) -> tuple[Recipient, ...]:
    """Whom a request tells, as its certificate names them; `counterparty` says with whom a link is."""
    return tuple(
        Recipient(
            "/".join(filter(None, (counterparty(notice.link), notice.remote))),
            notice.id,
            notice.files,
            instant(notice.due_at),
        )
        for notice in of(conn, request)
    )


def get(conn: sa.Connection, notice_id: str) -> Notice:
    """The notice of that id. Raises NotFoundError."""
    found = find(conn, _notice.c.id == notice_id)
    if not found:
        raise NotFoundError("there is no such notice", where=notice_id)
    return found[0]


def of(conn: sa.Connection, request: str) -> list[Notice]:
    """The notices of a request, in the order in which they were made."""
    return find(conn, _notice.c.request == request)


def in_state(conn: sa.Connection, *states: str) -> list[Notice]:
    """The notices of all requests in one of these states, oldest first."""
    return find(conn, _notice.c.state.in_(states))


def find(conn: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Notice]:
    """The notices that meet the conditions, oldest first."""
    order_by = (_notice.c.made_at, _notice.c.link, _notice.c.remote, _notice.c.id)
    rows = conn.execute(sa.select(_notice).where(*where).order_by(*order_by)).mappings()
    return [Notice(**row) for row in rows]


def delivered(unit: Unit, notice_id: str) -> bool:
    """Note that a notice is with its recipient, and forget what it said.

    Says whether that closed the request.
    """
    notice = get(unit.conn, notice_id)
    if notice.state != MADE:
        return False
    _update(unit, notice, state=DELIVERED, delivered_at=unit.now, **_FORGOTTEN)
    deliveries.forget_told(unit, notice.id)
    _record(unit, "erasure.notice_delivered", notice)
    return _conclude(unit, notice.request)


def failed(unit: Unit, notice_id: str, fault: str) -> None:
    """Note why a notice could not be delivered; the first time that is told, for it is tried again."""
    notice = get(unit.conn, notice_id)
    if notice.state == MADE:
        _doubt(unit, notice, "erasure.notice_failed", fault)


def answered(unit: Unit, notice_id: str, answer: str, document: bytes) -> None:
    """Note what a recipient has answered: the status, and the document that says so; the furthest counts."""
    notice = get(unit.conn, notice_id)
    if notice.may_be_answered(answer):
        since = notice.acknowledged_at or unit.now
        _update(unit, notice, state=ACKNOWLEDGED, acknowledged_at=since, answer=answer, document=document)
        public = {"answer": answer, "sha256": hashlib.sha256(document).hexdigest()}
        _record(unit, "erasure.notice_acknowledged", notice, **public)


def doubted(unit: Unit, notice_id: str, fault: str) -> None:
    """Note why what seems to be a recipient's answer is none; the first time it is told."""
    notice = get(unit.conn, notice_id)
    if notice.state == DELIVERED:
        _doubt(unit, notice, "erasure.answer_refused", fault)


def told(unit: Unit, notice_id: str, by: str, reason: str) -> bool:
    """Note that `by` stands for a recipient's having been told otherwise.

    Says whether that closed the request. Raises NotFoundError, and RefusedError `NOTICE_STATE` where it is
    acknowledged already.
    """
    notice = get(unit.conn, notice_id)
    if notice.state == ACKNOWLEDGED:
        raise RefusedError("the notice was acknowledged before", reason="NOTICE_STATE", where=notice_id)
    _update(unit, notice, state=ACKNOWLEDGED, acknowledged_at=unit.now, answer=TOLD, **_FORGOTTEN)
    deliveries.forget_told(unit, notice.id)
    private = {**notice.private, "by": by, "reason": reason}
    public = {**notice.public, "answer": TOLD}
    unit.record(Event("erasure.notice_acknowledged", notice.link, public, private))
    return _conclude(unit, notice.request)


def overdue(unit: Unit, notice_id: str) -> None:
    """Tell, once, of a notice that was not acknowledged in time."""
    notice = get(unit.conn, notice_id)
    if notice.told_at is None and notice.state != ACKNOWLEDGED:
        _update(unit, notice, told_at=unit.now)
        _record(unit, "erasure.notice_overdue", notice, delivered=notice.state == DELIVERED)


def withdrawn(unit: Unit, notice_id: str) -> None:
    """Note that what lay here for a recipient is gone."""
    notice = get(unit.conn, notice_id)
    _update(unit, notice, withdrawn_at=unit.now)
    _record(unit, "erasure.notice_withdrawn", notice)


def all_told(unit: Unit, request: Request) -> bool:
    """Close a request that only waited for its notices to be delivered; says whether it did."""
    here = (_notice.c.request == request.id, _notice.c.state == MADE)
    if unit.conn.scalar(sa.select(sa.func.count()).select_from(_notice).where(*here)):
        return False
    records.advance(unit, request.id, Trigger.ALL_TOLD, closed_at=unit.now)
    records.forget(unit, request)
    deliveries.forget_contents(unit, request.id)
    return True


def forget(unit: Unit, request: str) -> None:
    """Forget whom a request has told, as its certificate goes."""
    unit.conn.execute(_notice.delete().where(_notice.c.request == request))
    gone = tables.erasure_delivery
    unit.conn.execute(gone.delete().where(gone.c.request == request))


def open_by_link(conn: sa.Connection) -> Mapping[str, int]:
    """How many notices over each link are not acknowledged."""
    query = sa.select(_notice.c.link, sa.func.count()).where(_notice.c.state != ACKNOWLEDGED)
    return {row[0]: row[1] for row in conn.execute(query.group_by(_notice.c.link))}


def overdue_by_link(conn: sa.Connection) -> Mapping[str, int]:
    """How many of them are overdue, as has been told."""
    where = (_notice.c.state != ACKNOWLEDGED, _notice.c.told_at.is_not(None))
    query = sa.select(_notice.c.link, sa.func.count()).where(*where)
    return {row[0]: row[1] for row in conn.execute(query.group_by(_notice.c.link))}


def _conclude(unit: Unit, request_id: str) -> bool:
    request = records.get(unit.conn, request_id)
    if request.state is not State.NOTIFYING or not all_told(unit, request):
        return False
    unit.record(Event("erasure.closed", request.link, {"request": request.id}))
    return True


def _identifiers(
    request: Request, told: Sequence[Delivery], carried: Mapping[str, Sequence[int] | None]
) -> tuple[str, ...]:
    """What the person is known by in these files; all that is known, where it is not known of one of them."""
    numbers: set[int] = set()
    for one in told:
        found = carried.get(one.sha256)
        numbers.update(range(len(request.identifiers)) if found is None else found)
    return tuple(known.plain() for number, known in enumerate(request.identifiers) if number in numbers)


def _content(notice_id: str, identifiers: tuple[str, ...], told: Sequence[Delivery], now: datetime) -> bytes:
    """The order's bytes, with as many of the files as fit."""
    named = tuple(NamedFile(one.transfer, one.name, one.sha256) for one in told[:_FILES])
    while True:
        more = len(told) - len(named)
        reason = f"{_REASON} {more} more files are not named here." if more else _REASON
        try:
            return order.write(Order(notice_id, Kind.NOTICE, now, identifiers, reason, named))
        except RefusedError:
            if not named:
                raise
            named = named[: len(named) // 2]


def _row(notice: Notice, content: bytes, signature: bytes) -> dict[str, Any]:
    values = {name: getattr(notice, name) for name in Notice.__dataclass_fields__}
    return values | {"content": content, "signature": signature}


def _doubt(unit: Unit, notice: Notice, event: str, fault: str) -> None:
    _update(unit, notice, fault=fault)
    if notice.fault is None:
        unit.record(Event(event, notice.link, notice.public, {**notice.private, "reason": fault}))


def _record(unit: Unit, event: str, notice: Notice, **public: Any) -> None:
    unit.record(Event(event, notice.link, {**notice.public, **public}, notice.private))


def _update(unit: Unit, notice: Notice, **values: Any) -> None:
    unit.conn.execute(_notice.update().where(_notice.c.id == notice.id).values(**values))
