"""The erasure ledger beside the state: each removal is durable there first.

The ledger lies apart from the state, so that a state that was restored from a backup is seen to be older. To
be seen so even where a crash comes between the two, the state reserves an epoch before the ledger takes it:

    reserved in the state → line in the ledger → the removal → noted in the state, with the ledger's hash

An epoch is reserved for one request. What the ledger has of that up to there a crash left, and the request
goes on; of anything else above what it has noted the state has never heard, and it must be replayed.
"""

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from sftpd.audit.canonical import instant
from sftpd.clock import Clock
from sftpd.erasure.erased import (
    Beginning,
    Head,
    Read,
    Told,
    UnusableError,
    decode,
)
from sftpd.erasure.ledger_file import LedgerFile
from sftpd.erasure.plan import Parts
from sftpd.errors import RefusedError
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

_row = tables.erasure_epoch
_ONE = "erasures"
_ENOUGH = 1000
"""Entries above those noted by which one can tell that they are not what a crash left."""
WHERE_LOST = (
    "put it back from where it is copied to; if it is lost for good: sftpd erasure ledger-lost --reason TEXT"
)
"""What to do where the ledger is lost."""


class Standing(StrEnum):
    """How a state stands to the erasure ledger: the ledger may know more than it, or less."""

    CURRENT = "current"
    BEHIND = "behind"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Known:
    """What a state knows of the ledger: its head as noted, and up to which epoch a crash may have left more.

    That is of one request, which then goes on.
    """

    head: Head
    reserved: int
    request: str | None

    def expects(self, entries: Iterable[Beginning | Told]) -> bool:
        """Whether these entries above the head may be what a crash left."""
        return all(
            not isinstance(entry, Beginning)
            and entry.epoch <= self.reserved
            and entry.request == self.request
            for entry in entries
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """How the two stand, and the first epoch that is to be replayed is the one after `after`."""

    standing: Standing
    after: int
    epoch: int
    """How far the ledger reaches."""
    fault: str = ""
    """Why it counts as lost."""


class Digests:
    """Names for places, names and contents that tell nobody who has not the key which they are."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def check(self) -> str:
        """What tells this key from another."""
        return self._of(b"key")

    def place(self, link: str, folder: str, path: Parts) -> str:
        """A place in the folders of a link."""
        return self._of(b"place", link.encode(), folder.encode(), b"/".join(path))

    def name(self, link: str, name: bytes) -> str:
        """The last name of a path in the folders of a link, whichever of them."""
        return self._of(b"name", link.encode(), name)

    def content(self, sha256: bytes) -> str:
        """A content, by its hash."""
        return self._of(b"content", sha256)

    def fetched(self, path: bytes, origin: str) -> bytes:
        """A file at the remote that it was fetched from, by what it was there."""
        return self._of(b"fetched", origin.encode(), path).encode()

    def mark_key(self, sha256: bytes) -> bytes:
        """The key of the marks in a content."""
        return hmac.digest(self._key, b"marks\0" + sha256, "sha256")

    def _of(self, *told: bytes) -> str:
        return hmac.new(self._key, b"\0".join(told), hashlib.sha256).hexdigest()[:32]


class Erasures:
    """The erasure ledger of an instance; opened when it is first used. For any thread."""

    def __init__(self, ledger: Ledger, path: Path, instance: str, digests: Digests, clock: Clock) -> None:
        self._ledger = ledger
        self._path = path
        self._instance = instance
        self.digests = digests
        self._clock = clock
        self._alone = threading.RLock()
        self._file: LedgerFile | None = None

    def close(self) -> None:
        """Let the ledger go; harmless when repeated."""
        with self._alone:
            if self._file is not None:
                self._file.close()
                self._file = None

    def compare(self) -> Compared:
        """See how the state stands to the ledger, which is begun where there was none before.

        Raises ErasureLedgerError where it cannot be opened.
        """
        with self._alone:
            known = self._known()
            after = 0 if known is None else known.head.epoch
            try:
                file = self._opened()
            except UnusableError as fault:
                return Compared(Standing.LOST, after, 0, fault.what)
            except FileNotFoundError:
                if known is not None:
                    return Compared(Standing.LOST, after, 0, "is missing")
                file = self._begin(0)
            if known is None and file.head.epoch == file.beginning.epoch == 0:
                self._ledger.write(self.note)
            above = (read.entry for read in file.entries(after))
            return compared(known, file.beginning, file.head, file.hash_at, above)

    def require_current(self) -> None:
        """Pass if this state knows of every erasure.

        Raises RefusedError `REPLAY_NEEDED` or `ERASURE_LEDGER_LOST`, and as `compare` does.
        """
        found = self.compare()
        if found.standing is Standing.LOST:
            raise RefusedError(
                f"the erasure ledger {found.fault}; the state knows of {found.after} entries",
                reason="ERASURE_LEDGER_LOST",
                where=str(self._path),
                remedy=WHERE_LOST,
            )
        if found.standing is Standing.BEHIND:
            raise RefusedError(
                f"this state is older than the erasure ledger, which has {found.epoch - found.after} entries "
                "that it does not know: what was erased since may be here again",
                reason="REPLAY_NEEDED",
                where=str(self._path),
                remedy="run sftpd erasure replay, and serve then",
            )

    def append(self, make: Callable[[int, str], Told]) -> None:
        """Add what `make` gives for the next epoch and the time, durably.

        Raises ErasureLedgerError, and RefusedError where the ledger was taken away meanwhile.
        """
        with self._alone:
            self.require_current()
            file = self._opened()
            entry, known = make(file.head.epoch + 1, self._now()), self._known()
            if known is None or (known.reserved, known.request) != (entry.epoch, entry.request):
                self._ledger.write(partial(self.reserve, request=entry.request))
            try:
                file.append(entry)
            except BaseException:
                self.close()  # only opening it anew tells whether it has the line
                raise

    def reserve(self, unit: Unit, request: str) -> None:
        """Have the state expect one entry more; `append` does so too where that is not done yet."""
        unit.conn.execute(_row.update().values(reserved=self._head().epoch + 1, request=request))

    def note(self, unit: Unit) -> int:
        """Note in the state how far the ledger reaches, with what was done by then; returns the epoch."""
        head = self._head()
        _set(unit.conn, head)
        return head.epoch

    def pending(self, after: int) -> Iterator[tuple[Told, Head]]:
        """The entries above an epoch, in their order, each with the head that it makes."""
        for read in self._opened().entries(after):
            if not isinstance(read.entry, Beginning):
                yield read.entry, read.head

    def pass_on(self, unit: Unit, head: Head) -> None:
        """Note in a state that was restored that all up to `head` is erased in it too."""
        _set(unit.conn, head)

    def go_on_without(self, by: str, reason: str) -> Compared:
        """Begin a new ledger where the old one is lost, which is recorded; what is there is put aside.

        Raises RefusedError where it is not lost.
        """
        with self._alone:
            found = self.compare()
            if found.standing is not Standing.LOST:
                raise RefusedError(
                    f"the erasure ledger is there, with {found.epoch} entries",
                    reason="LEDGER_NOT_LOST",
                    where=str(self._path),
                )
            if self._file is None or self._file.beginning.epoch <= found.after:
                self.close()
                if self._path.exists():
                    self._path.rename(self._path.with_name(f"{self._path.name}.lost-{self._now()}"))
                self._begin(found.after)
            beginning = self._opened().entries(-1)
            first = next(beginning).head

            def work(unit: Unit) -> None:
                _set(unit.conn, first)
                public = {"known": found.after, "found": found.epoch, "begins_after": first.epoch}
                unit.record(Event("erasure.ledger_lost", None, public, {"by": by, "reason": reason}))

            self._ledger.write(work)
            return self.compare()

    def _head(self) -> Head:
        """Takes no lock: who appends holds it while waiting for the writer, on whose thread this runs."""
        return (self._file or self._opened()).head

    def _begin(self, after: int) -> LedgerFile:
        beginning = Beginning(after, self._now(), self._instance, self.digests.check)
        self._file = LedgerFile.create(self._path, beginning)
        return self._file

    def _opened(self) -> LedgerFile:
        if self._file is not None and not self._file.is_there:
            self.close()
        if self._file is None:
            file = LedgerFile.open(self._path)
            if file.beginning.key != self.digests.check:
                file.close()
                raise UnusableError("was written with another audit key", where=str(self._path))
            self._file = file
        return self._file

    def _known(self) -> Known | None:
        with self._ledger.read() as conn:
            return known(conn)

    def _now(self) -> str:
        return instant(self._clock.now())


def known(conn: sa.Connection) -> Known | None:
    """What the state behind a connection knows of the ledger; None where it has never heard of one."""
    row = conn.execute(sa.select(_row)).one_or_none()
    return None if row is None else Known(Head(row.epoch, bytes.fromhex(row.hash)), row.reserved, row.request)


def compared(
    known: Known | None,
    beginning: Beginning,
    head: Head,
    hash_at: Callable[[int], bytes | None],
    above: Iterable[Beginning | Told],
) -> Compared:
    """How a state that knows so much stands to a ledger: `above` are its entries above those."""
    after = 0 if known is None else known.head.epoch
    fault = ""
    if beginning.epoch > after:
        fault = f"begins after entry {beginning.epoch}"
    elif head.epoch < after:
        fault = f"ends with entry {head.epoch}"
    elif known is not None and hash_at(after) != known.head.hash:
        fault = f"is another one: its entry {after} is not the one that was noted"
    if fault:
        return Compared(Standing.LOST, after, head.epoch, fault)
    is_current = head.epoch == after or (known is not None and known.expects(above))
    return Compared(Standing.CURRENT if is_current else Standing.BEHIND, after, head.epoch)


def look(conn: sa.Connection, path: Path) -> Compared:
    """As `Erasures.compare`, from outside: changes nothing, and also while an instance is at work.

    Raises OSError where the ledger cannot be read.
    """
    noted = known(conn)
    wanted = 0 if noted is None else noted.head.epoch
    reads: list[Read] = []
    above: list[Beginning | Told] = []
    hashes = {}
    try:
        with path.open("rb") as lines:
            for read in decode(lines, str(path)):
                reads = [*reads[:1], read]
                if read.head.epoch == wanted:
                    hashes[wanted] = read.head.hash
                elif read.head.epoch > wanted and len(above) < _ENOUGH:
                    above.append(read.entry)
    except FileNotFoundError:
        standing = Standing.CURRENT if noted is None else Standing.LOST
        return Compared(standing, wanted, 0, "is missing")
    except UnusableError as fault:
        return Compared(Standing.LOST, wanted, 0, fault.what)
    if not reads or not isinstance(reads[0].entry, Beginning):
        return Compared(Standing.LOST, wanted, 0, "is no erasure ledger")
    return compared(noted, reads[0].entry, reads[-1].head, hashes.get, above)


def _set(conn: sa.Connection, head: Head) -> None:
    values = {"epoch": head.epoch, "hash": head.hash.hex(), "reserved": head.epoch, "request": None}
    if not conn.execute(_row.update().values(**values)).rowcount:
        conn.execute(_row.insert().values(name=_ONE, **values))
