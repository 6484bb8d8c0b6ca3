"""The receipt of a file that crossed a link: what it says, and where it lies. Pure.

All of it comes from the event that the audit log tells of, so that it is the same whenever it is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

from sftpd.audit.canonical import JSON, canonical
from sftpd.audit.merkle import leaf_hash
from sftpd.errors import AuditError

Parts = tuple[bytes, ...]

FORMAT = "sftpd receipt v1"
NAMESPACE = "receipt@sftpd"
"""The namespace of the signatures, which keeps them from being taken for any other."""

SUFFIX = ".json"

PRIVATE_FIELDS = ("path", "sha256", "peer")
"""What a receipt says and a leaf only commits to."""

DELIVERED_AS = "delivered_as"
"""The path under which a file was delivered, another private value, where its own was taken."""

_KINDS: Mapping[tuple[str, str], str] = {
    ("transfer.received", "inbound"): "received",
    ("transfer.blocked", "inbound"): "blocked",
    ("transfer.delivered", "outbound"): "delivered",
}
"""The events that have a receipt, by type and direction; what a gate keeps from leaving us has none."""

A_FOLDER = 1000
"""Leaves of the log whose receipts share a folder."""

_NAME_BYTES = 190
"""What of a file's name goes into that of its receipt, so that all of it fits in 255 bytes."""


_Word = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
_Path = Annotated[str, Meta(min_length=1, max_length=16 * 1024)]
_Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Verdict = Annotated[str, Meta(pattern="^(accept|quarantine|reject)$")]
_Instant = Annotated[str, Meta(max_length=40)]


class Position(msgspec.Struct, frozen=True):
    """Where in which audit log the event stands; `leaf` is its hash (RFC 9162 §2.1.1), in hexadecimal."""

    log: _Word
    index: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    leaf: _Sha256


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    r"""What is signed; times are RFC 3339, hashes hexadecimal.

    `name` is the path under which the counterparty sent the file or finds it; bytes that are not UTF-8 read
    `\xNN` there.
    """

    format: str
    instance: _Word
    link: _Word
    transfer: _Word
    direction: str
    route: str
    peer: str
    """The account or the remote; empty for what every account may fetch in `/download`."""
    name: _Path
    size: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    sha256: _Sha256
    audit: Position
    received: _Instant | None = None
    delivered: _Instant | None = None
    verdict: _Verdict | None = None
    """Of a file that came in: `accept`, `quarantine` or `reject`."""
    acknowledged: str | None = None
    """`before_verdict` where its sender was told that it had arrived before it was screened."""
    released: str | None = None
    """`by_operator` where a gate had held the file back, which had a receipt of its own then."""
    proof: str | None = None
    """Of a file that was delivered: what shows that it arrived as it was."""


class _Data(msgspec.Struct, frozen=True):
    transfer: str
    direction: str
    route: str
    size: int
    verdict: str | None = None
    ruling: str | None = None
    """The verdict, as events of earlier versions have it."""
    acknowledged: str | None = None
    released: str | None = None
    proof: str | None = None


class _Envelope(msgspec.Struct, frozen=True):
    id: str
    type: str
    time: str
    data: msgspec.Raw
    subject: str = ""


_receipt = msgspec.json.Decoder(Receipt)
_envelope = msgspec.json.Decoder(_Envelope)
_data = msgspec.json.Decoder(_Data)


@dataclass(frozen=True, slots=True)
class Told:
    """A leaf that is to have a receipt."""

    index: int
    leaf: bytes
    kind: str
    event: _Envelope
    data: _Data


def read(index: int, leaf: bytes) -> Told | None:
    """What the leaf at `index` tells of a file that crossed the link; None when it tells of another thing."""
    event = _envelope.decode(leaf)
    if not event.type.startswith("transfer."):
        return None
    named = msgspec.json.decode(event.data)
    kind = _KINDS.get((event.type, named.get("direction", "")))
    return None if kind is None else Told(index, leaf, kind, event, _data.decode(event.data))


def transfer_of(file: bytes) -> str | None:
    """The transfer that a receipt or its signature is of, by the name of its file; None for other files."""
    parts = file.removesuffix(b".sig").rsplit(b".", 4)
    return parts[1].decode("ascii", "replace") if len(parts) == 5 else None


def make(told: Told, opened: Mapping[str, Any], *, instance: str, log: str) -> Receipt:
    """The receipt of what a leaf in `log` tells, with the values that its commitments were `opened` to."""
    event, data, inbound = told.event, told.data, told.data.direction == "inbound"
    return Receipt(
        format=FORMAT,
        instance=instance,
        link=event.subject,
        transfer=data.transfer,
        direction=data.direction,
        route=data.route,
        peer=opened["peer"],
        name=opened.get(DELIVERED_AS, opened["path"]),
        size=data.size,
        sha256=opened["sha256"],
        audit=Position(log, told.index, leaf_hash(told.leaf).hex()),
        received=event.time if inbound else None,
        delivered=None if inbound else event.time,
        verdict=(data.verdict or data.ruling or "accept") if inbound else None,
        acknowledged=data.acknowledged,
        released=data.released,
        proof=data.proof,
    )


def content(receipt: Receipt) -> bytes:
    """The bytes that are signed: canonical JSON (RFC 8785)."""
    return canonical(cast("JSON", msgspec.to_builtins(receipt)))


def parse(content: bytes, *, where: str) -> Receipt:
    """Read a receipt that anybody may have written; raises AuditError, naming `where`, if it is none."""
    try:
        found = _receipt.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise AuditError(f"not a receipt: {fault}", where=where) from fault
    if found.format != FORMAT:
        raise AuditError("a receipt of another format", where=where, expected=FORMAT)
    return found


def place(told: Told, name: str) -> Parts:
    """Where the receipt lies: `DAY/FOLDER/NAME.TRANSFER.INDEX.KIND.json`, the day in UTC.

    The number of the folder is the index in the audit log, divided by a thousand.
    """
    day, folder = told.event.time[:10], str(told.index // A_FOLDER)
    shown = name.rpartition("/")[2].encode()[:_NAME_BYTES].decode(errors="ignore")
    file = f"{shown}.{told.data.transfer}.{told.index}.{told.kind}{SUFFIX}"
    return day.encode(), folder.encode(), file.encode()
