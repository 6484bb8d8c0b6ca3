"""The receipts that a remote's owner makes of what we deliver: which are new, and what each shows. Pure.

Every byte of them is another's: nothing here takes one for a receipt before its signature holds.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Literal

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import VerifierKey
from sftpd.errors import AuditError
from sftpd.exchange import receipt
from sftpd.exchange.receipt import A_FOLDER, Receipt
from sftpd.names import TransferId

RECEIPT_LIMIT = 64 * 1024
"""Bytes of a receipt; one of a file with the longest path fits."""
SIGNATURE_LIMIT = 4 * 1024
"""Bytes of a signature by an Ed25519 key, with room."""

_DAY = re.compile(rb"\d{4}-\d\d-\d\d")
_FOLDER = re.compile(rb"\d{1,12}")
_NAME = re.compile(rb"(?s:.+)\.([0-9A-Za-z]{1,64})\.(\d{1,15})\.(received|blocked|delivered)\.json")
_A_DAY = timedelta(days=1)


class Reason(StrEnum):
    """Why a receipt shows nothing of a delivery."""

    SIZE_LIMIT = "size_limit"
    UNREADABLE = "unreadable"
    UNSIGNED = "unsigned"
    SIGNATURE = "signature"
    """It is another's, or that of a key of which the configuration knows nothing."""
    MALFORMED = "malformed"
    MISPLACED = "misplaced"
    """The name of its file says another transfer or position than the receipt."""
    UNKNOWN = "unknown"
    """Nothing was delivered under this name."""
    SHA256 = "sha256"
    SIZE = "size"
    """What was delivered under this name has another hash, or another size."""
    REPEATED = "repeated"
    """The delivery has the receipt of another transfer already: it was received twice."""


@dataclass(frozen=True, slots=True, order=True)
class Filed:
    """A receipt as it lies at the remote; they are in the order in which they were made."""

    day: date
    index: int
    """That of its event in the log of who made it."""
    transfer: str
    """Theirs."""
    kind: str
    folder: bytes
    """Beneath the folder of receipts."""
    name: bytes
    size: int
    signature: int | None
    """The size of the signature beside it, None where there is none."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the receipts of a remote have been gone over: those from `next` on are new, and later days."""

    day: date
    next: int

    def is_ahead(self, day: date, index: int) -> bool:
        """Whether a receipt is new; the day before counts, for a clock may have been set back at midnight."""
        return day > self.day or (day >= self.day - _A_DAY and index >= self.next)

    def behind(self, filed: Filed) -> "Position":
        """The position once a receipt has been gone over."""
        return Position(max(self.day, filed.day), filed.index + 1)

    @property
    def days_after(self) -> bytes:
        """The name behind which the folders of days with new receipts come."""
        return (self.day - 2 * _A_DAY).isoformat().encode()


def days(names: Iterable[bytes], now: datetime) -> list[date]:
    """The days that folders are named after; one that is yet to come would have us miss those before it."""
    found = []
    for name in names:
        try:
            day = date.fromisoformat(name.decode()) if _DAY.fullmatch(name) else None
        except ValueError:
            continue
        if day is not None and day <= now.astimezone(UTC).date() + _A_DAY:
            found.append(day)
    return sorted(found)


def folders(names: Iterable[bytes], day: date, position: Position) -> list[bytes]:
    """The folders of a day in which new receipts may lie, in their order."""
    first = 0 if day > position.day else position.next // A_FOLDER
    numbers = ((int(name), name) for name in names if _FOLDER.fullmatch(name))
    return [name for number, name in sorted(numbers) if number >= first]


def filed(day: date, folder: bytes, sizes: Mapping[bytes, int], position: Position) -> list[Filed]:
    """The new receipts among the files of a folder, given by name and size; others are no receipts."""
    found = []
    for name, size in sizes.items():
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        index = int(match[2])
        if index // A_FOLDER == int(folder) and position.is_ahead(day, index):
            at = b"%s/%s" % (day.isoformat().encode(), folder)
            signature = sizes.get(name + sshsig.SUFFIX.encode())
            found.append(Filed(day, index, match[1].decode(), match[3].decode(), at, name, size, signature))
    return found


