"""What recipients who log in to us answer to our notices: signed files in `/requests`, as orders are.

The file is named as an sftpd names its answer to an order, `ID.certificate.json`, `ID.partial.json` or
`ID.denied.json`, where ID is the notice's, with a detached signature (SSHSIG) beside it. What counts is what
counts when it is collected at a remote.
"""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import VerifierKey
from sftpd.erasure import notices
from sftpd.erasure.answers import NAMESPACE
from sftpd.erasure.notices import MADE, Notice
from sftpd.erasure.notifier import Answer, examine
from sftpd.errors import AuditError, NotFoundError, RefusedError
from sftpd.ledger.writer import Unit

LIMIT = 8 << 20
"""Bytes of an answer: a certificate that lists some fifty thousand files."""

_NAME = re.compile(rb"([0-9a-hjkmnp-tv-z]{26})\.(certificate|partial|denied)\.json")

Fault = Literal["ANSWER_SIZE", "ANSWER_SIGNATURE", "ANSWER_FORM", "ANSWER_UNKNOWN", "ANSWER_REPEATED"]
"""Why a file is no answer that counts."""


class Reply(NamedTuple):
    """What the name of a file says that it is: an answer of a `status` to a notice."""

    notice: str
    status: str


class Replied(NamedTuple):
    """An answer that its sender has signed."""

    reply: Reply
    answer: Answer


def named(name: bytes) -> Reply | None:
    """What a file of that name in `/requests` answers; None where it is no answer."""
    match = _NAME.fullmatch(name)
    return None if match is None else Reply(match[1].decode(), match[2].decode())


def refused(what: str, reason: Fault) -> RefusedError:
    """The error of what is no answer that counts; its text may be told to whoever sent it."""
    return RefusedError(what, reason=reason)


def verified(reply: Reply, content: bytes, signature: bytes, signers: Iterable[VerifierKey]) -> Replied:
    """The answer, and who of those that may answer has signed it. Raises RefusedError where nobody has."""
    try:
        signer = sshsig.signer(signature, signers, where="signature")
        sshsig.verify(signature, content, signer, NAMESPACE, where="signature")
    except AuditError as fault:
        # Which keys we know is nobody's business who has none of them.
        raise refused("no valid signature by a key that may answer notices", "ANSWER_SIGNATURE") from fault
    return Replied(reply, Answer(reply.status, content, signer))


def enter(unit: Unit, link: str, replied: Replied) -> bool:
    """Note an answer of the counterparty's with its notice; the same one again has no effect.

    False while the notice is not noted as delivered yet: then the answer is to wait. Raises RefusedError.
    """
    notice = _answerable(unit, link, replied.reply.notice)
    if notice.state == MADE:
        return False
    status, document, _ = replied.answer
    if (notice.answer, notice.document) == (status, document):
        return True
    if not notice.may_be_answered(status):
        raise refused("the notice was answered before", "ANSWER_REPEATED")
    try:
        examine(notice, replied.answer)
    except AuditError as fault:
        notices.doubted(unit, notice.id, str(fault))
        raise refused(f"no answer to this notice: {fault.what}", "ANSWER_FORM") from fault
    notices.answered(unit, notice.id, status, document)
    return True


def _answerable(unit: Unit, link: str, notice_id: str) -> Notice:
    """A notice that lies here for who logs in over a link; nobody is told that there is any other."""
    try:
        notice = notices.get(unit.conn, notice_id)
    except NotFoundError:
        notice = None
    if notice is None or notice.link != link or notice.remote:
        raise refused("there is no notice of that name for you", "ANSWER_UNKNOWN")
    return notice
