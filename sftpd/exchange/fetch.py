"""Fetching files from a remote: durable here before they are taken in as uploads are."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from sftpd.clock import Clock
from sftpd.errors import RefusedError, RemoteError
from sftpd.exchange.arrival import Arrival
from sftpd.exchange.places import Places
from sftpd.exchange.read_once import Attempts
from sftpd.exchange.receive import REJECTED, Answer, Receiver
from sftpd.exchange.records import split
from sftpd.exchange.remote import Download, Downloaded, Remote, RemoteFile, Share, in_directory
from sftpd.files import durable
from sftpd.files.beneath import FILE_MODE
from sftpd.link.model import Inbound
from sftpd.names import TransferId, new_id

_log = structlog.get_logger()


class _Wanted(NamedTuple):
    """A file, and the transfer that it is to be."""

    file: RemoteFile
    transfer: TransferId


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

    def fetch(self, remote: Remote, files: Sequence[RemoteFile]) -> list[bool | RemoteError]:
        """Fetch files and take them in; False for one that is not what was listed, or cannot be taken.

        Raises RemoteError where the remote does not tell which it does not give.
        """
        wanted = [_Wanted(file, TransferId(new_id(self._clock.now()))) for file in files]
        if self._attempts is not None:
            for file, transfer in wanted:
                self._attempts.begin(file, transfer)
        try:
            failures = self._fetch(remote, wanted)
        except RemoteError as fault:
            self._note(wanted, [fault] * len(wanted))
            raise
        self._note(wanted, failures)
        return [failure if isinstance(failure, RemoteError) else failure is None for failure in failures]

    def _note(self, wanted: Sequence[_Wanted], failures: Sequence[str | RemoteError | None]) -> None:
        """Tell of the files that are lost, of a remote that gives a file only once."""
        for (file, transfer), failure in zip(wanted, failures, strict=True):
            if self._attempts is not None and failure is not None:
                self._attempts.failed(file, transfer, str(failure))

    def _fetch(self, remote: Remote, wanted: Sequence[_Wanted]) -> list[str | RemoteError | None]:
        """Why each file is not here, None when it is."""
        got = self._download(remote, wanted)
        failures: dict[TransferId, str | RemoteError | None] = {}
        arrivals: list[Arrival] = []
        for (file, transfer), came in zip(wanted, got, strict=True):
            if isinstance(came, RemoteError):
                failures[transfer] = came
            elif came.size != file.size:
                self._screening.unlink((transfer.encode(),))
                failures[transfer] = self._left(f"listed with {file.size} bytes, fetched with {came.size}")
            else:
                arrivals.append(self._arrival(file, transfer, came.sha256))
        for arrival, answer in zip(arrivals, self._receiver.complete_all(arrivals), strict=True):
            failures[arrival.transfer] = self._taken_in(arrival, answer)
        return [failures[transfer] for _, transfer in wanted]

    def _taken_in(self, arrival: Arrival, answer: Answer | Exception) -> str | None:
        """Why a file that came is not here. Raises what is no refusal."""
        if not isinstance(answer, Exception):
            return None
        if not isinstance(answer, RefusedError):
            raise answer
        if answer.reason == REJECTED:
            _log.warning("collected_file_rejected", route=self._route.name, transfer=arrival.transfer)
            return None
        return self._left(str(answer))

    def _download(self, remote: Remote, wanted: Sequence[_Wanted]) -> list[Downloaded | RemoteError]:
        """Have the files written here, durably; of those that do not come nothing is left."""
        files: list[Download] = []
        answers: list[Downloaded | RemoteError] = []
        try:
            for file, transfer in wanted:
                fd = self._screening.open((transfer.encode(),), os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
                # Of a file that is given only once what came is all that there is.
                steady = self._attempts is None
                files.append(Download(self._directory + file.name, fd, file.size, steady))
            answers = remote.download(files, self._share)
            for download, answer in zip(files, answers, strict=True):
                if not isinstance(answer, RemoteError):
                    os.fsync(download.fd)
            durable.sync_parent(self._screening, (wanted[0].transfer.encode(),))
        except BaseException:
            answers = []
            raise
        finally:
            for download in files:
                os.close(download.fd)
            for index, (_, transfer) in enumerate(wanted[: len(files)]):
                if not answers or isinstance(answers[index], RemoteError):
                    self._screening.unlink((transfer.encode(),))
        return answers

    def _arrival(self, file: RemoteFile, transfer: TransferId, sha256: str) -> Arrival:
        return Arrival(
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

    def _left(self, reason: str) -> str:
        _log.warning("remote_file_left", route=self._route.name, error=reason)
        return reason


def origin(file: RemoteFile) -> str:
    """What the file was at the remote; no high-water mark, so old files and equal names count too."""
    return f"{file.size}:{file.mtime}"
