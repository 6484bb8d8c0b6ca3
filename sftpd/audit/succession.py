"""A log that was restored from a backup goes on under another origin, so that no origin ever has two trees.

What was signed after the backup is lost, and may be known to others. So the restored log takes the origin
`INSTANCE/NAME#ERA`, where no era is used twice. Its leaves are those that it was restored with; the first one
after them is the event `audit.restored`, which names the origin that it had, its size and its root.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec

from sftpd.audit._store import PRIVATE_FILE, make_directory, replace_file
from sftpd.audit.checkpoint import Checkpoint, first_origin, parse_checkpoint
from sftpd.audit.event import seal
from sftpd.audit.published import CHECKPOINT
from sftpd.audit.tiles import Edge
from sftpd.errors import AuditError
from sftpd.names import new_id

EVENT = "audit.restored"
_MARKER = "restored"
_SYSTEM = "system"
_IN_LEAF = f'"type":"{EVENT}"'.encode()


@dataclass(frozen=True, slots=True)
class Restored:
    """What an event `audit.restored` says."""

    index: int
    """Its own place in the log: how many leaves the log had in the backup."""
    time: str
    """When the backup was restored (RFC 3339)."""
    origin: str
    """The origin that the log had before."""
    becomes: str
    """The origin that it has since."""


class Marker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lies beside a log that was restored until it is signed again."""

    was: str
    """The origin that it had."""
    size: int
    """How many leaves were signed under it in the backup."""
    origin: str
    """The one that it is to have."""
    leaf: str
    """The first entry under it."""

    def require_of(self, signed: Checkpoint, log: Path) -> None:
        """Pass if it is about a log with this last checkpoint. Raises AuditError."""
        if (self.was, self.size) != (signed.origin, signed.size):
            raise AuditError(
                f"is of a restored log of {self.size} leaves of {self.was}, and the log has {signed.size} of"
                f" {signed.origin}",
                where=str(log / _MARKER),
                remedy="put the folder of logs that survived in place of the restored one as a whole",
            )

    @classmethod
    def of(cls, log: Path) -> Self | None:
        """The marker beside a log, if there is one. Raises AuditError."""
        path = log / _MARKER
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as fault:
            raise AuditError(f"cannot be read: {fault}", where=str(path)) from fault

    @staticmethod
    def remove(log: Path) -> None:
        """Take it away once the log is signed under the new origin; were it to come back, no harm is done."""
        (log / _MARKER).unlink(missing_ok=True)


class _Restore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lies beside the logs of an instance that was restored: what it makes anew may have been before."""

    instance: str
    at: datetime


class _Said(msgspec.Struct, frozen=True):
    origin: str
    size: int
    root: str
    becomes: str


class _Event(msgspec.Struct, frozen=True):
    type: str
    time: str
    data: msgspec.Raw


def mark_all(logs: Path, instance: str, now: datetime) -> None:
    """Have every log in a folder that was restored, and those to come, go on under an origin of its own.

    Raises AuditError, OSError.
    """
    make_directory(logs)
    restore = _Restore(instance, now)
    replace_file(logs / _MARKER, msgspec.json.encode(restore), scratch=logs / ".restored", mode=PRIVATE_FILE)
    for path in sorted(logs.glob(f"*/public/{CHECKPOINT}")):
        _mark(path.parents[1], parse_checkpoint(path.read_bytes(), where=str(path)), restore)


def mark_new(logs: Path, origin: str) -> None:
    """The same for one log, where it is not there yet: it may have been, after the backup.

    Raises AuditError, OSError.
    """
    log = logs / _name(origin)
    path = logs / _MARKER
    if not path.exists() or (log / "public" / CHECKPOINT).exists() or (log / _MARKER).exists():
        return
    try:
        restore = msgspec.json.decode(path.read_bytes(), type=_Restore)
    except msgspec.DecodeError as fault:
        raise AuditError(f"cannot be read: {fault}", where=str(path)) from fault
    make_directory(log)
    _mark(log, Checkpoint(origin, 0, Edge().root), restore)


def _mark(log: Path, head: Checkpoint, restore: _Restore) -> None:
    era = new_id(restore.at)
    becomes = f"{first_origin(head.origin)}#{era}"
    name = _name(head.origin)
    root = base64.b64encode(head.root).decode()
    sealed = seal(
        event_id=era,
        type=EVENT,
        time=restore.at,
        link=None if name == _SYSTEM else name,
        source=f"sftpd://{restore.instance}",
        public={"origin": head.origin, "size": head.size, "root": root, "becomes": becomes},
        private={},
    )
    marker = msgspec.json.encode(Marker(head.origin, head.size, becomes, sealed.leaf.decode()))
    replace_file(log / _MARKER, marker, scratch=log / "scratch", mode=PRIVATE_FILE)


def told(leaf: bytes, before: Edge) -> Restored | None:
    """What a leaf tells of a restore, where it comes after the tree `before`; None for any other event.

    Raises AuditError where it tells of another tree.
    """
    if _IN_LEAF not in leaf:
        return None
    try:
        event = msgspec.json.decode(leaf, type=_Event)
        if event.type != EVENT:
            return None
        said = msgspec.json.decode(event.data, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise AuditError(f"leaf {before.size} is not an event", where=EVENT) from fault
    if (said.size, said.root) != (before.size, base64.b64encode(before.root).decode()):
        raise AuditError(f"leaf {before.size} tells of another log than the one before it", where=EVENT)
    return Restored(before.size, event.time, said.origin, said.becomes)


def require_told(head: Checkpoint, restored: Sequence[Restored], *, where: str) -> None:
    """Pass if each change of the origin, up to that of `head`, is told of in the log. Raises AuditError."""
    origin = first_origin(head.origin)
    for one in restored:
        if one.origin != origin:
            raise AuditError(f"leaf {one.index} tells of a log of {one.origin}", where=where, expected=origin)
        origin = one.becomes
    if origin != head.origin:
        raise AuditError(
            f"signed under the origin {head.origin}", where=where, expected=f"{origin}, as its entries tell"
        )


def lost(restored: Sequence[Restored], kept: Checkpoint) -> Restored | None:
    """The restore by which leaves went that are under a kept checkpoint; None where all should be there.

    A checkpoint of which the log does not tell is of an era that a later restore has undone as a whole.
    """
    undone = all(kept.origin not in (one.origin, one.becomes) for one in restored)
    return next(
        (one for one in restored if one.index < kept.size and (undone or one.origin == kept.origin)), None
    )


def _name(origin: str) -> str:
    return first_origin(origin).rpartition("/")[2]
