"""Several connections to a remote that take files off one list, each the next ones."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil

import structlog

from sftpd.errors import RemoteAwayError, RemoteError, RemoteRefusedError
from sftpd.exchange.due import TOGETHER, TOGETHER_SIZE
from sftpd.exchange.guarded import PATIENCE, GuardedRemotes
from sftpd.exchange.remote import Remote, RemoteFile
from sftpd.names import RemoteName

_PATIENCE = 3
"""Faults in a row after which a connection is not opened anew."""

_log = structlog.get_logger()


Work = Callable[[Remote, Sequence[RemoteFile]], list[bool | RemoteError]]
"""Does one thing with each of some files; answers whether it is done, in their order."""


class Crew:
    """Does one thing with each of some files; a file that fails keeps no other waiting."""

    def __init__(
        self,
        remotes: GuardedRemotes,
        name: RemoteName,
        size: int,
        work: Work,
        *,
        require_open: Callable[[], None],
        together: int = TOGETHER,
        breaks_off: bool = True,
    ) -> None:
        """`size` is how many work at once, each with up to `together` small files.

        `require_open` raises NotOpenError once nothing more is to be done; what is under way is then cut off
        if it `breaks_off`.
        """
        self._remotes = remotes
        self._name = name
        self._size = size
        self._work = work
        self._require_open = require_open
        self._together = together
        self._require_all_along = require_open if breaks_off else None
        self._lock = threading.Lock()
        self._stopped = False
        self._reached = False
        self._ahead: deque[tuple[RemoteFile, ...]] = deque()
        self.done = 0
        self.left: list[RemoteFile] = []
        """Those of which it was tried and is not done."""
        self.fault: RemoteError | None = None
        """What went wrong last that is not the fault of a single file."""

    def run(self, files: Sequence[RemoteFile]) -> None:
        """Work until no file is left, or no connection, or the remote is halted.

        Raises what is no RemoteError.
        """
        share = ceil(len(files) / self._size)  # few files are spread over all that work
        self._ahead.extend(_grouped(files, min(self._together, share)))
        count = min(self._size, len(self._ahead))
        if count <= 1:
            self._take()
            return
        with ThreadPoolExecutor(count, thread_name_prefix="sftpd-pull") as pool:
            for member in [pool.submit(self._take) for _ in range(count)]:
                member.result()
        if self._reached and isinstance(self.fault, RemoteAwayError):
            self.fault = None
            self._take()  # what others had no connection for, as it may let us have but one

    def _next(self) -> tuple[RemoteFile, ...]:
        with self._lock:
            if not self._ahead or self._stopped:
                return ()
            self._require_open()
            self._remotes.guard(self._name).require_free()
            return self._ahead.popleft()

    def _take(self) -> None:
        """One member: works with one connection for as long as that lasts, then with another."""
        faults = 0
        borrowed = True
        try:
            files = self._next()
            while files and faults < _PATIENCE:
                borrowed = False
                with self._remotes.borrow(self._name, self._require_all_along, PATIENCE) as remote:
                    borrowed = self._reached = True
                    while files and self._does(remote, files):
                        files, faults = self._next(), 0
                    if files:
                        files, faults = self._next(), faults + 1
        except RemoteError as fault:
            if not borrowed:
                with self._lock:
                    self._ahead.appendleft(files)
            self.fault = fault
        except BaseException:
            self._stopped = True
            raise

    def _does(self, remote: Remote, files: tuple[RemoteFile, ...]) -> bool:
        """Work on some files; False where the connection may be of no more use."""
        try:
            answers = self._work(remote, files)
        except RemoteError as fault:
            self._require_open()  # else it may be we who hung up
            if len(files) > 1:  # it does not tell for which it failed: each has its own turn
                with self._lock:
                    self._ahead.extendleft((file,) for file in reversed(files))
                return False
            answers = [fault]
        faults = [answer for answer in answers if isinstance(answer, RemoteError)]
        for each in faults:
            _log.warning("remote_file_left", remote=self._name, error=str(each))
            if not isinstance(each, RemoteRefusedError):
                self.fault = each
        with self._lock:
            self.left += [file for file, answer in zip(files, answers, strict=True) if answer is not True]
            self.done += sum(answer is True for answer in answers)
        return all(isinstance(each, RemoteRefusedError) for each in faults)


def _grouped(files: Iterable[RemoteFile], most: int) -> Iterator[tuple[RemoteFile, ...]]:
    """Files in their order, at most so many together, and small ones alone."""
    group: list[RemoteFile] = []
    size = 0
    for file in files:
        if group and (len(group) >= most or size + file.size > TOGETHER_SIZE):
            yield tuple(group)
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield tuple(group)
