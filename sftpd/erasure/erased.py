"""The lines of an erasure ledger: what was erased, without personal data, each chained to those before it.

A line is canonical JSON (RFC 8785), `{"entry": …, "hash": …}`. The hash is SHA-256 over the hash of the line
before it (32 bytes, zeros for the first) and the canonical entry. The first line says whose ledger it is and
after which epoch it begins; each further line has the next epoch.

Contents and places stand as digests under a key of the instance. `marks` are keyed digests of the texts that
carried the person, under a key that is made of the content itself: who does not have that content, as an old
backup does, can tell nothing from them, and once nobody has it nobody ever can.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, cast

import msgspec

from sftpd.audit.canonical import JSON, canonical
from sftpd.errors import SftpdError

FORMAT: Literal["sftpd erasure ledger v1"] = "sftpd erasure ledger v1"
NO_HASH = bytes(32)
"""What stands for the hash before the first line."""


class ErasureLedgerError(SftpdError):
    """The erasure ledger cannot be read or written, or is not what it was."""

    code = "ERASURE_LEDGER"


class UnusableError(ErasureLedgerError):
    """There is a ledger, and it is damaged or not this instance's."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="what"):
    """Base of what a line holds; times are RFC 3339."""

    epoch: int
    at: str


class Beginning(Entry, frozen=True, tag="beginning"):
    """The first line: the ledger begins after its epoch; `key` tells one key from another."""

    instance: str
    key: str
    format: Literal["sftpd erasure ledger v1"] = FORMAT


class FileErased(Entry, frozen=True, tag="file"):
    """A file, or records of it, that a request removed.

    `content` and `result` are digests of what it was and became, `result` None where the file went as a
    whole; `place` is one of where it lay. `only_here`: another file with the same content is no concern, for
    it was the name of this one that carried the person, or somebody decided on it. `names` are digests of the
    names that such a file had on its way, by which it is known elsewhere. `marks`, in base64 and 16 bytes
    each, is None where they are too many.
    `places`, in base64, are those of records that went by decision, sealed with the key of the marks.
    """

    request: str
    link: str
    folder: str
    file: str | None
    place: str
    content: str
    size: int
    format: str
    records: int
    only_here: bool
    result: str | None = None
    marks: str | None = None
    places: str | None = None
    names: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Left out of the line where it is not set: lines from before it was told stay as they were written."""


class FileExcepted(Entry, frozen=True, tag="excepted"):
    """A file that a request left as it is, for a legal hold or an exception, told before it removes others.

    `place` is where it lay, and `names` are digests of the names that it had on its way. `ground` is that of
    GDPR 17(3), or None for a legal hold.
    """

    request: str
    link: str
    folder: str
    file: str | None
    place: str
    names: tuple[str, ...]
    ground: str | msgspec.UnsetType | None = msgspec.UNSET
    """Left out of lines from before it was told, all of which are of exceptions."""


class RequestClosed(Entry, frozen=True, tag="closed"):
    """A request that was closed, and forgot whom it was about."""

    request: str
    link: str


Told = FileErased | FileExcepted | RequestClosed
"""What a line tells of a request."""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    entry: Beginning | Told
    hash: str


class Head(NamedTuple):
    """How far a ledger reaches: its last epoch, and the hash of the line that has it."""

    epoch: int
    hash: bytes


class Read(NamedTuple):
    """A line that was read: its entry, the head that it makes, and the byte after it."""

    entry: Beginning | Told
    head: Head
    end: int


def encode(entry: Entry, before: bytes) -> tuple[bytes, Head]:
    """The line of an entry after the line whose hash is `before`, and the head that it makes."""
    told = cast("JSON", msgspec.to_builtins(entry))
    chained = hashlib.sha256(before + canonical(told)).digest()
    return canonical({"entry": told, "hash": chained.hex()}) + b"\n", Head(entry.epoch, chained)


def decode(lines: Iterable[bytes], where: str) -> Iterator[Read]:
    """Read the lines of a ledger, but for a last one without its end, as a torn write leaves it.

    Raises UnusableError, naming `where` and the line, for one that is damaged or does not belong there.
    """
    before, end, epoch = NO_HASH, 0, None
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return
        entry = _entry(line)
        whole, head = (b"", None) if entry is None else encode(entry, before)
        starts = isinstance(entry, Beginning)
        if entry is None or head is None or line != whole or starts != (number == 1):
            raise _out_of_line(where, number)
        if epoch is not None and entry.epoch != epoch + 1:
            raise _out_of_line(where, number)
        before, epoch, end = head.hash, entry.epoch, end + len(line)
        yield Read(entry, head, end)


def _entry(line: bytes) -> Beginning | Told | None:
    try:
        return msgspec.json.decode(line, type=_Line).entry
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _out_of_line(where: str, number: int) -> UnusableError:
    return UnusableError(
        "does not follow from the lines before it",
        where=f"{where} line {number}",
        remedy="put the erasure ledger back as it was, from wherever it is copied to",
    )
