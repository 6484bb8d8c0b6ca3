"""The orders of one link: taken in from `/requests`, run once a person approves, answered in `/receipts`.

    received (order and signature) → signature holds → read → request and order on record → searched for
    → approved by a person → run → certificate posted → names and hashes of the order's files forgotten

Each step is on record before the next and may be repeated, so that a crash anywhere leaves nothing undone.
An order of the same name and content has no second effect; one of the same name and other content is refused.
What a counterparty answers to our notices comes in beside them, and is over as soon as it is on record.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from sftpd.audit.canonical import instant
from sftpd.audit.checkpoint import SigningKey, VerifierKey
from sftpd.clock import Clock
from sftpd.erasure import answers, order, order_records, records, replies, traces
from sftpd.erasure.answers import Answer, Shelf, Status
from sftpd.erasure.desk import ErasureDesk
from sftpd.erasure.messages import NoOrder
from sftpd.erasure.order import Order
from sftpd.erasure.order_records import Dropped, Received, Taken
from sftpd.erasure.readers import Readers
from sftpd.erasure.records import Request
from sftpd.erasure.replies import Replied, Reply
from sftpd.erasure.request import UNSEARCHED, State
from sftpd.errors import RefusedError, SftpdError
from sftpd.files.beneath import Root
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

_TO_RUN = frozenset({State.APPROVED, State.EXECUTING, State.VERIFYING})
_STATUS: Mapping[State, Status] = {
    State.CLOSED: "certificate",
    State.PARTIAL: "partial",
    State.DENIED: "denied",
}
"""What an order is whose request is in one of these states; in any other it is accepted."""

_LAST = frozenset({"certificate", "denied"})
T = TypeVar("T")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Drop:
    """Where a link's orders come in, who may sign them, and what else must be known of the link."""

    link: str
    signers: tuple[VerifierKey, ...]
    """Where there are none, no file is an order."""
    answerers: tuple[VerifierKey, ...]
    """Who may answer our notices; where there are none, no file is such an answer."""
    signature_within: timedelta
    """How long a file may wait for its signature."""
    instructs: bool
    """Whether the counterparty is the controller for whom we process, so that its order is an instruction."""
    requests: Root
    shelf: Shelf
    withdraw: Callable[[bytes, str], None]
    """Removes the file of a name from `requests`, if it is that of a transfer. Raises RefusedError: held."""
    receiptless: Callable[[Sequence[str]], AbstractContextManager[None]]
    """Removes the receipts of transfers, and lets none be written until the context ends."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What the orders of all links share."""

    ledger: Ledger
    desk: ErasureDesk
    readers: Readers
    """For orders alone, so that none waits for a search."""
    key: SigningKey
    clock: Clock


