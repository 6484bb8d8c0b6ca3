"""The erasure desk: what operators and partners ask of deletion requests."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import structlog

from sftpd.audit.checkpoint import SigningKey
from sftpd.erasure import deliveries, exceptions, gone_names, intake, match_records, notices, records
from sftpd.erasure.afresh import require_known
from sftpd.erasure.contents import Contents, Searchable
from sftpd.erasure.deliveries import Delivery
from sftpd.erasure.erased import RequestClosed
from sftpd.erasure.erasures import Erasures
from sftpd.erasure.evidence import Evidence, certify
from sftpd.erasure.execute import Around, Executor
from sftpd.erasure.forgetting import forget_old, leave_nothing
from sftpd.erasure.freed import HELD, freed
from sftpd.erasure.gone_names import Gone
from sftpd.erasure.identifiers import Identifier
from sftpd.erasure.index import Index, IndexFaultError, Lookup, reached
from sftpd.erasure.intake import Intake
from sftpd.erasure.layouts import Layout
from sftpd.erasure.medium import Medium
from sftpd.erasure.plan import LEFT_BEHIND, Action, Place, Searched, Step, plan
from sftpd.erasure.readers import Readers
from sftpd.erasure.records import Item, Request
from sftpd.erasure.removal import drop_drafts
from sftpd.erasure.request import UNSEARCHED, State, Trigger
from sftpd.erasure.review import Reviewer
from sftpd.erasure.search import search
from sftpd.errors import RefusedError
from sftpd.files.beneath import Parts
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.names import is_same_person

_log = structlog.get_logger()


class Links(intake.Links, Protocol):
    """What the desk must know of links; each method raises NotFoundError for a link that does not exist."""

    def folders(self, link: str) -> Sequence[Searchable]:
        """Every folder that holds files of the link; no folder lies in another one. Raises RefusedError."""
        ...

    def catch_up(self, link: str) -> None:
        """Wait a moment until what is written about files that have come is in the folders."""
        ...

    def needs_second_person(self, link: str) -> bool:
        """Whether another person than the one who opened a request has to approve it."""
        ...

    def layouts(self, link: str) -> Sequence[Layout]:
        """What is told of the link's files by hand."""
        ...

    def hold(self, link: str, folder: str, path: Parts) -> str | None:
        """The reason of the legal hold on a file; None when there is none."""
        ...

    def kept_until(self, link: str, since: datetime) -> datetime:
        """When what is left of a request answered at `since` goes; as below, also of a link that is gone."""
        ...

    def acknowledged_by(self, link: str, since: datetime) -> datetime:
        """By when a notice over a link that was made at `since` is to be acknowledged."""
        ...

    def counterparty(self, link: str) -> str:
        """With whom the link is, as people call them."""
        ...

    def index(self, link: str) -> Index | None:
        """The index of what was received over the link, if it has one. Raises OSError and sqlite3.Error."""
        ...

    def receiptless(self, link: str, transfers: Sequence[str]) -> AbstractContextManager[None]:
        """Remove the receipts of transfers, and let none of the link be written until the context ends."""
        ...

    def alone(self, link: str, folder: str, path: Parts) -> AbstractContextManager[None]:
        """Let nobody else publish, change or remove a file at this path, until the context ends."""
        ...


