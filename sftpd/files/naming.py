"""Names that we make of those of files, and what a name was before that."""

import hashlib
import re
from collections.abc import Iterator

from sftpd.files import durable
from sftpd.files.beneath import Parts, Root
from sftpd.names import TransferId

_NAME_LIMIT = 255
_TRIES = 10_000
_REASON = b".reason.txt"
_DIGEST = 16
_NUMBER = re.compile(rb"(?<=.)\.[1-9][0-9]{0,3}(?=(?:\.[^.]*)?\Z)", re.DOTALL)
_ID = re.compile(rb"(?<=.)-[0-9a-hjkmnp-tv-z]{26}(?=(?:\.[^.]*)?\Z)", re.DOTALL)
_JOINT = re.compile(rb"\+(?!\.)")


def numbered(name: bytes) -> Iterator[bytes]:
    """`report.csv`, `report.1.csv`, `report.2.csv` and so on, each cut to what a file name may hold."""
    yield name
    stem, dot, suffix = name.rpartition(b".")
    if not stem:
        stem, dot, suffix = name, b"", b""
    for number in range(1, _TRIES):
        tail = b".%d" % number + dot + suffix
        yield stem[: _NAME_LIMIT - len(tail)] + tail


def without_number(name: bytes) -> bytes:
    """What `numbered` made a name of, if that is where it has its number from."""
    return _NUMBER.sub(b"", name, count=1)


def reason_beside(name: bytes) -> bytes:
    """The name of the file that says why the file `name` was put aside."""
    return name[:240] + _REASON


def without_reason(name: bytes) -> bytes:
    """What the file is called that the file `name` tells the reason of; else the same name."""
    return name.removesuffix(_REASON) or name


def apart_from_reasons(name: bytes) -> bytes:
    """The name for a file among others that have their reasons beside them: never that of a reason."""
    return name[:240] + b".file" if name.endswith(_REASON) else name


def with_id(name: bytes, transfer: TransferId) -> bytes:
    """The name for a file whose own is taken: `report-<id>.csv`, which no other transfer can have."""
    stem, dot, suffix = name.rpartition(b".")
    if not stem:
        stem, dot, suffix = name, b"", b""
    tail = b"-" + transfer.encode() + (dot + suffix)[: _NAME_LIMIT // 2]
    return stem[: _NAME_LIMIT - len(tail)] + tail


def without_id(name: bytes) -> bytes:
    """What `with_id` made a name of; else the same name."""
    return _ID.sub(b"", name, count=1)


def flatten(path: Parts) -> bytes:
    """One name for a path, and never the same for two: `2026+march+a.csv` for `2026/march/a.csv`.

    A plus sign in a name becomes `+.`; no folder or file that is sent has a name that begins with a dot. A
    name that would be too long has the hash of the path in place of the folders.
    """
    name = b"+".join(part.replace(b"+", b"+.") for part in path)
    if len(name) <= _NAME_LIMIT:
        return name
    digest = hashlib.sha256(b"/".join(path)).hexdigest()[:_DIGEST].encode() + b"+"
    return digest + path[-1][-(_NAME_LIMIT - len(digest)) :]


def unflatten(name: bytes) -> Parts:
    """The path that `flatten` made a name of, if it did; of one that was too long there are other parts."""
    return tuple(part.replace(b"+.", b"+") for part in _JOINT.split(name))


def move_aside(
    source: Root, parts: Parts, target: Root, wanted: Parts, among: durable.Unsynced | None = None
) -> Parts:
    """Move a file durably beneath `target` under the first free name and return it; replaces nothing.

    `among`: as durable.rename has it. Raises FileExistsError when ten thousand names are taken, OSError as
    the kernel does.
    """
    durable.sync_file(source, parts)
    durable.make_directories(target, wanted)
    taken: FileExistsError | None = None
    for name in numbered(wanted[-1]):
        place = (*wanted[:-1], name)
        try:
            durable.rename(source, parts, target, place, replace=False, among=among)
        except FileExistsError as fault:
            taken = fault
        else:
            return place
    assert taken is not None
    raise taken
