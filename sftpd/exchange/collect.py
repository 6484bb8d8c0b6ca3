"""Collecting: files at a remote that the ledger has not seen are fetched and taken in like uploads."""

import os
import time
from collections.abc import Callable
from fnmatch import fnmatchcase

import sqlalchemy as sa
import structlog

from sftpd.clock import Clock
from sftpd.errors import RefusedError, RemoteRefusedError
from sftpd.exchange.places import Places
from sftpd.exchange.receive import REJECTED, Arrival, Receiver
from sftpd.exchange.remote import Remote, RemoteFile, Remotes, in_directory
from sftpd.files import durable
from sftpd.files.beneath import FILE_MODE
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.link.model import Inbound
from sftpd.names import TransferId, new_id

_SETTLE = 2.0
"""Seconds a file must not change at the remote: listings tell times in whole seconds."""
_QUERY_LIMIT = 500
"""Paths that one query asks for."""

_log = structlog.get_logger()


class Collector:
    """Fetches the files of one inbound route."""

    def __init__(
        self,
        route: Inbound,
        places: Places,
        *,
        receiver: Receiver,
        remotes: Remotes,
        ledger: Ledger,
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.route = route
        self._places = places
        self._receiver = receiver
        self._remotes = remotes
        self._ledger = ledger
        self._clock = clock
        self._pause = pause
        self._directory = in_directory(route.remote_path)

    def collect(self) -> int:
        """Fetch what is new and stands still; returns how many files came.

        Raises RemoteError when the remote cannot be reached.
        """
        with self._remotes.borrow(self.route.remote) as remote:
            files = self._look(remote)
            seen = self._seen(files)
            fresh = [file for file in files if file not in seen]
            if fresh:
                self._pause(_SETTLE)
                still = set(self._look(remote))
                fresh = [file for file in fresh if file in still]
        fetched = sum(self._fetch_or_leave(file) for file in fresh)
        if self.route.then != "leave":
            self._dismiss_seen()
        return fetched

    def _look(self, remote: Remote) -> list[RemoteFile]:
        return [file for file in remote.list(self._directory) if self._wanted(file.name)]

    def _wanted(self, name: bytes) -> bool:
        text = os.fsdecode(name)
        included = any(fnmatchcase(text, glob) for glob in self.route.include)
        return included and not any(fnmatchcase(text, glob) for glob in self.route.exclude)

    def _seen(self, files: list[RemoteFile]) -> set[RemoteFile]:
        """Those of `files` that the ledger has."""
        t = tables.transfer.c
        route = (t.link == self.route.link, t.route == self.route.name)
        seen: set[tuple[bytes, str | None]] = set()
        with self._ledger.read() as conn:
            for start in range(0, len(files), _QUERY_LIMIT):
                paths = [file.name for file in files[start : start + _QUERY_LIMIT]]
                rows = conn.execute(sa.select(t.path, t.origin).where(*route, t.path.in_(paths)))
                seen.update((path, origin) for path, origin in rows)
        return {file for file in files if (file.name, _origin(file)) in seen}

    def _fetch_or_leave(self, file: RemoteFile) -> bool:
        """Fetch a file; one that the remote does not give stays and keeps no other waiting."""
        with self._remotes.borrow(self.route.remote) as remote:
            try:
                return self._fetch(remote, file)
            except RemoteRefusedError as refusal:
                _log.warning("remote_file_refused", route=self.route.name, error=str(refusal))
                return False

    def _fetch(self, remote: Remote, file: RemoteFile) -> bool:
        transfer = TransferId(new_id(self._clock.now()))
        screening, place = self._places["screening"], (transfer.encode(),)
        fd = screening.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            size, sha256 = remote.download(self._directory + file.name, fd)
            os.fsync(fd)
            durable.sync_parent(screening, place)
        except BaseException:
            screening.unlink(place)
            raise
        finally:
            os.close(fd)
        if size != file.size:
            _log.warning("remote_file_changed", route=self.route.name, listed=file.size, fetched=size)
            screening.unlink(place)
            return False
        arrival = Arrival(
            transfer=transfer,
            route=self.route.name,
            peer=self.route.remote,
            folder="inbound",
            source=screening,
            parts=place,
            path=(file.name,),
            size=size,
            sha256=sha256,
            policy=self.route.policy,
            origin=_origin(file),
        )
        try:
            self._receiver.complete(arrival)
        except RefusedError as refusal:
            if refusal.reason != REJECTED:
                raise
            _log.warning("collected_file_rejected", route=self.route.name, transfer=transfer)
        return True

    def _dismiss_seen(self) -> None:
        """Dismiss what is here and unchanged at the remote: a newer file of that name is to be fetched."""
        with self._remotes.borrow(self.route.remote) as remote:
            files = self._look(remote)
        seen = self._seen(files)
        for file in files:
            if file in seen:
                self._dismiss_or_leave(file)

    def _dismiss_or_leave(self, file: RemoteFile) -> None:
        """Dismiss a file; one that the remote keeps stays there and keeps no other waiting."""
        with self._remotes.borrow(self.route.remote) as remote:
            try:
                self._dismiss(remote, file)
            except RemoteRefusedError as refusal:
                _log.warning("remote_file_stays", route=self.route.name, error=str(refusal))

    def _dismiss(self, remote: Remote, file: RemoteFile) -> None:
        """Do with a file that is safely here what the route says; repeated after a crash until it is done."""
        path = self._directory + file.name
        match self.route.then:
            case "delete":
                remote.remove(path)
            case "move":
                assert self.route.move_to is not None
                remote.place(path, in_directory(self.route.move_to) + file.name)
            case "leave":
                return


def _origin(file: RemoteFile) -> str:
    """What the file was at the remote; no high-water mark, so old files and equal names count too."""
    return f"{file.size}:{file.mtime}"
