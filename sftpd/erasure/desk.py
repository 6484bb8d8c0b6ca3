"""The erasure desk: what operators and partners ask of deletion requests."""

import hashlib
import secrets
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import structlog

from sftpd.audit.checkpoint import SigningKey
from sftpd.erasure import records
from sftpd.erasure.contents import Contents, Searchable
from sftpd.erasure.deadline import due
from sftpd.erasure.evidence import certify
from sftpd.erasure.execute import Executor
from sftpd.erasure.identifiers import Identifier, parse_identifier
from sftpd.erasure.index import Index, IndexFaultError, Lookup, reached
from sftpd.erasure.plan import LEFT_BEHIND, Action, Place, Searched, Step, plan
from sftpd.erasure.readers import Readers
from sftpd.erasure.records import Item, Request
from sftpd.erasure.request import State, Trigger
from sftpd.erasure.search import search
from sftpd.errors import LedgerError, RefusedError, UsageError
from sftpd.files.beneath import Parts
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.names import new_id

_SECRET_SIZE = 32
_log = structlog.get_logger()


class Links(Protocol):
    """What the desk must know of links; each method raises NotFoundError for a link that does not exist."""

    def zone(self, link: str) -> ZoneInfo:
        """The time zone in which the link's terms run."""
        ...

    def folders(self, link: str) -> Sequence[Searchable]:
        """Every folder that holds files of the link; no folder lies in another one."""
        ...

    def needs_second_person(self, link: str) -> bool:
        """Whether another person than the one who opened a request has to approve it."""
        ...

    def hold(self, link: str, folder: str, path: Parts) -> str | None:
        """The reason of the legal hold on a file; None when there is none."""
        ...

    def index(self, link: str) -> Index | None:
        """The index of what was received over the link, if it has one. Raises OSError and sqlite3.Error."""
        ...

    def receiptless(self, link: str, transfers: Sequence[str]) -> AbstractContextManager[None]:
        """Remove the receipts of transfers, and let none of the link be written until the context ends."""
        ...