class Orders:
    """Takes in, drives and answers the orders of one link."""

    def __init__(self, drop: Drop, tools: Tools, secret: bytes) -> None:
        """`secret` keys the digests by which orders are known again."""
        self._drop = drop
        self._ledger = tools.ledger
        self._desk = tools.desk
        self._readers = tools.readers
        self._key = tools.key
        self._clock = tools.clock
        self._secret = secret

    def take_in(self) -> bool:
        """Take in what is complete and new, and answer what can be answered; says whether there may be more.

        It takes no time to speak of. Raises LedgerError; what fails for another reason is tried again.
        """
        unsigned_by = self._clock.now() - self._drop.signature_within
        with self._ledger.read() as conn:
            found = order_records.dropped(conn, self._drop.link, self._counts, unsigned_by)
        for one in found:
            self._one(self._take, one, one.content.transfer)
        for taken in self._unsettled():
            self._one(self._answer, taken, taken.transfer)
        return len(found) == order_records.BATCH

    def drive(self) -> None:
        """Search for what is new, and run what was approved. Raises as `take_in`."""
        for taken in self._unsettled():
            self._one(self._advance, taken, taken.transfer)

    def _one(self, step: Callable[[T], None], what: T, transfer: str) -> None:
        try:
            step(what)
        except (SftpdError, OSError) as error:
            # One order must not keep the others waiting.
            _log.warning("order_waits", link=self._drop.link, transfer=transfer, error=str(error))

    def _unsettled(self) -> list[Taken]:
        with self._ledger.read() as conn:
            return order_records.unsettled(conn, self._drop.link)

    def _counts(self, name: bytes) -> bool:
        """Whether a file of that name is looked at."""
        signers = self._drop.signers if replies.named(name) is None else self._drop.answerers
        return bool(signers) and (name.endswith(order.SUFFIX) or replies.named(name) is not None)

    def _take(self, dropped: Dropped) -> None:
        reply = replies.named(dropped.content.name)
        try:
            enter = self._order(dropped) if reply is None else self._reply(dropped, reply)
        except RefusedError as refusal:
            enter = partial(self._refuse, dropped, refusal)
        if enter is not None:
            self._ledger.write(enter)

    def _reply(self, dropped: Dropped, reply: Reply) -> Callable[[Unit], None] | None:
        """What enters an answer whose signature holds; None while files are changing. Raises RefusedError."""
        if dropped.content.size > replies.LIMIT:
            raise replies.refused(f"an answer has at most {replies.LIMIT} bytes", "ANSWER_SIZE")
        content, signature = self._signed(dropped, partial(replies.refused, reason="ANSWER_SIGNATURE"))
        if content is None or signature is None:
            return None
        replied = replies.verified(reply, content, signature, self._drop.answerers)
        return partial(self._acknowledge, dropped, replied)

    def _order(self, dropped: Dropped) -> Callable[[Unit], None] | None:
        """What enters an order whose signature holds, and the request for it; None while files are changing.

        Raises RefusedError for what is no order that counts, ProcessError.
        """
        if dropped.content.size > order.LIMIT:
            raise order.refused(f"an order has at most {order.LIMIT} bytes", "ORDER_SIZE")
        content, signature = self._signed(dropped, partial(order.refused, reason="ORDER_SIGNATURE"))
        if content is None or signature is None:
            return None
        signer = order.verify(content, signature, self._drop.signers)
        found = self._parse(content)
        by = f"order {found.order} by {signer.name}"
        made = self._desk.intake.made(self._drop.link, found.identifiers, dropped.content.at, by)
        if self._drop.instructs:
            made = replace(made, instructed_at=dropped.content.at)
        digest = hmac.new(self._secret, content, hashlib.sha256).hexdigest()
        return partial(self._accept, dropped, found, digest, made)

    def _signed(
        self, dropped: Dropped, refused: Callable[[str], RefusedError]
    ) -> tuple[bytes | None, bytes | None]:
        """A file and its signature as they are now, None for what another has taken the place of.

        Raises what `refused` makes where there is no signature.
        """
        if dropped.signature is None:
            seconds = self._drop.signature_within.total_seconds()
            raise refused(f"no signature came to lie beside it within {seconds:g} seconds")
        if dropped.signature.size > order.SIGNATURE_LIMIT:
            raise refused("the file beside it is no signature")
        return self._read(dropped.content), self._read(dropped.signature)

    def _read(self, file: Received) -> bytes | None:
        """The content of a received file; None where another, or none, is there now."""
        try:
            fd = self._drop.requests.open((file.name,), os.O_RDONLY | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            content = os.pread(fd, file.size + 1, 0)
        finally:
            os.close(fd)
        return content if hashlib.sha256(content).hexdigest() == file.sha256 else None

    def _parse(self, content: bytes) -> Order:
        """Have a reader read the very bytes that were signed."""
        fd = os.memfd_create("order")
        try:
            os.pwrite(fd, content, 0)
            answer = self._readers.read_order(fd)
        finally:
            os.close(fd)
        if isinstance(answer, NoOrder):
            raise order.refused(answer.text, answer.reason)
        return answer.order

    def _accept(self, dropped: Dropped, found: Order, digest: str, made: Request, unit: Unit) -> None:
        link, transfer = self._drop.link, dropped.content.transfer
        earlier = order_records.accepted(unit.conn, link, found.order)
        if earlier is not None and earlier.digest != digest:
            text = f"an order {found.order} with other content was received before"
            self._refuse(dropped, order.refused(text, "ORDER_REPEATED"), unit)
            return
        request = self._desk.intake.enter(made, unit).id if earlier is None else earlier.request
        known = {"name": found.order, "digest": digest, "request": request, "text": found.reason}
        order_records.insert(unit, link, dropped, **known)
        public = {"transfer": transfer, "request": request, "kind": found.kind}
        private = {"order": found.order, "by": made.opened_by, "reason": found.reason}
        unit.record(Event("order.accepted" if earlier is None else "order.repeated", link, public, private))

    def _acknowledge(self, dropped: Dropped, replied: Replied, unit: Unit) -> None:
        try:
            entered = replies.enter(unit, self._drop.link, replied)
        except RefusedError as refusal:
            self._refuse(dropped, refusal, unit)
            return
        if entered:
            order_records.insert(unit, self._drop.link, dropped, name=replied.reply.notice)

    def _refuse(self, dropped: Dropped, refusal: RefusedError, unit: Unit) -> None:
        link, transfer = self._drop.link, dropped.content.transfer
        text = refusal.what if refusal.where is None else f"{refusal.where}: {refusal.what}"
        order_records.insert(unit, link, dropped, reason=refusal.reason, text=text)
        public = {"transfer": transfer, "reason": refusal.reason}
        unit.record(Event("order.refused", link, public, {"text": text}))

    def _advance(self, taken: Taken) -> None:
        if taken.request is None:
            return
        state = self._desk.show(taken.request).state
        if state in UNSEARCHED:
            self._desk.find_first(taken.request)
        elif state in _TO_RUN:
            self._desk.run(taken.request)

    def _answer(self, taken: Taken) -> None:
        gone = self._withdraw(taken)
        if taken.request is None:
            self._answer_at_once(taken, gone)
        else:
            self._answer_accepted(taken, taken.request, gone)

    def _answer_at_once(self, taken: Taken, gone: bool) -> None:
        """Answer what has come to its end: it is refused, or acknowledges a notice."""
        status: Status = "acknowledged" if taken.reason is None else "refused"
        if taken.answer is None:
            said = self._said(taken, status, reason=taken.reason, text=taken.text)
            self._post(f"{taken.name or taken.transfer}.{status}.json", answers.content(said))
        if taken.answer is None or gone:
            values = {"answer": status, "settled": gone}
            self._ledger.write(lambda unit: order_records.update(unit, taken, **values))

    def _answer_accepted(self, taken: Taken, request_id: str, gone: bool) -> None:
        with self._ledger.read() as conn:
            request = records.get(conn, request_id)
            while request.duplicate_of is not None:
                request = records.get(conn, request.duplicate_of)
        status = _STATUS.get(request.state, "accepted")
        if status != taken.answer and (status != "accepted" or taken.answer is None):
            document = self._document(taken, request, status)
            if document is not None:
                self._post(f"{taken.name}.{status}.json", document)
            self._ledger.write(partial(self._answered, taken, request, status))
        if gone and status in _LAST:
            self._settle(taken)

    def _document(self, taken: Taken, request: Request, status: Status) -> bytes | None:
        """What is posted; None for an order that is dropped again once the certificate is forgotten."""
        if status in ("certificate", "partial"):
            return None if request.certificate is None else request.certificate.encode()
        due = instant(request.due_at) if status == "accepted" else None
        return answers.content(self._said(taken, status, request=request.id, due=due))

    def _said(self, taken: Taken, status: Status, **said: Any) -> Answer:
        return Answer(
            instance=self._key.name,
            link=self._drop.link,
            status=status,
            at=instant(taken.taken_at),
            transfer=taken.transfer,
            order=taken.name,
            **said,
        )

    def _post(self, name: str, document: bytes) -> None:
        answers.post(self._drop.shelf, name.encode(), document, self._key)

    def _answered(self, taken: Taken, request: Request, status: Status, unit: Unit) -> None:
        order_records.update(unit, taken, answer=status)
        public = {"transfer": taken.transfer, "request": request.id, "status": status}
        unit.record(Event("order.answered", self._drop.link, public, {"order": taken.name}))

    def _withdraw(self, taken: Taken) -> bool:
        """Take the order's files away, for they may say who a person is; False while a hold keeps one."""
        for transfer in (taken.transfer, taken.signature):
            with self._ledger.read() as conn:
                name = order_records.is_there(conn, transfer)
            try:
                if name is not None:
                    self._drop.withdraw(name, transfer)
            except FileNotFoundError:
                continue
            except RefusedError:
                return False
        return True

    def _settle(self, taken: Taken) -> None:
        """Forget what the order's files were called, what was in them and why, with their receipts."""
        transfers = (taken.transfer, taken.signature)

        def work(unit: Unit) -> None:
            traces.forget(unit, transfers, taken.text)
            order_records.update(unit, taken, settled=True, text=None)

        with self._drop.receiptless(transfers):
            self._ledger.write(work)
