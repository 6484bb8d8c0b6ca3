"""Indexing received files in the background: what the ledger has and the index has not, at leisure.

Nothing waits for it. After each start, and regularly, all files of a link are compared with its index; in
between, those received since the last look.
"""

import math
import os
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple, Protocol

import sqlalchemy as sa
import structlog

from sftpd.clock import Clock
from sftpd.erasure.contents import ContentError, Contents, Searchable
from sftpd.erasure.index import Counts, Entry, Index, is_damage
from sftpd.erasure.layouts import Layout
from sftpd.erasure.messages import Index as Question
from sftpd.erasure.messages import Unsearchable
from sftpd.erasure.readers import Readers
from sftpd.erasure.search import RECEIVED
from sftpd.erasure.tokens import LIMIT, SIZE
from sftpd.errors import ContainmentError
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event

MOST_PENDING = 10_000
"""Files that are taken on at once; more are not counted."""

_EVERY = 5.0
"""Seconds between two looks at what was received."""
_ROUND = timedelta(hours=1)
"""Between two comparisons of all files of a link with its index."""
_OVERLAP = timedelta(minutes=1)
"""For how long a file that was received may not be seen in the ledger."""
_SETTLING = timedelta(seconds=2)
"""For how long after a change of a file another one may leave its times as they are."""
_RECOVERY = 60.0
"""Seconds after a failure until everything is compared again."""
_PAGE = 1000
_ENTRIES, _TOKENS = 1000, 8 << 20
"""Files, and bytes of their tokens, that are entered at once, about."""
_SHARE, _SPELL = 0.2, 0.05
"""What part of a processor the monitor spends on files, beside a reader; and how many seconds in a row."""
_REASON = 200
"""Characters of a reason."""
_CLOSINGS = frozenset({"erasure.closed", "erasure.partial"})

_DONE = object()

_file = tables.kept_file.c
_log = structlog.get_logger()


class IndexedLinks(Protocol):
    """What is indexed."""

    def names(self) -> Iterable[str]:
        """The links with an index."""
        ...

    def received(self, link: str) -> Searchable:
        """The folder of received files of a link."""
        ...

    def layouts(self, link: str) -> Sequence[Layout]:
        """What is told of the link's files by hand."""
        ...

    def index(self, link: str) -> Index | None:
        """The index of a link. Raises OSError and sqlite3.Error."""
        ...

    def discard(self, link: str) -> None:
        """Remove the index of a link, which is damaged."""
        ...


class _Row(NamedTuple):
    received_at: datetime
    id: str
    path: bytes
    mark: str

    @property
    def parts(self) -> tuple[bytes, ...]:
        return tuple(self.path.split(b"/"))


@dataclass(frozen=True, slots=True)
class _Known:
    """A link at work: what of it is indexed, and what is told of its files by hand."""

    link: str
    index: Index
    layouts: tuple[Layout, ...]

    def place(self, row: _Row) -> bytes:
        return self.index.place(RECEIVED, row.parts, row.mark, self.layouts)


