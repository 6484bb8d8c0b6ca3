"""Files that have come in whole: taken where their senders cannot reach them, and looked at there."""

import fcntl
import os
import signal
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import structlog

from sftpd.errors import RefusedError
from sftpd.exchange import records
from sftpd.exchange.records import Parts, Transfer
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import Snapshot, fingerprint, identity, snapshot
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.names import TransferId

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that has come in whole: `source` and `parts` say where it lies, durable and closed."""

    transfer: TransferId
    route: str
    peer: str
    folder: Literal["inbound", "requests"]
    source: Root
    parts: Parts
    path: Parts
    """Its path relative to `folder`."""
    size: int
    sha256: str | None
    """In hexadecimal, as whoever wrote the file computed it; None: not computed."""
    policy: Mapping[str, Any]
    inode: int | None = None
    """The inode of the file that its writer means; None: not told."""
    origin: str | None = None
    """What a fetched file was at the remote, by which it is known when seen there again."""

    @property
    def place(self) -> Parts:
        """Where it waits in the screening folder."""
        return (self.transfer.encode(),)


class Seen(NamedTuple):
    """What a file is that nobody else can change any more; the hash in hexadecimal."""

    snapshot: Snapshot
    sha256: str


class Stray(NamedTuple):
    """A file that is not what it is said to be, and cannot go back: its name is taken by now."""

    seen: Seen
    why: Exception


def take_over(arrivals: Sequence[Arrival], screening: Root) -> list[Seen | Stray | Exception]:
    """Move files to the screening folder, and see that each is what it is said to be.

    What is not goes back, or stays as a Stray. The moves are durable when this returns.
    """
    moved = [_move(arrival, screening) for arrival in arrivals]
    fault = _sync([a for a, error in zip(arrivals, moved, strict=True) if error is None], screening)
    return [error or _look(arrival, screening, fault) for arrival, error in zip(arrivals, moved, strict=True)]


def apart(accepted: Iterable[tuple[str, Transfer]]) -> Iterator[tuple[str, list[Transfer]]]:
    """The files of each folder; of those with one name the later one replaces the other, after it."""
    turns: dict[tuple[str, int], list[Transfer]] = {}
    seen: Counter[tuple[str, Parts]] = Counter()
    for folder, transfer in accepted:
        turns.setdefault((folder, seen[folder, transfer.path]), []).append(transfer)
        seen[folder, transfer.path] += 1
    for (folder, _), transfers in sorted(turns.items(), key=itemgetter(0)):
        yield folder, transfers


def discard(arrival: Arrival, screening: Root, ledger: Ledger) -> None:
    """Leave nothing in the screening folder of a file that could not be taken in.

    A transaction that failed may have recorded it all the same: then it stays, and the next start goes on.
    """
    try:
        with ledger.read() as conn:
            known = records.find(conn, tables.transfer.c.id == arrival.transfer)
        if not known:
            with suppress(FileNotFoundError):
                screening.unlink(arrival.place)
    except Exception as error:
        _log.error("not_discarded", transfer=arrival.transfer, error=str(error))


def _move(arrival: Arrival, screening: Root) -> Exception | None:
    """Why a file could not be moved; one that was fetched lies there already."""
    try:
        if arrival.source is not screening:
            arrival.source.rename(arrival.parts, screening, arrival.place, replace=False)
    except Exception as error:
        return error
    return None


def _sync(moved: Sequence[Arrival], screening: Root) -> OSError | None:
    """Make moves durable, each folder once, the new names first; returns why that was not possible."""
    uploaded = [arrival for arrival in moved if arrival.source is not screening]
    folders = {(arrival.source, arrival.parts[:-1]): arrival for arrival in uploaded}
    try:
        if uploaded:
            durable.sync_parent(screening, uploaded[0].place)
        for arrival in folders.values():
            # Its folder may be gone: another session removes it as soon as it is empty.
            with suppress(FileNotFoundError):
                durable.sync_parent(arrival.source, arrival.parts)
    except OSError as error:
        return error
    return None


def _look(arrival: Arrival, screening: Root, fault: OSError | None) -> Seen | Stray | Exception:
    """What a file is; where it is not as it should be, or its move is not durable, it goes back."""
    try:
        if fault is not None and arrival.source is not screening:
            raise fault
        return _examine(arrival, screening)
    except Exception as error:
        try:
            if arrival.source is not screening:
                arrival.source.make_parents(arrival.parts)
                screening.rename(arrival.place, arrival.source, arrival.parts, replace=False)
        except Exception:
            return _stray(arrival, screening, error)
        return error


def _stray(arrival: Arrival, screening: Root, why: Exception) -> Stray | Exception:
    """A file that cannot go back, as it is; what cannot be read is left to the next start."""
    try:
        fd = screening.open(arrival.place, os.O_RDONLY | os.O_NOFOLLOW)
    except Exception as error:
        _log.error("not_moved_back", transfer=arrival.transfer, error=str(error))
        return why
    try:
        return Stray(Seen(identity(fd), fingerprint(fd).sha256.hex()), why)
    finally:
        os.close(fd)


def _examine(arrival: Arrival, screening: Root) -> Seen:
    fd = screening.open(arrival.place, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return Seen(_settled(fd, arrival), arrival.sha256 or fingerprint(fd).sha256.hex())
    finally:
        os.close(fd)


def _settled(fd: int, arrival: Arrival) -> Snapshot:
    """See that nobody can change the file any more, so that what is screened is what is published."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise RefusedError("the file has another name or is no file", reason="NOT_A_PLAIN_FILE")
    # Network file systems, which have no id (statfs(2)), may give a file another inode when it is moved.
    if arrival.inode not in (None, status.st_ino) and os.fstatvfs(fd).f_fsid:
        raise RefusedError("another file has taken the name", reason="REPLACED")
    if status.st_size != arrival.size:
        raise RefusedError("the file's size is not what was written", reason="SIZE_DIFFERS")
    try:
        # A read lease is granted only while no descriptor anywhere is open for writing (fcntl(2)).
        # Whoever opens one now breaks it and has us sent a signal: SIGIO would end us, SIGURG is ignored.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        raise RefusedError("the file is still being written", reason="STILL_OPEN") from None
    except OSError as error:
        _log.warning("leases_unsupported", error=str(error), unprotected="a writer may still change the file")
    return snapshot(status)
