"""Events as leaves: a CloudEvents 1.0 envelope in canonical JSON that holds no private value."""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from sftpd.audit.canonical import JSON, canonical
from sftpd.audit.commitment import Opening, commit, new_opening
from sftpd.audit.tiles import LEAF_LIMIT
from sftpd.errors import AuditError

COMMITMENTS = "commitments"
"""The key in `data` under which the commitments stand, so no public field may have this name."""

_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_FIELD = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event ready for the log, and what opens its commitments."""

    leaf: bytes
    openings: tuple[Opening, ...]


def seal(
    *,
    event_id: str,
    type: str,
    time: datetime,
    link: str | None,
    source: str,
    public: Mapping[str, JSON],
    private: Mapping[str, JSON],
) -> Sealed:
    """Turn an event into a leaf that holds `public` values as they are and commitments to `private` ones.

    `time` is aware; `link` becomes the envelope's subject. Raises AuditError for a type or field name of the
    wrong form, a field that is both public and private, a value outside JSON, a naive time, or a leaf over
    65,535 bytes.
    """
    _check_names(type, tuple(public), tuple(private))
    if time.tzinfo is None:
        raise AuditError("event time has no time zone", where=type, expected="an aware datetime")
    openings = tuple(new_opening(name, value) for name, value in private.items())
    commitments = {opening.field: base64.b64encode(commit(opening)).decode() for opening in openings}
    envelope: dict[str, JSON] = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": type,
        "time": _written(time),
        "datacontenttype": "application/json",
        "data": {**public, COMMITMENTS: commitments},
    }
    if link is not None:
        envelope["subject"] = link
    leaf = canonical(envelope)
    if len(leaf) > LEAF_LIMIT:
        raise AuditError(
            f"event takes {len(leaf)} bytes", where=type, expected=f"at most {LEAF_LIMIT} in a leaf"
        )
    return Sealed(leaf, openings)


class _Envelope(msgspec.Struct, frozen=True):
    id: str
    time: str
    type: str
    data: dict[str, Any]
    subject: str | None = None


class _Id(msgspec.Struct, frozen=True):
    id: str


_id = msgspec.json.Decoder(_Id)


def parts(leaf: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """The id, time, type, link and public values of the event that a leaf is, and its commitments by field.

    Raises AuditError for a leaf that is no event.
    """
    try:
        envelope = msgspec.json.decode(leaf, type=_Envelope)
        public = dict(envelope.data)
        commitments = msgspec.convert(public.pop(COMMITMENTS, None), type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise AuditError(f"not an event: {fault}", where="leaf") from fault
    known = {"id": envelope.id, "time": envelope.time, "type": envelope.type, "link": envelope.subject}
    return known | {"public": public}, commitments


def id_of(leaf: bytes) -> str:
    """The id of the event that a leaf is. Raises AuditError for a leaf that is no event."""
    try:
        return _id.decode(leaf).id
    except msgspec.MsgspecError as fault:
        raise AuditError(f"not an event: {fault}", where="leaf") from fault


def disclosed(leaf: bytes, openings: Iterable[Opening]) -> dict[str, Any]:
    """The event that a leaf is, `private` as far as `openings` prove it; `undisclosed` names what stays shut.

    Raises AuditError for a leaf that is no event, and an opening that does not open its commitment there.
    """
    event, commitments = parts(leaf)
    private: dict[str, JSON] = {}
    for opening in openings:
        committed = commitments.get(opening.field)
        if committed is None or base64.b64encode(commit(opening)).decode() != committed:
            raise AuditError("value and nonce are not what the leaf commits to", where=opening.field)
        private[opening.field] = opening.value
    return event | {"private": private, "undisclosed": sorted(commitments.keys() - private.keys())}


@lru_cache
def _written(time: datetime) -> str:
    """A time as the envelope has it; the events of one transaction share theirs."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def _check_names(event_type: str, public: tuple[str, ...], private: tuple[str, ...]) -> None:
    if _TYPE.fullmatch(event_type) is None:
        raise AuditError(
            f"{event_type!r} is not an event type", expected="lower-case words such as transfer.received"
        )
    for name in (*public, *private):
        if _FIELD.fullmatch(name) is None or name == COMMITMENTS:
            raise AuditError(
                f"{name!r} cannot name a field", where=event_type, expected="a-z, 0-9 and '_', a letter first"
            )
    both = sorted(set(public) & set(private))
    if both:
        raise AuditError(f"{', '.join(both)}: both public and private", where=event_type)
