"""How deletion requests come in, how long there is to answer them, and who decides on them.

A processor does not decide: it asks the controller and waits for an instruction (GDPR 28(3)(e)). No copy of
an identity document is taken in anywhere: that somebody has checked it is all that is recorded.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sftpd.erasure import records
from sftpd.erasure.deadline import due
from sftpd.erasure.identifiers import parse_identifier
from sftpd.erasure.records import Request
from sftpd.erasure.request import ANSWERED, State, Trigger
from sftpd.errors import RefusedError, UsageError
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.names import new_id

_SECRET_SIZE = 32


class Links(Protocol):
    """What must be known of links; each method raises NotFoundError for a link that does not exist."""

    def zone(self, link: str) -> ZoneInfo:
        """The time zone in which the link's terms run."""
        ...

    def decides(self, link: str) -> bool:
        """Whether we decide on its requests; else we process for a controller, who does."""
        ...


class Intake:
    """Enters requests and moves their terms; each step is one transaction with its event."""

    def __init__(self, ledger: Ledger, links: Links) -> None:
        self._ledger = ledger
        self._links = links

    def made(self, link: str, identifiers: Sequence[str], received: datetime, by: str) -> Request:
        """A request that is not entered yet, for a person known by `TYPE=VALUE`….

        Raises UsageError and InvalidNameError for identifiers, NotFoundError for the link.
        """
        if not identifiers:
            raise UsageError("a deletion request needs an identifier", expected="at least one TYPE=VALUE")
        return Request(
            id=new_id(received),
            link=link,
            state=State.RECEIVED,
            received_at=received,
            due_at=due(received, self._links.zone(link)),
            identifiers=tuple(dict.fromkeys(map(parse_identifier, identifiers))),
            secret=secrets.token_bytes(_SECRET_SIZE),
            opened_by=by,
        )

    def open(self, request: Request) -> Request:
        """Enter a request, and return it as it was entered."""
        return self._ledger.write(partial(self.enter, request))

    def enter(self, request: Request, unit: Unit) -> Request:
        """As `open`, within a transaction.

        While an open request of the link has the same identifiers it is a duplicate of that one, and forgets
        its own; an instruction of the controller that comes with it counts for both.
        """
        same = next(
            (
                other
                for other in records.unanswered(unit.conn, request.link)
                if set(other.identifiers) == set(request.identifiers)
            ),
            None,
        )
        if same is not None:
            request = replace(
                request, state=State.DUPLICATE, duplicate_of=same.id, closed_at=unit.now, identifiers=()
            )
        records.insert(unit, request)
        private = {"by": request.opened_by}
        _record(unit, request, "erasure.opened", private, due=request.due_at.isoformat())
        if request.instructed_at is not None:
            _record(unit, request, "erasure.instructed", private)
        if same is not None:
            _record(unit, request, "erasure.duplicate", {}, of=same.id)
            if request.instructed_at is not None and same.instructed_at is None:
                records.mark(unit, same.id, instructed_at=request.instructed_at)
                _record(unit, same, "erasure.instructed", private)
        return request

    def ask_identity(self, request_id: str, by: str) -> None:
        """Note that the person was asked who they are: the term stands still from now on.

        Raises RefusedError `ERASURE_STATE`.
        """

        def work(unit: Unit) -> None:
            request = records.advance(unit, request_id, Trigger.ASK_IDENTITY, asked_at=unit.now)
            _record(unit, request, "erasure.identity_asked", {"by": by})

        self._ledger.write(work)

    def confirm_identity(self, request_id: str, by: str) -> None:
        """Note that it is certain who asks: the term runs on, and ends later. Raises RefusedError."""

        def work(unit: Unit) -> None:
            request = records.advance(unit, request_id, Trigger.CONFIRM_IDENTITY, asked_at=None)
            # A clock that was set back in between takes nothing from the person.
            waited = max(unit.now - (request.asked_at or unit.now), records.NO_TIME)
            paused = request.paused + waited
            due_at = self._due(replace(request, paused=paused))
            records.mark(unit, request_id, paused=records.microseconds(paused), due_at=due_at)
            private = {"by": by}
            _record(unit, request, "erasure.identity_confirmed", private, due=due_at.isoformat())

        self._ledger.write(work)

    def extend(self, request_id: str, by: str, reason: str) -> None:
        """Extend a request's term by two months, once and before it ends; the person must be told why.

        Raises RefusedError `ERASURE_STATE`, `ERASURE_EXTENDED` or `ERASURE_TERM`.
        """

        def work(unit: Unit) -> None:
            request = _unanswered(unit, request_id)
            if request.extended_at is not None:
                raise RefusedError(
                    "its term is extended already", reason="ERASURE_EXTENDED", where=request_id
                )
            if (request.asked_at or unit.now) > request.due_at:
                raise RefusedError(
                    f"its term ended on {request.due_at:%Y-%m-%d}, and can only be extended before it ends",
                    reason="ERASURE_TERM",
                    where=request_id,
                )
            due_at = self._due(replace(request, extended_at=unit.now))
            records.mark(unit, request_id, extended_at=unit.now, due_at=due_at)
            private = {"by": by, "reason": reason}
            _record(unit, request, "erasure.extended", private, due=due_at.isoformat())

        self._ledger.write(work)

    def forward(self, request_id: str, by: str) -> Request:
        """Note that the controller was asked to decide, and return the request.

        Raises RefusedError `ERASURE_STATE`, or `NOT_PROCESSOR` where we decide ourselves.
        """

        def work(unit: Unit) -> Request:
            request = self._of_controller(unit, request_id)
            if request.forwarded_at is None:
                records.mark(unit, request_id, forwarded_at=unit.now)
            _record(unit, request, "erasure.forwarded", {"by": by})
            return records.get(unit.conn, request_id)

        return self._ledger.write(work)

    def instruct(self, request_id: str, by: str, reference: str) -> None:
        """Record that the controller has instructed us to erase; `reference` says where that is to be found.

        Raises RefusedError `ERASURE_STATE`, or `NOT_PROCESSOR` where we decide ourselves.
        """

        def work(unit: Unit) -> None:
            request = self._of_controller(unit, request_id)
            records.mark(unit, request_id, instructed_at=unit.now)
            _record(unit, request, "erasure.instructed", {"by": by, "reference": reference})

        self._ledger.write(work)

    def require_decided(self, request: Request) -> None:
        """Pass where we decide, or the controller has. Raises RefusedError `NO_INSTRUCTION`."""
        if request.instructed_at is None and not self._links.decides(request.link):
            raise RefusedError(
                "the controller has not instructed us, and a processor does not decide",
                reason="NO_INSTRUCTION",
                where=request.id,
                remedy="erasure forward it, and record the instruction with erasure instruct",
            )

    def _of_controller(self, unit: Unit, request_id: str) -> Request:
        request = _unanswered(unit, request_id)
        if self._links.decides(request.link):
            raise RefusedError(
                f"we are the controller for link {request.link}",
                reason="NOT_PROCESSOR",
                where=request_id,
                remedy="approve or deny it; or set erasure.role in the link's configuration",
            )
        return request

    def _due(self, request: Request) -> datetime:
        extended = request.extended_at is not None
        zone = self._links.zone(request.link)
        return due(request.received_at, zone, paused=request.paused, extended=extended)


def _unanswered(unit: Unit, request_id: str) -> Request:
    request = records.get(unit.conn, request_id)
    if request.state in ANSWERED:
        raise RefusedError(
            f"a request that is {request.state} has been answered", reason="ERASURE_STATE", where=request_id
        )
    return request


def _record(unit: Unit, request: Request, type: str, private: dict[str, Any], **public: Any) -> None:
    unit.record(Event(type, request.link, {"request": request.id, **public}, private))
