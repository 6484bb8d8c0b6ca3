"""Delivering notices, chasing their acknowledgement, and letting go of what lay here for their recipients.

    made with the certificate → brought to its recipient → noted as delivered → acknowledged, or told overdue

Each arrow may be gone over again after a crash: a notice is brought under the same name with the same bytes,
and its recipient knows an order that it has had.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol

import msgspec
import structlog

from sftpd.audit.checkpoint import VerifierKey
from sftpd.erasure import certificate, notices
from sftpd.erasure.forgetting import leave_nothing
from sftpd.erasure.notices import ACKNOWLEDGED, DELIVERED, MADE, Notice
from sftpd.errors import AuditError, SftpdError
from sftpd.ledger.ledger import Ledger

_CLOCKS = timedelta(days=1)
"""By how much the recipient's clock may be behind ours."""

_log = structlog.get_logger()


class _Denial(msgspec.Struct, frozen=True):
    order: str


class Answer(NamedTuple):
    """What a recipient has answered: `certificate`, `partial` or `denied`, the document, and its signer."""

    status: str
    document: bytes
    signer: VerifierKey


class Carrier(Protocol):
    """Brings notices to their recipients, over the links."""

    def bring(self, notice: Notice, content: bytes, signature: bytes) -> None:
        """Have a notice where its recipient finds it, durably; may be repeated.

        Raises SftpdError, whose text says why not, and OSError.
        """
        ...

    def withdraw(self, notice: Notice) -> None:
        """Remove durably what lies here for its recipient to fetch; may be repeated. Raises OSError."""
        ...

    def answer(self, notice: Notice) -> Answer | None:
        """What its recipient has answered, None where there is nothing yet, or it cannot be asked for.

        Raises SftpdError, AuditError where it is not signed as it must be.
        """
        ...


class Notifier:
    """What is to be done about notices regularly."""

    def __init__(self, ledger: Ledger, carrier: Carrier) -> None:
        self._ledger = ledger
        self._carrier = carrier

    def go_on(self, now: datetime) -> None:
        """Deliver what can be delivered, tell of what is overdue, and let go of what is over."""
        tried: set[str] = set()
        while made := [notice for notice in self._in_state(MADE) if notice.id not in tried]:
            tried |= {notice.id for notice in made}
            self._deliver(made)
        for notice in self._in_state(MADE, DELIVERED):
            if notice.due_at <= now and notice.told_at is None:
                self._ledger.write(partial(notices.overdue, notice_id=notice.id))
        for notice in self._in_state(DELIVERED, ACKNOWLEDGED):
            over = notice.state == ACKNOWLEDGED or notice.due_at <= now
            if over and not notice.remote and notice.withdrawn_at is None:
                self._withdraw(notice)

    def collect(self, link: str, remote: str) -> None:
        """Look for the answers of the recipient at a remote, also for one that goes further than another."""
        for notice in self._in_state(DELIVERED, ACKNOWLEDGED):
            may = notice.may_be_answered("certificate")
            if not may or (notice.link, notice.remote) != (link, remote):
                continue
            try:
                answer = self._carrier.answer(notice)
                if answer is None:
                    continue
                examine(notice, answer)
            except AuditError as fault:
                self._ledger.write(partial(notices.doubted, notice_id=notice.id, fault=str(fault)))
            except SftpdError as fault:
                _log.warning("answer_not_collected", notice=notice.id, link=notice.link, fault=str(fault))
            else:
                status, document = answer.status, answer.document
                self._ledger.write(
                    partial(notices.answered, notice_id=notice.id, answer=status, document=document)
                )

    def _deliver(self, made: Sequence[Notice]) -> None:
        for notice in made:
            assert notice.content is not None
            assert notice.signature is not None
            try:
                self._carrier.bring(notice, notice.content, notice.signature)
            except (SftpdError, OSError) as fault:
                # One recipient who cannot be reached keeps no other waiting.
                _log.warning("notice_not_delivered", notice=notice.id, link=notice.link, fault=str(fault))
                self._ledger.write(partial(notices.failed, notice_id=notice.id, fault=_told(fault)))
            else:
                if self._ledger.write(partial(notices.delivered, notice_id=notice.id)):
                    leave_nothing(self._ledger)

    def _withdraw(self, notice: Notice) -> None:
        try:
            self._carrier.withdraw(notice)
        except (SftpdError, OSError) as fault:
            _log.warning("notice_not_withdrawn", notice=notice.id, link=notice.link, fault=str(fault))
        else:
            self._ledger.write(partial(notices.withdrawn, notice_id=notice.id))

    def _in_state(self, *states: str) -> list[Notice]:
        with self._ledger.read() as conn:
            return notices.in_state(conn, *states)


def examine(notice: Notice, answer: Answer) -> None:
    """Pass if an answer is one to this notice. Raises AuditError."""
    if answer.status == "denied":
        try:
            order = msgspec.json.decode(answer.document, type=_Denial).order
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise AuditError("not an answer", where="answer") from fault
        if order != notice.id:
            raise AuditError("it is the answer to another order", where="answer")
        return
    signed = certificate.verify(answer.document, answer.signer)
    if datetime.fromisoformat(signed.issued) < notice.made_at - _CLOCKS:
        raise AuditError("the certificate is older than the notice", where="answer")


def acknowledge(ledger: Ledger, notice_id: str, *, by: str, reason: str) -> None:
    """Note that `by` stands for a recipient's having been told. Raises NotFoundError and RefusedError."""
    if ledger.write(partial(notices.told, notice_id=notice_id, by=by, reason=reason)):
        leave_nothing(ledger)


def _told(fault: Exception) -> str:
    return fault.what if isinstance(fault, SftpdError) else f"the disk failed: {fault}"