class ErasureDesk:
    """Opens, searches, approves and runs deletion requests; one of them at a time."""

    def __init__(self, ledger: Ledger, readers: Readers, links: Links, key: SigningKey) -> None:
        self._ledger = ledger
        self._readers = readers
        self._links = links
        self._key = key
        self._working = threading.Lock()

    def open(self, link: str, identifiers: Sequence[str], received: datetime, by: str) -> str:
        """Enter a request received at `received` for a person known by `TYPE=VALUE`…, and return its id.

        Raises UsageError and InvalidNameError for identifiers, NotFoundError for the link.
        """
        if not identifiers:
            raise UsageError("a deletion request needs an identifier", expected="at least one TYPE=VALUE")
        request = Request(
            id=new_id(received),
            link=link,
            state=State.RECEIVED,
            received_at=received,
            due_at=due(received, self._links.zone(link)),
            identifiers=tuple(dict.fromkeys(map(parse_identifier, identifiers))),
            secret=secrets.token_bytes(_SECRET_SIZE),
            opened_by=by,
        )

        def work(unit: Unit) -> None:
            records.insert(unit, request)
            public = {"request": request.id, "due": request.due_at.isoformat()}
            unit.record(Event("erasure.opened", link, public, {"operator": by}))

        self._ledger.write(work)
        return request.id

    def find(self, request_id: str) -> list[Item]:
        """Search every folder of the link and return the plan that is to be approved.

        Raises RefusedError `ERASURE_STATE` where the request does not allow it, ProcessError.
        """
        with self._working:
            request = self._ledger.write(lambda unit: records.advance(unit, request_id, Trigger.SEARCH))
            searched, steps = self._search(request, self._lookup(request))

            def work(unit: Unit) -> None:
                records.advance(unit, request_id, Trigger.FINDINGS)
                records.replace_plan(unit, request, steps, searched)
                counts = Counter(step.action for step in steps)
                _record(unit, request, "erasure.found", **{action: counts[action] for action in Action})

            self._ledger.write(work)
        return self.items(request_id)

    def approve(self, request_id: str, by: str) -> None:
        """Approve the plan as it stands.

        Raises RefusedError `ERASURE_STATE`, or `SECOND_PERSON` where the link wants another person to do it.
        """

        def work(unit: Unit) -> None:
            opened = records.get(unit.conn, request_id)
            if by == opened.opened_by and self._links.needs_second_person(opened.link):
                raise RefusedError(
                    f"{by!r} opened the request and cannot approve it",
                    reason="SECOND_PERSON",
                    where=request_id,
                    remedy="have another person approve it",
                )
            request = records.advance(unit, request_id, Trigger.APPROVE, approved_by=by, approved_at=unit.now)
            unit.record(Event("erasure.approved", request.link, {"request": request.id}, {"operator": by}))

        self._ledger.write(work)

    def deny(self, request_id: str, by: str, reason: str) -> None:
        """Deny a request, which then forgets its identifiers. Raises RefusedError `ERASURE_STATE`."""

        def work(unit: Unit) -> None:
            request = records.advance(unit, request_id, Trigger.DENY, closed_at=unit.now)
            records.forget(unit, request)
            private = {"operator": by, "reason": reason}
            unit.record(Event("erasure.denied", request.link, {"request": request.id}, private))

        self._ledger.write(work)

    def run(self, request_id: str) -> Request:
        """Carry out the approved plan, search again and issue the certificate; repeat it after a crash.

        Raises RefusedError `ERASURE_STATE`, or `ERASURE_REMAINS` where the second search still finds the
        person: then find, approve and run again. Also ProcessError and LedgerError.
        """
        with self._working:
            request = self._ledger.write(lambda unit: records.advance(unit, request_id, Trigger.RUN))
            if request.state is not State.VERIFYING:
                self._carry_out(request)
                self._ledger.write(lambda unit: records.advance(unit, request_id, Trigger.CARRIED_OUT))
            self._verify(request)
        return self.show(request_id)

    def look_for(self, link: str, identifiers: Sequence[Identifier]) -> Searched:
        """Search every folder of a link for a person about whom there is no request. Raises ProcessError."""
        with self._working:
            return search(self._links.folders(link), identifiers, self._readers)

    def interrupted(self) -> list[str]:
        """The ids of requests that a crash stopped while they ran: each is to be run again at start."""
        with self._ledger.read() as conn:
            return records.ids(conn, State.EXECUTING, State.VERIFYING)

    def show(self, request_id: str) -> Request:
        """A request, with its certificate once there is one. Raises NotFoundError."""
        with self._ledger.read() as conn:
            return records.get(conn, request_id)

    def requests(self, link: str | None = None) -> list[Request]:
        """The requests of one link or of all, oldest first."""
        with self._ledger.read() as conn:
            return records.listed(conn, link)

    def items(self, request_id: str) -> list[Item]:
        """The steps of a request's plan and how far each is."""
        with self._ledger.read() as conn:
            return records.items(conn, request_id)

    def searched(self, request_id: str) -> tuple[int, int]:
        """How many files the search behind a plan saw, and how many of them it had no need to read."""
        with self._ledger.read() as conn:
            files = sum(records.files_searched(conn, request_id).values())
            return files, records.files_looked_up(conn, request_id)

    def _search(self, request: Request, lookup: Lookup | None = None) -> tuple[Searched, list[Step]]:
        searched = search(self._links.folders(request.link), request.identifiers, self._readers, lookup)
        held = partial(self._links.hold, request.link)
        places = [(finding.folder, finding.path) for finding in searched.findings]
        holds = {place: reason for place in places if (reason := held(*place)) is not None}
        return searched, plan(searched, holds)

    def _lookup(self, request: Request) -> Lookup | None:
        """What the index says of the person; None where it cannot: then everything is read."""
        try:
            with reached(request.link):
                index = self._links.index(request.link)
                return None if index is None else index.lookup(request.identifiers)
        except IndexFaultError as fault:
            _log.warning("index_not_used", request=request.id, fault=str(fault))
            return None

    def _carry_out(self, request: Request) -> None:
        items = self.items(request.id)
        with ExitStack() as opened:
            contents = {
                folder.name: opened.enter_context(_open(folder))
                for folder in self._links.folders(request.link)
                if any(item.step.folder == folder.name for item in items)
            }
            held = partial(self._links.hold, request.link)
            receiptless = partial(self._links.receiptless, request.link)
            Executor(self._ledger, self._readers, request, contents, held, receiptless).carry_out(items)

    def _verify(self, request: Request) -> None:
        with reached(request.link):
            index = self._links.index(request.link)
            indexed = 0 if index is None else index.newest()
        searched, steps = self._search(request)
        undone = {_place(item.step) for item in self.items(request.id) if item.is_undone}
        left = [step for step in steps if step.action in LEFT_BEHIND or _place(step) in undone]
        remaining = [step for step in left if step.action is not Action.KEEP]
        if remaining:
            self._ledger.write(lambda unit: records.advance(unit, request.id, Trigger.REMAINS))
            raise RefusedError(
                f"the second search still finds the person in {len(remaining)} files",
                reason="ERASURE_REMAINS",
                where=request.id,
                remedy="find, approve and run the request again",
            )
        if index is not None and not any(step.action is Action.KEEP for step in steps):
            with reached(request.link):
                index.forget(request.identifiers, indexed)
        self._ledger.write(partial(self._close, request, searched, steps))
        try:
            self._ledger.compact()
        except LedgerError as fault:
            _log.warning("ledger_not_compacted", request=request.id, fault=str(fault))

    def _close(self, request: Request, searched: Searched, steps: Sequence[Step], unit: Unit) -> None:
        held = sum(step.action is Action.KEEP for step in steps)
        event = "erasure.partial" if held else "erasure.closed"
        items = records.items(unit.conn, request.id)
        files = records.files_searched(unit.conn, request.id)
        certificate = certify(request, items, files, searched, steps, unit.now, self._key)
        if held:
            records.advance(unit, request.id, Trigger.ONLY_HELD_LEFT, certificate=certificate)
        else:
            epoch = records.next_epoch(unit.conn)
            closing = {"certificate": certificate, "closed_at": unit.now, "epoch": epoch}
            records.advance(unit, request.id, Trigger.NOTHING_LEFT, **closing)
            records.forget(unit, request)
        removed = [item.step for item in items if item.is_done]
        public = {"files": len(removed), "records": sum(step.records for step in removed), "held": held}
        digest = hashlib.sha256(certificate.encode()).hexdigest()
        _record(unit, request, event, certificate_sha256=digest, **public)


def _open(folder: Searchable) -> Contents:
    try:
        return folder.open()
    except OSError as fault:
        raise RefusedError(
            f"folder cannot be opened: {fault.strerror}", reason="FOLDER_MISSING", where=str(folder)
        ) from fault


def _place(step: Step) -> Place:
    return step.folder, step.path


def _record(unit: Unit, request: Request, event: str, **public: Any) -> None:
    unit.record(Event(event, request.link, {"request": request.id, **public}))
