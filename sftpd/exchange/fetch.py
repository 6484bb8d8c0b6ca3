"""Fetching one file from a remote: durable here before it is taken in as an upload is."""

import os

import structlog

from sftpd.clock import Clock
from sftpd.errors import RefusedError, RemoteError
from sftpd.exchange.places import Places
from sftpd.exchange.read_once import Attempts
from sftpd.exchange.receive import REJECTED, Arrival, Receiver
from sftpd.exchange.records import split
from sftpd.exchange.remote import Download, Remote, RemoteFile, Share, in_directory, only
from sftpd.files import durable
from sftpd.files.beneath import FILE_MODE
from sftpd.link.model import Inbound
from sftpd.names import TransferId, new_id

_log = structlog.get_logger()


class Fetcher:
    """Fetches the files of one inbound route; for several threads at once."""

    def __init__(
        self,
        route: Inbound,
        places: Places,
        *,
        receiver: Receiver,
        clock: Clock,
        attempts: Attempts | None,
        share: Share | None,
    ) -> None:
        """`attempts`: where to note what is asked for, of a remote that gives a file only once."""
        self._route = route
        self._screening = places["screening"]
        self._receiver = receiver
        self._clock = clock
        self._attempts = attempts
        self._share = share
        self._directory = in_directory(route.remote_path)

    def fetch(self, remote: Remote, file: RemoteFile) -> bool:
        """Fetch a file and take it in; False for one that is not what was listed, or cannot be taken.

        Raises RemoteError when the remote does not give it.
        """
        transfer = TransferId(new_id(self._clock.now()))
        if self._attempts is None:
            return self._fetch(remote, file, transfer) is None
        self._attempts.begin(file, transfer)
        try:
            failure = self._fetch(remote, file, transfer)
        except RemoteError as fault:
            self._attempts.failed(file, transfer, str(fault))
            raise
        if failure is not None:
            self._attempts.failed(file, transfer, failure)
        return failure is None

    def _fetch(self, remote: Remote, file: RemoteFile, transfer: TransferId) -> str | None:
        """Why the file is not here, None when it is."""
        place = (transfer.encode(),)
        size, sha256 = self._download(remote, file, place)
        if size != file.size:
            self._screening.unlink(place)
            return self._left(f"listed with {file.size} bytes, fetched with {size}")
        try:
            self._take_in(file, transfer, sha256)
        except RefusedError as refusal:
            if refusal.reason == REJECTED:
                _log.warning("collected_file_rejected", route=self._route.name, transfer=transfer)
                return None
            self._screening.unlink(place)  # nothing is recorded of a file that is not as it should be
            return self._left(str(refusal))
        return None

    def _download(self, remote: Remote, file: RemoteFile, place: tuple[bytes]) -> tuple[int, str]:
        fd = self._screening.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            got = only(remote.download([Download(self._directory + file.name, fd, file.size)], self._share))
            os.fsync(fd)
            durable.sync_parent(self._screening, place)
        except BaseException:
            self._screening.unlink(place)
            raise
        finally:
            os.close(fd)
        return got

    def _take_in(self, file: RemoteFile, transfer: TransferId, sha256: str) -> None:
        arrival = Arrival(
            transfer=transfer,
            route=self._route.name,
            peer=self._route.remote,
            folder="inbound",
            source=self._screening,
            parts=(transfer.encode(),),
            path=split(file.name),
            size=file.size,
            sha256=sha256,
            policy=self._route.policy,
            origin=origin(file),
        )
        self._receiver.complete(arrival)

    def _left(self, reason: str) -> str:
        _log.warning("remote_file_left", route=self._route.name, error=reason)
        return reason


def origin(file: RemoteFile) -> str:
    """What the file was at the remote; no high-water mark, so old files and equal names count too."""
    return f"{file.size}:{file.mtime}"