class ErasureDesk:
    """Opens, searches, approves and runs deletion requests; one of them at a time."""

    def __init__(
        self, ledger: Ledger, readers: Readers, erasures: Erasures, links: Links, key: SigningKey
    ) -> None:
        self._ledger = ledger
        self._readers = readers
        self._erasures = erasures
        self._links = links
        self._key = key
        self.intake = Intake(ledger, links)
        self._working = threading.Lock()
        self.reviewer = Reviewer(ledger, self._readers_of, links.folders)
        """Whom one asks about possible matches."""

    def open(self, link: str, identifiers: Sequence[str], received: datetime, by: str) -> str:
        """Enter a request received at `received` for a person known by `TYPE=VALUE`…, and return its id.

        Raises UsageError and InvalidNameError for identifiers, NotFoundError for the link.
        """
        return self.intake.open(self.intake.made(link, identifiers, received, by)).id

    def find(self, request_id: str) -> list[Item]:
        """Search every folder of the link and return the plan that is to be approved.

        Raises RefusedError `ERASURE_STATE` where the request does not allow it, ProcessError.
        """
        with self._working:
            self._find(request_id)
        return self.items(request_id)

    def find_first(self, request_id: str) -> None:
        """As `find`, unless a search has come to its end meanwhile: an approval of that one stays."""
        with self._working:
            if self.show(request_id).state in UNSEARCHED:
                self._find(request_id)

    def _find(self, request_id: str) -> None:
        request = self._ledger.write(lambda unit: records.search_anew(unit, request_id))
        # Of a run that was interrupted, and is not gone on with.
        intended = [item for item in self.items(request_id) if item.state == "intended"]
        with self._contents(request.link, intended) as contents:
            drop_drafts(request, intended, contents)
        self._links.catch_up(request.link)
        searched, steps = self._search(request, self._lookup(request.link, request.identifiers))

        def work(unit: Unit) -> None:
            records.advance(unit, request_id, Trigger.FINDINGS)
            records.replace_plan(unit, request, steps, searched)
            counts = Counter(step.action for step in steps)
            _record(unit, request, "erasure.found", **{action: counts[action] for action in Action})

        self._ledger.write(work)

    def approve(self, request_id: str, by: str) -> None:
        """Approve the plan as it stands.

        Raises RefusedError `ERASURE_STATE`, `SECOND_PERSON` where the link wants another person to do it,
        `NO_INSTRUCTION` where a controller has to decide first, `RESTORED` where it is not known what is
        held, or `ERASURE_UNDECIDED` where nobody has decided on a possible match.
        """

        def work(unit: Unit) -> None:
            opened = records.get(unit.conn, request_id)
            undecided = match_records.undecided(unit.conn, request_id)
            if undecided and opened.state is State.REVIEW:
                raise RefusedError(
                    f"possible matches on which nobody has decided: {undecided}",
                    reason="ERASURE_UNDECIDED",
                    where=request_id,
                    remedy="look at them with `sftpd erasure review`, then `sftpd erasure decide`",
                )
            if is_same_person(by, opened.opened_by) and self._links.needs_second_person(opened.link):
                raise RefusedError(
                    f"{by!r} opened the request and cannot approve it",
                    reason="SECOND_PERSON",
                    where=request_id,
                    remedy="have another person approve it",
                )
            self.intake.require_decided(opened)
            require_known(unit.conn)
            request = records.advance(unit, request_id, Trigger.APPROVE, approved_by=by, approved_at=unit.now)
            unit.record(Event("erasure.approved", request.link, {"request": request.id}, {"by": by}))

        self._ledger.write(work)

    def deny(self, request_id: str, by: str, reason: str) -> None:
        """Deny a request, which then forgets its identifiers.

        Raises RefusedError `ERASURE_STATE`, or `ERASURE_BEGUN` where something was removed for it: that has
        to be certified, and recipients are to be told.
        """

        def work(unit: Unit) -> None:
            removed = sum(item.is_done for item in records.items(unit.conn, request_id))
            if removed:
                raise RefusedError(
                    f"it cannot be denied any more: {removed} of its removals are done",
                    reason="ERASURE_BEGUN",
                    where=request_id,
                    remedy="except what is to stay with `sftpd erasure except`, then approve and run it",
                )
            request = records.advance(unit, request_id, Trigger.DENY, closed_at=unit.now)
            records.forget(unit, request)
            deliveries.forget_contents(unit, request.id)
            private = {"by": by, "reason": reason}
            unit.record(Event("erasure.denied", request.link, {"request": request.id}, private))

        self._ledger.write(work)

    def run(self, request_id: str) -> Request:
        """Carry out the approved plan, search again and issue the certificate; repeat it after a crash.

        Raises RefusedError `ERASURE_STATE`, or `ERASURE_REMAINS` where the second search still finds the
        person: then find, approve and run again; `REPLAY_NEEDED` in a state that was restored. Also
        ProcessError, LedgerError and ErasureLedgerError.
        """
        with self._working:
            self._erasures.require_current()
            request = self._ledger.write(lambda unit: records.advance(unit, request_id, Trigger.RUN))
            if request.state is not State.VERIFYING:
                self._carry_out(request)
                self._ledger.write(lambda unit: records.advance(unit, request_id, Trigger.CARRIED_OUT))
            self._verify(request)
        return self.show(request_id)

    def look_for(self, link: str, identifiers: Sequence[Identifier]) -> Searched:
        """Search every folder of a link for a person about whom there is no request. Raises ProcessError."""
        with self._working:
            readers, lookup = self._readers_of(link), self._lookup(link, identifiers)
            return search(self._links.folders(link), identifiers, readers, lookup)

    def forget_old(self, now: datetime) -> int:
        """Forget what is left of requests whose own term is over; returns how many that were."""
        return forget_old(self._ledger, self._links.kept_until, now)

    def freed(self) -> dict[str, str]:
        """The ids of the requests that a legal hold kept and that can go on, each with its link."""
        return freed(self._ledger, self._links.hold)

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
        readers = self._readers_of(request.link)
        searched = search(self._links.folders(request.link), request.identifiers, readers, lookup)
        held = partial(self._links.hold, request.link)
        places = [(finding.folder, finding.path) for finding in searched.findings]
        places += [(unread.folder, unread.path) for unread in searched.unsearched if unread.mark]
        holds = {place: HELD + why for place in places if (why := held(*place)) is not None}
        with self._ledger.read() as conn:
            return searched, plan(searched, exceptions.standing(conn, request.id) | holds)

    def _lookup(self, link: str, identifiers: Sequence[Identifier]) -> Lookup | None:
        """What the index of a link says of a person; None where it cannot: then everything is read."""
        try:
            with reached(link):
                index = self._links.index(link)
                return None if index is None else index.lookup(identifiers, self._links.layouts(link))
        except IndexFaultError as fault:
            _log.warning("index_not_used", link=link, fault=str(fault))
            return None

    def _carry_out(self, request: Request) -> None:
        items = self.items(request.id)
        with self._contents(request.link, items) as contents:
            links, link = self._links, request.link
            around = Around(
                partial(links.hold, link), partial(links.receiptless, link), partial(links.alone, link)
            )
            tools = (self._ledger, self._readers_of(request.link), self._erasures)
            Executor(*tools, request, contents, around).carry_out(items)

    @contextmanager
    def _contents(self, link: str, items: Sequence[Item]) -> Iterator[Mapping[str, Contents]]:
        """The folders of a link that some steps are about, open, by name."""
        names = {item.step.folder for item in items}
        folders = self._links.folders(link) if names else ()
        with ExitStack() as opened:
            yield {
                folder.name: opened.enter_context(_open(folder)) for folder in folders if folder.name in names
            }

    def _readers_of(self, link: str) -> Readers:
        return self._readers.knowing(self._links.layouts(link))

    def _verify(self, request: Request) -> None:
        with reached(request.link):
            index = self._links.index(request.link)
            indexed = 0 if index is None else index.newest()
        searched, steps = self._search(request)
        items = self.items(request.id)
        undone = {_place(item.step) for item in items if item.is_undone} | _unreviewed(items, steps)
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
        folders = self._links.folders(request.link)
        media = {folder.name: folder.medium() for folder in folders}
        removed = [item.step.path for item in items if item.is_done]
        with self._ledger.read() as conn:
            delivered = deliveries.of_same_content(conn, request.id)
            who = (request.link, request.id, request.identifiers)
            gone = gone_names.look(conn, *who, folders, removed)
        if not any(step.action is Action.KEEP for step in steps):
            self._erasures.append(lambda epoch, at: RequestClosed(epoch, at, request.id, request.link))
            if index is not None:
                with reached(request.link):
                    index.forget(request.identifiers, indexed)
        self._ledger.write(partial(self._close, request, searched, steps, media, delivered, gone))
        leave_nothing(self._ledger)

    def _close(
        self,
        request: Request,
        searched: Searched,
        steps: Sequence[Step],
        media: Mapping[str, Medium],
        delivered: Sequence[Delivery],
        gone: Gone,
        unit: Unit,
    ) -> None:
        held = sum(step.action is Action.KEEP for step in steps)
        items = records.items(unit.conn, request.id)
        deliveries.enter(unit, request.id, delivered)
        gone_names.forget(unit, gone, self._erasures.digests)
        notices.make(unit, request, self._key, self._links.acknowledged_by)
        evidence = Evidence(
            items=items,
            files=records.files_searched(unit.conn, request.id),
            second=searched,
            steps=steps,
            media=media,
            recipients=notices.recipients(unit.conn, request.id, self._links.counterparty),
            kept_until=self._links.kept_until(request.link, unit.now),
        )
        certificate = certify(request, evidence, unit.now, self._key)
        if held:
            event = "erasure.partial"
            records.advance(unit, request.id, Trigger.ONLY_HELD_LEFT, certificate=certificate)
        else:
            closing = {"certificate": certificate, "epoch": self._erasures.note(unit)}
            records.advance(unit, request.id, Trigger.NOTHING_LEFT, **closing)
            event = "erasure.closed" if notices.all_told(unit, request) else "erasure.notifying"
        removed = [item.step for item in items if item.is_done]
        files_touched = len({_place(step) for step in removed})
        counts = {"files": files_touched, "records": sum(step.records for step in removed), "held": held}
        public = {**counts, "names": len(gone.names)}
        digest = hashlib.sha256(certificate.encode()).hexdigest()
        _record(unit, request, event, certificate_sha256=digest, **public)


def _open(folder: Searchable) -> Contents:
    try:
        return folder.open()
    except OSError as fault:
        raise RefusedError(
            f"folder cannot be opened: {fault.strerror}", reason="FOLDER_MISSING", where=str(folder)
        ) from fault


def _unreviewed(items: Sequence[Item], steps: Sequence[Step]) -> set[Place]:
    """Files that have more possible matches than were to stay."""
    kept = Counter(_place(item.step) for item in items if item.state == "kept" and not item.step.is_unread)
    found = Counter(_place(step) for step in steps if step.action is Action.REVIEW)
    return {place for place, count in found.items() if count > kept[place]}


def _place(step: Step) -> Place:
    return step.folder, step.path


def _record(unit: Unit, request: Request, event: str, **public: Any) -> None:
    unit.record(Event(event, request.link, {"request": request.id, **public}))
