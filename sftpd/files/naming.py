"""Names for files put aside: the wanted one, or the next that is free."""

from collections.abc import Iterator

from sftpd.files import durable
from sftpd.files.beneath import Parts, Root

_NAME_LIMIT = 255
_TRIES = 10_000
_REASON = b".reason.txt"


def numbered(name: bytes) -> Iterator[bytes]:
    """`report.csv`, `report.1.csv`, `report.2.csv` and so on, each cut to what a file name may hold."""
    yield name
    stem, dot, suffix = name.rpartition(b".")
    if not stem:
        stem, dot, suffix = name, b"", b""
    for number in range(1, _TRIES):
        tail = b".%d" % number + dot + suffix
        yield stem[: _NAME_LIMIT - len(tail)] + tail


def reason_beside(name: bytes) -> bytes:
    """The name of the file that says why the file `name` was put aside."""
    return name[:240] + _REASON


def apart_from_reasons(name: bytes) -> bytes:
    """The name for a file among others that have their reasons beside them: never that of a reason."""
    return name[:240] + b".file" if name.endswith(_REASON) else name


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
