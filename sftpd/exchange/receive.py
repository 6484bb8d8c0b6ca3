"""Receiving: a whole file, uploaded or fetched, becomes a received file or is held back."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import structlog

from sftpd.errors import ContainmentError, NotOpenError, RefusedError
from sftpd.exchange import records
from sftpd.exchange.archive import NO_ARCHIVE, Archive
from sftpd.exchange.arrival import Arrival, Seen, Stray, apart, discard, take_over
from sftpd.exchange.backlog import Backlog
from sftpd.exchange.keeping import Keeping
from sftpd.exchange.places import Places, file_at
from sftpd.exchange.quarantine import NEWER, STRAY, SUPERSEDED, Quarantine, is_superseded, verdict_on
from sftpd.exchange.records import Transfer
from sftpd.exchange.screening import Screening
from sftpd.exchange.transfer import Outcome, TransferState
from sftpd.files import durable
from sftpd.hooks.verdict import ACCEPTED, Kind, Verdict
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.names import TransferId
from sftpd.process.deadline import Deadline

Answer = Literal["published", "quarantined", "screening"]
Rest = Callable[[], Answer]
"""What is left to do for an answer that takes long; raises as `Receiver.complete`."""

REJECTED = "REJECTED"
"""The reason of a refusal by a gate; the file is in quarantine then."""

_SMALL = 1 << 20
"""Bytes of a file that gates which are running already look at in no time."""

_SOON = 0.5
"""Seconds that they are given for it, before they are asked as any other gate is."""

_ACKNOWLEDGED = {"acknowledged": "before_verdict"}
"""What an event says besides of a file whose sender was not kept waiting for the verdict."""

_log = structlog.get_logger()


class Receiver:
    """Takes arrivals of one link in: screening, then one transaction, then one rename."""

    def __init__(  # noqa: PLR0913 (what it joins)
        self,
        link: str,
        places: Places,
        *,
        ledger: Ledger,
        screening: Screening,
        keeping: Keeping,
        workers: Executor,
        observing: Backlog,
        acknowledge_within: float,
        archive: Archive = NO_ARCHIVE,
        require_open: Callable[[], None] = lambda: None,
    ) -> None:
        """`require_open` raises NotOpenError while the link takes nothing in."""
        self._archive = archive
        self._require_open = require_open
        self._link = link
        self._keeping = keeping
        self._places = places
        self._quarantine = Quarantine(link, places, ledger)
        self._ledger = ledger
        self._screening = screening
        self._workers = workers
        self._observing = observing
        self._acknowledge_within = acknowledge_within

    def complete(self, arrival: Arrival) -> Answer:
        """Screen an arrival and publish it or put it in quarantine.

        A verdict that takes longer than the limit is not waited for: the file is then recorded as received
        and screened on. Raises RefusedError with the gate's reason when the file is rejected, or when it is
        not what its sender says it is.
        """
        (answer,) = self.complete_quickly([arrival])
        return resolved(answer)

    def complete_all(self, arrivals: Sequence[Arrival]) -> list[Answer | Exception]:
        """The same for several, at most TOGETHER; answers for each with what `complete` returns or raises."""
        return [
            _outcome(answer) if callable(answer) else answer for answer in self.complete_quickly(arrivals)
        ]

    def complete_quickly(self, arrivals: Sequence[Arrival]) -> list[Answer | Exception | Rest]:
        """The same without waiting for gates that take long: the answer is then a function that waits."""
        answers = self._completed(arrivals)
        return [self._let_go(arrival, answers[arrival.transfer]) for arrival in arrivals]

    def _completed(self, arrivals: Sequence[Arrival]) -> Mapping[TransferId, Answer | Exception | Rest]:
        answers: dict[TransferId, Answer | Exception | Rest] = {}
        accepted: list[tuple[str, Transfer]] = []
        deadline = Deadline(min(_SOON, self._acknowledge_within))
        for arrival, transfer in zip(arrivals, self._take_over(arrivals), strict=True):
            if isinstance(transfer, Exception):
                answers[arrival.transfer] = transfer
                continue
            try:
                verdict = self._verdict_soon(transfer, arrival.policy, deadline)
            except Exception as error:
                answers[arrival.transfer] = error
                continue
            if verdict is not None and verdict.accepted:
                accepted.append((arrival.folder, transfer))
            else:
                answers[arrival.transfer] = partial(self._complete, transfer, arrival, verdict)
        for folder, transfers in apart(accepted):
            answers |= self._settle(transfers, folder)
        return answers

    def _let_go(self, arrival: Arrival, answer: Answer | Exception | Rest) -> Answer | Exception | Rest:
        """Leave nothing in the screening folder of a file that is not taken in: its sender is told so."""
        if callable(answer):
            return lambda: resolved(self._let_go(arrival, _outcome(answer)))
        if isinstance(answer, Exception):
            discard(arrival, self._places["screening"], self._ledger)
        return answer

    def settle(self, transfer: Transfer, folder: str, verdict: Verdict, *, entered: bool) -> Answer:
        """Carry a verdict out on a file that waits in the screening folder.

        `entered`: the ledger has the transfer already. Raises RefusedError when the file is rejected.
        """
        if verdict.accepted:
            (answer,) = self._settle([transfer], folder, entered=entered).values()
            return resolved(answer)
        self._quarantine.put(transfer, verdict, _ACKNOWLEDGED if entered else {}, entered=entered)
        return _held_back(verdict)

    def _complete(self, transfer: Transfer, arrival: Arrival, verdict: Verdict | None) -> Answer:
        """Carry out a verdict that is not to accept, or is not had yet."""
        if verdict is not None:
            return self.settle(transfer, arrival.folder, verdict, entered=False)
        screened: Future[Verdict] = self._workers.submit(self._screen, transfer, arrival.policy)

        def enter(unit: Unit) -> None:
            self._require_open()
            records.insert(unit, transfer, folder=arrival.folder)

        try:
            verdict = screened.result(self._acknowledge_within)
        except NotYet:
            self._ledger.write(enter)
            screened.add_done_callback(partial(self._settle_late, transfer, arrival.folder))
            return "screening"
        return self.settle(transfer, arrival.folder, verdict, entered=False)

    def _settle(
        self, transfers: Sequence[Transfer], folder: str, *, entered: bool = False
    ) -> dict[TransferId, Answer | Exception]:
        """Publish files that were accepted; where their transaction fails, each has its own."""
        said = _ACKNOWLEDGED if entered else {}
        try:
            blocked = self._publish(transfers, folder, said, entered=entered)
        except Exception as error:
            if len(transfers) == 1:
                return {transfers[0].id: self._unpublished(transfers[0], error, said, entered=entered)}
            return {
                name: answer
                for transfer in transfers
                for name, answer in self._settle([transfer], folder, entered=entered).items()
            }
        answers: dict[TransferId, Answer | Exception] = {}
        for transfer in transfers:
            answers[transfer.id] = "published"
            if (why := blocked.get(transfer.id)) is not None:
                verdict = self._why_not(transfer, why)
                answers[transfer.id] = (
                    why if verdict is None else self._held_back(transfer, verdict, said, entered=True)
                )
        return answers

    def _why_not(self, transfer: Transfer, error: Exception) -> Verdict | None:
        """What keeps a file from being published; None when only its sender must not rely on it."""
        _log.error("publish_failed", link=self._link, transfer=transfer.id, error=str(error))
        return verdict_on(error)

    def _unpublished(
        self, transfer: Transfer, error: Exception, said: Mapping[str, str], *, entered: bool
    ) -> Answer | Exception:
        """What becomes of a file whose transaction failed; one that may not replace another is held back."""
        if not isinstance(error, RefusedError) or isinstance(error, NotOpenError):
            return error
        # A hold was placed since the upload began, or a pull never asked; or a newer file came in meanwhile.
        verdict = Verdict(Kind.REJECT, f"{error.what}; nothing may replace it")
        return self._held_back(transfer, verdict, said, entered=entered)

    def _held_back(
        self, transfer: Transfer, verdict: Verdict, said: Mapping[str, str], *, entered: bool
    ) -> Answer | Exception:
        try:
            self._quarantine.put(transfer, verdict, said, entered=entered)
            return _held_back(verdict)
        except Exception as refusal:
            return refusal

    def publish_again(self, transfer: Transfer) -> None:
        """After a crash, or a release: do the rename that was due, if it was not done."""
        assert transfer.folder is not None
        if self._places.is_unpublished(transfer):
            if transfer.placed_as is None and is_superseded(self._ledger, transfer, transfer.folder):
                self._quarantine.put(transfer, SUPERSEDED, {}, entered=True)
                return
            for error in self._rename([transfer], transfer.folder).values():
                verdict = self._why_not(transfer, error)
                if verdict is not None:
                    self._quarantine.put(transfer, verdict, {}, entered=True)
                return
        done = (Outcome.PLACED, Outcome.PUT_AWAY)
        self._ledger.write(lambda unit: records.move(unit, transfer.id, *done, placed_as=None))

    def quarantine_again(self, transfer: Transfer) -> None:
        """After a crash: finish putting a file in quarantine."""
        self._quarantine.take_in(transfer)

    def screen_again(self, transfer: Transfer, policy: Mapping[str, Any]) -> None:
        """After a crash: screen a file that was acknowledged before its verdict."""
        assert transfer.folder is not None
        self._settle_acknowledged(transfer, transfer.folder, self._screen(transfer, policy))

    def _settle_late(self, transfer: Transfer, folder: str, screened: Future[Verdict]) -> None:
        try:
            self._settle_acknowledged(transfer, folder, screened.result())
        except Exception:
            # Nobody waits for this one; the ledger has it, and the next start finishes it.
            _log.exception("settling_failed", link=self._link, transfer=transfer.id)

    def _settle_acknowledged(self, transfer: Transfer, folder: str, verdict: Verdict) -> None:
        try:
            self.settle(transfer, folder, verdict, entered=True)
        except RefusedError as refusal:
            _log.info("rejected_after_acknowledgement", transfer=transfer.id, reason=refusal.what)

    def _take_over(self, arrivals: Sequence[Arrival]) -> list[Transfer | Exception]:
        """Move files where their senders cannot reach them; the moves are durable then."""
        seen = take_over(arrivals, self._places["screening"])
        return [self._taken(arrival, found) for arrival, found in zip(arrivals, seen, strict=True)]

    def _taken(self, arrival: Arrival, found: Seen | Stray | Exception) -> Transfer | Exception:
        if isinstance(found, Seen):
            return self._transfer(arrival, found)
        if isinstance(found, Exception):
            return found
        try:
            self._quarantine.put(self._transfer(arrival, found.seen), STRAY, {}, entered=False)
        except Exception as error:
            return error
        return found.why

    def _transfer(self, arrival: Arrival, seen: Seen) -> Transfer:
        return Transfer(
            id=arrival.transfer,
            link=self._link,
            direction="inbound",
            route=arrival.route,
            peer=arrival.peer,
            path=arrival.path,
            source=str(seen.snapshot),
            size=seen.snapshot.size,
            sha256=seen.sha256,
            origin=arrival.origin,
        )

    def _screen(self, transfer: Transfer, policy: Mapping[str, Any]) -> Verdict:
        return self._screening.screen(transfer, self._waiting(transfer), policy)

    def _verdict_soon(
        self, transfer: Transfer, policy: Mapping[str, Any], deadline: Deadline
    ) -> Verdict | None:
        """A verdict that is had sooner than another thread could be asked for it."""
        if transfer.size > _SMALL:
            return None if self._screening.has_gates(transfer) else ACCEPTED
        patience = deadline.remaining() or 0.0
        return self._screening.screen_soon(transfer, self._waiting(transfer), policy, patience)

    def _waiting(self, transfer: Transfer) -> Path:
        """Where the gates find a file that waits for its verdict."""
        return Path(file_at(self._places["screening"], (transfer.id.encode(),)))

    def _publish(
        self, transfers: Sequence[Transfer], folder: str, said: Mapping[str, str], *, entered: bool
    ) -> dict[TransferId, Exception]:
        """Record files as received and publish them; returns what keeps some from being published."""

        def event(each: Transfer, copy: Mapping[str, Any]) -> Event:
            public = {**each.public, "folder": folder, **said, **copy}
            return Event("transfer.received", self._link, public, each.private)

        def work(unit: Unit) -> datetime:
            if not entered:
                self._require_open()
            for each in transfers:
                self._keeping.require_free(folder, each.path, unit.conn)
            outcomes = (Outcome.ACCEPTED, Outcome.VERIFIED)
            if entered:
                records.move_all(unit, {each.id: {"folder": folder} for each in transfers}, *outcomes)
            else:
                records.insert_all(unit, [(each, {"folder": folder}) for each in transfers], *outcomes)
            records.keep_all(unit, [(each, each.path) for each in transfers], folder, again=entered)
            unit.record_all([event(each, copies[each.id].enter(unit)) for each in transfers])
            return unit.now

        paths = [transfer.path for transfer in transfers]
        # Orders and answers are removed once they are on record, for they say who a person is.
        archive = NO_ARCHIVE if folder == "requests" else self._archive
        sealed = archive.sealed(transfers, self._places["screening"])
        with sealed as copies, self._places.alone(folder, *paths):
            for each in transfers:
                if entered and is_superseded(self._ledger, each, folder):
                    raise RefusedError(NEWER, reason="SUPERSEDED")
                self._keeping.put_aside(folder, each.path, each.private)
            now = self._ledger.write(work)
            blocked = self._rename(transfers, folder)
        for transfer in transfers:
            if transfer.id not in blocked:
                self._published(transfer, folder, now)
        return blocked

    def _published(self, transfer: Transfer, folder: str, now: datetime) -> None:
        """Record, with the next commit, that a file is at its place, and tell the observers."""
        placing = TransferState.PLACING
        records.follow(self._ledger, transfer.id, placing, Outcome.PLACED, Outcome.PUT_AWAY, now=now)
        self.tell(transfer, folder)

    def tell(self, transfer: Transfer, folder: str) -> None:
        """Tell the observers, soon, that a file is at its place."""
        if self._screening.has_observers(transfer):
            with suppress(RuntimeError):  # raised once sftpd is stopping; the file is published all the same
                file = Path(file_at(self._places[folder], transfer.path))
                self._observing.submit(partial(self._screening.tell, transfer, file))

    def _rename(self, transfers: Sequence[Transfer], folder: str) -> dict[TransferId, Exception]:
        """Move files where they are published; returns what keeps some from that.

        One that was screened replaces what is there, one that was released does not.
        """
        target = self._places[folder]
        moves = durable.Unsynced()
        blocked: dict[TransferId, Exception] = {}
        for transfer in transfers:
            try:
                durable.make_directories(target, transfer.path)
                source, place = self._places.unpublished(transfer)
                newest = transfer.placed_as is None
                durable.rename(source, place, target, transfer.path, replace=newest, among=moves)
            except (OSError, ContainmentError) as error:
                blocked[transfer.id] = error
        try:
            moves.sync()
        except OSError as error:
            unsynced = durable.NotDurableError(error.errno, error.strerror, folder)
            return {transfer.id: unsynced for transfer in transfers} | blocked
        return blocked


def resolved(answer: Answer | Exception | Rest) -> Answer:
    """What an answer comes to, once what is left is done. Raises what it is, or what that raises."""
    if isinstance(answer, Exception):
        raise answer
    return answer() if callable(answer) else answer


def _outcome(rest: Rest) -> Answer | Exception:
    try:
        return rest()
    except Exception as error:
        return error


def _held_back(verdict: Verdict) -> Answer:
    """The answer about a file that was put in quarantine. Raises RefusedError if it was rejected."""
    if verdict.kind is Kind.REJECT:
        raise RefusedError(verdict.reason, reason=REJECTED)
    return "quarantined"