class Indexer:
    """A thread `sftpd-index` that keeps the index of each link up with what is received over it."""

    def __init__(
        self, ledger: Ledger, links: IndexedLinks, readers: Readers, clock: Clock, every: float = _EVERY
    ) -> None:
        """`readers` are nobody else's, and stop with it."""
        self._ledger = ledger
        self._links = links
        self._readers = readers
        self._clock = clock
        self._every = every
        self._news: set[str] = set()
        self._closed: set[str] = set()
        self._compared: dict[str, datetime] = {}
        self._seen: dict[str, datetime] = {}
        self._pending: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sftpd-index", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, in the middle of a file too, which is begun anew later."""
        self._stopped.set()
        self._readers.stop()
        self._thread.join()

    def see(self, event: Event) -> None:
        """Note that a link has news, or is to be compared; on the thread that commits."""
        if event.link is not None and event.type == "transfer.received":
            self._news.add(event.link)
        elif event.link is not None and event.type in _CLOSINGS:
            self._closed.add(event.link)

    def pending(self) -> dict[str, int]:
        """Files of each link that are known to wait, at most MOST_PENDING."""
        return {str(link): self._pending[link] for link in self._links.names()}

    def look(self) -> None:
        """Index what is not indexed, of every link, some files of each in turn."""
        begun: dict[str, float] = {}
        at_work: dict[str, Iterator[None]] = {}
        while not self._stopped.is_set():
            now = time.monotonic()
            for link in self._links.names():
                if link not in at_work and now - begun.get(link, -math.inf) >= self._every:
                    begun[link], at_work[link] = now, self._catch_up(link)
            for link, work in list(at_work.items()):
                if not self._goes_on(link, work):
                    del at_work[link]
            if not at_work:
                return

    def _goes_on(self, link: str, work: Iterator[None]) -> bool:
        """Whether there is more to do for a link once the next of its files are indexed."""
        try:
            return next(work, _DONE) is not _DONE
        except sqlite3.DatabaseError as fault:
            if not is_damage(fault):
                raise
            _log.error("index_damaged", link=link, fault=str(fault))
            self._links.discard(link)
            self._compared.pop(link, None)
            return False

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                self.look()
            except Exception:
                if not self._stopped.is_set():
                    _log.exception("indexing_failed")
                    self._compared.clear()
                    self._stopped.wait(_RECOVERY)

    def _catch_up(self, link: str) -> Iterator[None]:
        """Index what is not indexed of one link, some files at a time."""
        now = self._clock.now()
        compared = self._compared.get(link)
        is_round = compared is None or link in self._closed or not now - _ROUND < compared <= now
        if not (is_round or link in self._news):
            return
        index = self._links.index(link)
        if index is None:
            return
        known = _Known(link, index, tuple(self._links.layouts(link)))
        self._news.discard(link)
        self._closed.discard(link)
        if is_round:
            index.keep(known.place(row) for row in self._rows(link, None))
            index.sweep()
        rows = self._rows(link, None if is_round else self._seen[link] - _OVERLAP)
        yield from self._index_all(known, rows)
        self._seen[link] = now
        if is_round:
            self._compared[link] = now

    def _index_all(self, known: _Known, rows: Iterator[_Row]) -> Iterator[None]:
        unknown = (row for row in rows if not known.index.knows(known.place(row)))
        while batch := deque(islice(unknown, MOST_PENDING)):
            self._pending[known.link] = len(batch)
            while batch:
                with self._links.received(known.link).open() as contents:
                    more = self._some(
                        self._entry(known, contents, batch.popleft()) for _ in range(len(batch))
                    )
                    known.index.put(entry for entry in more if entry is not None)
                self._pending[known.link] = len(batch)
                if self._stopped.is_set():
                    return
                yield

    def _some(self, entries: Iterator[Entry | None]) -> list[Entry | None]:
        """The next entries, not more than are entered at once; none once it is to stop."""
        some: list[Entry | None] = []
        size = 0
        began = time.thread_time()
        while len(some) < _ENTRIES and size < _TOKENS and not self._stopped.is_set():
            try:
                entry = next(entries)
            except StopIteration:
                break
            some.append(entry)
            size += 0 if entry is None else len(entry.tokens)
            if (spent := time.thread_time() - began) > _SPELL:
                self._stopped.wait(spent / _SHARE - spent)
                began = time.thread_time()
        return some

    def _entry(self, known: _Known, contents: Contents, row: _Row) -> Entry | None:
        """What is entered of a file; None for one that is not there, is not what was received, or is new."""
        try:
            fd, mark = contents.open(row.parts)
        except (OSError, ContainmentError, ContentError):
            return None
        try:
            changed = datetime.fromtimestamp(os.fstat(fd).st_ctime, UTC)
            if timedelta() <= self._clock.now() - changed < _SETTLING:
                self._news.add(known.link)
                return None
            if mark != row.mark:
                return None
            entry = self._tokenized(known, fd, row)
            return entry if contents.is_still(row.parts, mark) else None
        finally:
            os.close(fd)

    def _tokenized(self, known: _Known, fd: int, row: _Row) -> Entry:
        place = known.place(row)
        out = os.memfd_create("sftpd-tokens", os.MFD_CLOEXEC)
        try:
            question = Question(row.parts[-1], known.index.key, known.layouts)
            answer = self._readers.tokens(question, [fd, out])
            if isinstance(answer, Unsearchable):
                return Entry(place, reason=answer.reason)
            if answer.unsearched:
                reason = f"parts of it were not searched: {'; '.join(answer.unsearched)}"
                return Entry(place, reason=reason[:_REASON])
            size = os.fstat(out).st_size
            if size != answer.tokens * SIZE or answer.tokens > LIMIT:
                return Entry(place, reason="a reader told of other tokens than it wrote")
            return Entry(place, os.pread(out, size, 0))
        finally:
            os.close(out)

    def _rows(self, link: str, since: datetime | None) -> Iterator[_Row]:
        """The files that were received over a link and are there, by when they were."""
        at = (_file.link == link, _file.folder == RECEIVED, _file.state == "present")
        query = sa.select(_file.received_at, _file.id, _file.path, _file.source).where(*at)
        query = query.order_by(_file.received_at, _file.id).limit(_PAGE)
        after = sa.true() if since is None else _file.received_at >= since
        while True:
            with self._ledger.read() as conn:
                page = [_Row(*row) for row in conn.execute(query.where(after))]
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1]
            after = sa.or_(
                _file.received_at > last.received_at,
                sa.and_(_file.received_at == last.received_at, _file.id > last.id),
            )


class Standing(NamedTuple):
    """How far the index of a link is: files that are received and there, and what became of them."""

    files: int
    counts: Counts

    @property
    def pending(self) -> int:
        """Files that are not looked at yet; what went since the last comparison makes it too few."""
        return max(0, self.files - self.counts.indexed - self.counts.unsearchable)


def standing(ledger: Ledger, link: str, index: Index) -> Standing:
    """How far the index of a link is."""
    query = sa.select(sa.func.count()).where(
        _file.link == link, _file.folder == RECEIVED, _file.state == "present"
    )
    with ledger.read() as conn:
        files = conn.scalar(query) or 0
    return Standing(files, index.counts())
