"""Several connections to a remote that take files off one list, each the next one."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import structlog

from sftpd.errors import RemoteError, RemoteRefusedError
from sftpd.exchange.remote import Remote, RemoteFile, Remotes
from sftpd.names import RemoteName

_PATIENCE = 3
"""Faults in a row after which a connection is not opened anew."""

_log = structlog.get_logger()


class Crew:
    """Does one thing with each of some files; a file that fails keeps no other waiting."""

    def __init__(
        self, remotes: Remotes, name: RemoteName, size: int, work: Callable[[Remote, RemoteFile], bool]
    ) -> None:
        """`work` tells whether it is done; `size` is how many work at once."""
        self._remotes = remotes
        self._name = name
        self._size = size
        self._work = work
        self._lock = threading.Lock()
        self._stopped = False
        self.done = 0
        self.failed = 0
        self.fault: RemoteError | None = None
        """What went wrong last that is not the fault of a single file."""

    def run(self, files: list[RemoteFile]) -> None:
        """Work until no file is left, or no connection. Raises what is no RemoteError."""
        ahead = self._one_by_one(files)
        count = min(self._size, len(files))
        if count <= 1:
            self._take(ahead)
            return
        with ThreadPoolExecutor(count, thread_name_prefix="sftpd-pull") as pool:
            for member in [pool.submit(self._take, ahead) for _ in range(count)]:
                member.result()

    def _one_by_one(self, files: Iterable[RemoteFile]) -> Callable[[], RemoteFile | None]:
        rest: Iterator[RemoteFile] = iter(files)

        def take() -> RemoteFile | None:
            with self._lock:
                return None if self._stopped else next(rest, None)

        return take

    def _take(self, ahead: Callable[[], RemoteFile | None]) -> None:
        """One member: works with one connection for as long as that lasts, then with another."""
        faults = 0
        try:
            file = ahead()
            while file is not None and faults < _PATIENCE:
                with self._remotes.borrow(self._name) as remote:
                    while file is not None and self._does(remote, file):
                        file, faults = ahead(), 0
                    if file is not None:
                        file, faults = ahead(), faults + 1
        except RemoteError as fault:
            self.fault = fault
        except BaseException:
            self._stopped = True
            raise

    def _does(self, remote: Remote, file: RemoteFile) -> bool:
        """Work on one file; False where the connection is of no more use."""
        try:
            done = self._work(remote, file)
        except RemoteError as fault:
            _log.warning("remote_file_left", remote=self._name, error=str(fault))
            with self._lock:
                self.failed += 1
            if not isinstance(fault, RemoteRefusedError):
                self.fault = fault
            return False
        with self._lock:
            self.done += done
            self.failed += not done
        return True
