"""Collecting: files at a remote that the ledger has not seen are fetched and taken in like uploads."""

import posixpath
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial

import structlog

from sftpd.clock import Clock
from sftpd.errors import RemoteError
from sftpd.exchange.crew import Crew, Work
from sftpd.exchange.due import TOGETHER
from sftpd.exchange.fetch import Fetcher
from sftpd.exchange.fetched import Fetched
from sftpd.exchange.guarded import PATIENCE, GuardedRemotes
from sftpd.exchange.offered import Selection, Settling
from sftpd.exchange.overdue import RouteWaits
from sftpd.exchange.places import Places
from sftpd.exchange.read_once import Attempts
from sftpd.exchange.receive import Receiver
from sftpd.exchange.records import split
from sftpd.exchange.remote import Listing, Look, Publication, Remote, RemoteFile, Share, in_directory
from sftpd.exchange.waits import Reason
from sftpd.link.model import Inbound

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one run came to, in files."""

    fetched: int
    failed: int
    waiting: int
    """May still be changing there."""
    left: int
    """Are ready and left for the next run: a run takes no more."""
    unlisted: int
    """Were not listed: beyond the limit of a look, too deep, or with a name that cannot be kept."""
    again: timedelta | None
    """When a look at those that wait is worth while."""

    def __add__(self, later: "Pulled") -> "Pulled":
        """What this run and a later one came to."""
        return replace(later, fetched=self.fetched + later.fetched, failed=self.failed + later.failed)


class Collector:
    """Fetches the files of one inbound route; one run at a time."""

    def __init__(  # noqa: PLR0913 (what it joins)
        self,
        route: Inbound,
        places: Places,
        *,
        receiver: Receiver,
        remotes: GuardedRemotes,
        fetched: Fetched,
        clock: Clock,
        require_open: Callable[[str], None],
        share: Share | None = None,
        waits: RouteWaits | None = None,
    ) -> None:
        """`waits` comes to know of the files that are not ready, or cannot be fetched.

        `require_open` raises NotOpenError while the link of that name may not be used.
        """
        self.route = route
        self._remotes = remotes
        self._fetched = fetched
        self._clock = clock
        self._require_open = partial(require_open, route.link)
        self._directory = in_directory(route.remote_path)
        self._attempts = Attempts(route, fetched.ledger) if route.read_once else None
        self._fetcher = Fetcher(
            route, places, receiver=receiver, clock=clock, attempts=self._attempts, share=share
        )
        self._selection = Selection(route.include, route.exclude)
        self._moved = _moved_away(route)
        self._settling = Settling(route.settle.total_seconds())
        self._waits = waits or RouteWaits(route.overdue_after.total_seconds())
        self._failures: Counter[RemoteFile] = Counter()
        """How often files that are there could not be fetched: those go behind others."""
        self._after: RemoteFile | None = None
        """Behind which file the next look begins: the last one was cut there."""
        self._turned: float | None = None
        """The monotonic time of the first look there after which files waited."""

    def collect(self) -> Pulled:
        """Fetch what is new and stands still, then do with what is here as the route says.

        Raises RemoteError when the remote cannot be reached or failed meanwhile; what could be done is done.
        Raises NotOpenError when the link may not be used, or not any more; then it stays at what is done, and
        what is being fetched is cut off, unless the remote gives it only once.
        """
        self._require_open()
        with self._remotes.borrow(self.route.remote, patience=PATIENCE) as remote:
            listing = remote.look(self._directory, self._look())
        meant = [file for file in listing.files if self._is_meant(file)]
        if self._attempts is not None:
            self._attempts.settle(meant)
        if self._after is None:
            self._waits.begin_round()
        here = self._fetched.among(self.route, meant)
        tried = here if self._attempts is None else here | self._attempts.tried(meant)
        fresh = [file for file in meant if file not in tried]
        now = self._clock.monotonic()
        ready = sorted(self._settling.look(fresh, now), key=self._failures.__getitem__)
        batch = ready[: self.route.batch]
        # Of files that are given only once a lost connection costs one.
        once = self.route.read_once
        fetching = self._crew(self._fetcher.fetch, together=1 if once else TOGETHER, breaks_off=not once)
        fetching.run(batch)
        self._note(fresh, ready, fetching.left)
        self._note_unfinished(listing.files)
        if len(listing.files) < self.route.list_limit:
            self._waits.end_round()
        self._failures = Counter({file: self._failures[file] for file in fresh if file in self._failures})
        self._failures.update(fetching.left)
        fault = fetching.fault
        if self.route.then != "leave" and (here or fetching.done):
            fault = self._dismiss_what_is_here() or fault
        if len(batch) == len(ready) and (len(ready) == len(fresh) or self._has_waited(now)):
            self._turn_page(listing)
        if fault is not None:
            raise fault
        pulled = Pulled(
            fetched=fetching.done,
            failed=len(fetching.left),
            waiting=len(fresh) - len(ready),
            left=len(ready) - len(batch),
            unlisted=listing.left_out,
            again=self._next_look(),
        )
        if pulled.left or pulled.unlisted:
            _log.warning("remote_files_left", route=self.route.name, **asdict(pulled))
        return pulled

    def _note(
        self, fresh: Sequence[RemoteFile], ready: Sequence[RemoteFile], left: Sequence[RemoteFile]
    ) -> None:
        """Have it known which files wait, and why."""
        now = self._clock.monotonic()
        for file in set(fresh).difference(ready):
            self._waits.see(split(file.name), Reason.CHANGING, now)
        for file in left:
            self._waits.see(split(file.name), Reason.NOT_FETCHED, now)

    def _note_unfinished(self, files: Sequence[RemoteFile]) -> None:
        """Have it known which files have an unfinished name, each since it changed last."""
        now = self._clock.monotonic()
        for file in files:
            if self._selection.unfinished(file.name) and not self._was_moved(file):
                self._waits.see(split(file.name), Reason.UNFINISHED, now, mark=file)

    def _next_look(self) -> timedelta | None:
        wait = self._settling.next_look(self._clock.monotonic())
        return None if wait is None else timedelta(seconds=wait)

    def _crew(self, work: Work, *, together: int = TOGETHER, breaks_off: bool = True) -> Crew:
        return Crew(
            self._remotes,
            self.route.remote,
            self.route.concurrency,
            work,
            require_open=self._require_open,
            together=together,
            breaks_off=breaks_off,
        )

    def _look(self) -> Look:
        route = self.route
        return Look(route.recursive, route.order == "oldest", route.list_limit, self._after)

    def _has_waited(self, now: float) -> bool:
        """Whether all that has not settled by now changed in between, as a log does that always grows."""
        if self._turned is None:
            self._turned = now
        return now - self._turned >= self.route.settle.total_seconds()

    def _turn_page(self, listing: Listing) -> None:
        """Have the next look begin behind this one if that was cut, and else at the beginning again."""
        cut = len(listing.files) == self.route.list_limit
        self._after = listing.files[-1] if cut else None
        self._turned = None

    def _was_moved(self, file: RemoteFile) -> bool:
        """Whether it lies where fetched files are moved to."""
        return self._moved is not None and file.name.startswith(self._moved)

    def _is_meant(self, file: RemoteFile) -> bool:
        return not self._was_moved(file) and self._selection.admits(file.name)

    def _dismiss_what_is_here(self) -> RemoteError | None:
        """Dismiss what is here and unchanged at the remote: a newer file of that name is to be fetched.

        What fails stays there until the next run. Returns what went wrong with the connection.
        """
        self._require_open()
        with self._remotes.borrow(self.route.remote, patience=PATIENCE) as remote:
            files = remote.look(self._directory, self._look()).files
        here = self._fetched.among(self.route, [file for file in files if self._is_meant(file)])
        dismissing = self._crew(self._dismiss)
        dismissing.run([file for file in files if file in here])
        return dismissing.fault

    def _dismiss(self, remote: Remote, files: Sequence[RemoteFile]) -> list[bool | RemoteError]:
        """Do with files that are safely here what the route says; repeated after a crash until it is done."""
        paths = [self._directory + file.name for file in files]
        if self.route.then == "delete":
            told = remote.remove(paths)
        else:
            assert self.route.move_to is not None
            target = in_directory(self.route.move_to)
            moves = [Publication(path, target + file.name) for path, file in zip(paths, files, strict=True)]
            told = remote.place(moves, make_folders=self.route.make_folders)
        self._fetched.dismiss(
            self.route, [file for file, fault in zip(files, told, strict=True) if fault is None]
        )
        return [answer or True for answer in told]


def _moved_away(route: Inbound) -> bytes | None:
    """Where in the directory that is listed the files lie that were moved away in it; None: nowhere."""
    if route.move_to is None:
        return None
    looked, moved = in_directory(route.remote_path), in_directory(route.move_to)
    inside = posixpath.relpath(posixpath.join(b"/", moved), posixpath.join(b"/", looked))
    same_start = looked.startswith(b"/") == moved.startswith(b"/")
    return inside + b"/" if same_start and not inside.startswith(b"..") else None