@dataclass(frozen=True, slots=True)
class Delivery:
    """What we know of a file that was brought to the remote, or is on its way there."""

    transfer: TransferId
    directory: str
    """The folder of its route at the remote; a relative one starts where the remote puts us."""
    path: str
    """In that folder."""
    size: int
    sha256: str
    theirs: str | None = None
    """The transfer of the receipt that it has, and the position of that receipt."""
    position: int | None = None
    rejected: bool = False
    """Whether that one tells that the file was rejected: then it may be brought again."""

    def is_named(self, claim: Receipt) -> bool:
        """Whether the receipt is of a file of this path: it was sent as `/ROUTE/NAME`."""
        ours = _components(f"{self.directory}/{self.path}")
        theirs = _components(f"{claim.route}/{claim.name}")
        return theirs == ours if self.directory.startswith("/") else theirs[-len(ours) :] == ours


@dataclass(frozen=True, slots=True)
class Refusal:
    """A receipt that shows nothing; `transfer` is the delivery that it seems to be of."""

    reason: Reason
    transfer: TransferId | None = None
    made: datetime | None = None
    """When the file was received, as the receipt says."""


@dataclass(frozen=True, slots=True)
class Match:
    """A receipt that shows a delivery; `again` if it is known already."""

    transfer: TransferId
    claim: Receipt
    received: datetime
    again: bool = False


def examine(
    found: Filed, content: bytes, signature: bytes, signers: Sequence[VerifierKey]
) -> Receipt | Refusal:
    """What a file says once it is known who says so."""
    where = "receipt"
    try:
        signer = sshsig.signer(signature, signers, where=where)
        sshsig.verify(signature, content, signer, receipt.NAMESPACE, where=where)
    except AuditError:
        return Refusal(Reason.SIGNATURE)
    try:
        claim = receipt.parse(content, where=where)
    except AuditError:
        return Refusal(Reason.MALFORMED)
    if not any(key.public == signer.public and key.name == claim.instance for key in signers):
        return Refusal(Reason.SIGNATURE)
    if claim.direction != "inbound" or claim.verdict is None or received_at(claim) is None:
        return Refusal(Reason.MALFORMED)
    if (claim.transfer, claim.audit.index) != (found.transfer, found.index):
        return Refusal(Reason.MISPLACED)
    return claim


def received_at(claim: Receipt) -> datetime | None:
    """When the file was received, None where the receipt does not say it well."""
    try:
        moment = datetime.fromisoformat(claim.received or "")
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def judge(claim: Receipt, deliveries: Sequence[Delivery]) -> Match | Refusal:
    """Which of these deliveries, oldest first, a receipt shows.

    Each delivery has the receipt of one transfer, and that may have two: the second tells of a later verdict.
    A file that was rejected is tried again, and so has more.
    """
    received = received_at(claim)
    assert received is not None
    named = [delivery for delivery in deliveries if delivery.is_named(claim)]
    if not named:
        return Refusal(Reason.UNKNOWN, made=received)
    same = [one for one in named if (one.sha256, one.size) == (claim.sha256, claim.size)]
    if not same:
        latest = named[-1]
        reason = Reason.SHA256 if latest.sha256 != claim.sha256 else Reason.SIZE
        return Refusal(reason, latest.transfer, received)
    for one in same:
        if one.theirs == claim.transfer:
            again = one.position is not None and claim.audit.index <= one.position
            return Match(one.transfer, claim, received, again)
    free = [one for one in same if one.theirs is None] or [one for one in same if one.rejected]
    if not free:
        return Refusal(Reason.REPEATED, same[-1].transfer, received)
    return Match(free[0].transfer, claim, received)


Arrival = Literal["in_time", "late"]
"""How the receipt of a delivery came."""


def _components(path: str) -> list[str]:
    """The components of a path, without those that lead nowhere."""
    found: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del found[-1:]
        elif part not in ("", "."):
            found.append(part)
    return found
