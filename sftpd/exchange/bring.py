"""How an outbound file is brought to a remote."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from sftpd.errors import (
    ContainmentError,
    NotPlacedError,
    RefusedError,
    RemoteAwayError,
    RemoteError,
    RemoteFailedError,
    TakenAwayError,
)
from sftpd.exchange.deliver import NameTakenError
from sftpd.exchange.guard import RouteGuard
from sftpd.exchange.guarded import GuardedRemotes
from sftpd.exchange.layout import LAYOUTS, Layout, returned, temporary_name
from sftpd.exchange.records import Parts, Transfer
from sftpd.exchange.remote import (
    Proof,
    Publication,
    Published,
    Remote,
    Share,
    Upload,
    in_directory,
    only,
)
from sftpd.files.beneath import Root
from sftpd.link.model import PARTS
from sftpd.names import RemoteName, TransferId

_TRIES = 2

T = TypeVar("T")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Way:
    """How a route's files are brought: where, under which temporary names, and what they may replace."""

    directory: str
    temporary: str | None = PARTS["prefix"]
    """As `link.model.Handling` says."""
    replace: bool = True
    look: bool = True
    """Whether the file is looked for at its place."""
    layout: Layout = "keep"
    returns: bool = False
    """Whether they are received files, by their paths in the link's folder, that go back."""
    awaits_receipt: bool = False
    share: Share | None = None


class Bring:
    """Uploads to a remote under a temporary name that only we use, and renames it there.

    Without temporary names it uploads to the final one, and there is nothing to rename.
    """

    folder: str | None = None

    def __init__(
        self,
        remotes: GuardedRemotes,
        remote: RemoteName,
        route: str,
        way: Way,
        *,
        require_open: Callable[[], None],
    ) -> None:
        """`require_open` raises NotOpenError while the link may not be used."""
        self._guard = remotes.guard(remote).of_route(route)
        self.guard: RouteGuard | None = self._guard
        self._remotes = remotes
        self._remote = remote
        self._way = way
        self._require_open = require_open
        self._directory = in_directory(way.directory)
        self.awaits_receipt = way.awaits_receipt
        self._unasked: set[TransferId] = set()
        """Brought since the start, and their rename never asked for: nobody else renames them."""
        self._removed_once: set[TransferId] = set()

    def target(self, path: Parts) -> Parts:
        """As the layout has it."""
        return LAYOUTS[self._way.layout](returned(path) if self._way.returns else path)

    def temporary(self, transfer: TransferId, target: Parts) -> bytes | None:
        """Its path in the folder of the final name."""
        name = temporary_name(self._way.temporary, transfer, target[-1])
        return self._at((*target[:-1], name))

    def renewed(self, transfer: Transfer) -> bytes | None:
        """Another where the folder or the pattern was configured anew and nothing was written yet."""
        name = self.temporary(transfer.id, transfer.final)
        if name == transfer.temporary:
            return None
        with suppress(RemoteAwayError), self._remotes.borrow(self._remote) as remote:
            try:
                begun = remote.size(self._begun(transfer)) is not None
            except RemoteError:  # as where a part of the path is no folder, or one that we may not enter
                begun = False
                _log.warning("part_left_at_remote", remote=self._remote, transfer=transfer.id)
            return None if begun else name
        return None

    def bring(self, transfers: Sequence[Transfer], source: Root) -> list[Proof | Exception]:
        """Upload the files and prove that they arrived."""
        with ExitStack() as opened:
            files: list[Upload] = []
            answers: dict[TransferId, Proof | Exception] = {}
            for transfer in transfers:
                try:
                    fd = source.open(transfer.path, os.O_RDONLY | os.O_NOFOLLOW)
                except (OSError, ContainmentError) as error:
                    answers[transfer.id] = error
                    continue
                opened.callback(os.close, fd)
                unless = None if self._way.replace else self._at(transfer.final)
                begun, ours = self._begun(transfer), self._is_ours(transfer)
                files.append(Upload(fd, begun, transfer.size, transfer.sha256, unless, ours))
            there = [transfer for transfer in transfers if transfer.id not in answers]
            if files:
                share, taken = self._way.share, self._guard.takes
                told = self._answers(lambda remote: remote.upload(files, share, taken), breaks_off=True)
                for transfer, answer in zip(there, told, strict=True):
                    answers[transfer.id] = _taken() if answer == "taken" else answer
                    self._unasked.add(transfer.id)
        return [answers[transfer.id] for transfer in transfers]

    def place(self, transfers: Sequence[Transfer], source: Root) -> list[bool | Exception | None]:
        """Rename to the final names; one whose temporary name the remote does not know was renamed before."""
        del source
        way = self._way
        files = [Publication(self._begun(transfer), self._at(transfer.final)) for transfer in transfers]

        def publish(remote: Remote) -> list[bool | Exception | None]:
            first = self._unasked.intersection(transfer.id for transfer in transfers)
            self._unasked -= first
            told = remote.publish(files, folder=self._directory, replace=way.replace, look=way.look)
            return [
                self._placed(remote, transfer, file, answer, asked_before=transfer.id not in first)
                for transfer, file, answer in zip(transfers, files, told, strict=True)
            ]

        return self._answers(publish)

    def _answers(self, ask: Callable[[Remote], list[T]], *, breaks_off: bool = False) -> list[T]:
        """What the remote answers for each of some files. Where it fails for all, its guard hears of that.

        `breaks_off`: it is cut off once the link may not be used any more. Raises NotOpenError then.
        """
        self._require_open()
        answers: list[T] = []
        try:
            cut_off = self._require_open if breaks_off else None
            with (
                self._guard.tried(self._remotes.backoff(self._remote)),
                self._remotes.borrow(self._remote, cut_off) as remote,
            ):
                answers = ask(remote)
                faults = [answer for answer in answers if isinstance(answer, RemoteError)]
                for fault in faults:  # the folder alone: an error outlives the erasure of a file's name
                    fault.where = f"{self._remote}:{os.fsdecode(self._directory)}"
                if len(faults) == len(answers):
                    raise next(
                        (each for each in faults if not isinstance(each, RemoteFailedError)), faults[0]
                    )
        except RemoteError as error:
            if not any(error is answer for answer in answers):
                raise
        return answers

    def withdraw(self, transfer: Transfer) -> None:
        """Remove the temporary file, at the second try where the connection fails; then it is left there.

        So it is while the link may not be used: a transfer may be cancelled then too. What has the final name
        is left too, for it may not be ours.
        """
        self._unasked.discard(transfer.id)
        self._removed_once.discard(transfer.id)
        for _ in range(_TRIES if self._is_ours(transfer) else 0):
            with suppress(RemoteError, RefusedError):
                self._require_open()
                with self._remotes.borrow(self._remote) as remote:
                    only(remote.remove([self._begun(transfer)]))
                    return
        _log.warning("part_left_at_remote", remote=self._remote, transfer=transfer.id)

    def _placed(
        self,
        remote: Remote,
        transfer: Transfer,
        file: Publication,
        told: Published | RemoteError,
        *,
        asked_before: bool,
    ) -> bool | Exception | None:
        if isinstance(told, RemoteError):
            if isinstance(told, NotPlacedError):  # it was there
                self._removed_once.discard(transfer.id)
            return told
        try:
            return self._judged(remote, transfer, file, told, asked_before=asked_before)
        except RemoteError as error:  # what was answered for the others must not be lost with this
            return error

    def _judged(
        self, remote: Remote, transfer: Transfer, file: Publication, told: Published, *, asked_before: bool
    ) -> bool | Exception | None:
        is_whole = told.size == transfer.size
        if told.outcome != "renamed":
            ours = partial(remote.holds, file.final, size=transfer.size, sha256=transfer.sha256)
            if told.outcome == "taken":
                # A remote may crash between the two halves of its rename, and then has the file twice.
                if not ours():
                    return _taken()
                only(remote.remove([file.temporary]))
            elif not asked_before:
                # Some servers say that a rename failed, and have done it.
                if not (is_whole and ours()):
                    return self._removed(transfer)
            elif told.size is not None and not (is_whole and ours() is not False):
                return NotPlacedError("another file has its final name, and ours is not there")
        self._removed_once.discard(transfer.id)
        return is_whole if self._way.look and not told.hidden else None

    def _removed(self, transfer: Transfer) -> NotPlacedError:
        """Once it may be chance; twice it may be that they take, and use, whatever is written there."""
        what = "somebody there has removed the file before it had its name"
        if transfer.id not in self._removed_once:
            self._removed_once.add(transfer.id)
            return NotPlacedError(what)
        return TakenAwayError(
            f"{what}, twice", remedy='set temporary = "none" if files are taken there once they are written'
        )

    def _begun(self, transfer: Transfer) -> bytes:
        """The temporary path under which the transfer began, whatever is configured since."""
        if transfer.temporary is not None:
            return transfer.temporary
        return self._at((*transfer.path[:-1], temporary_name(PARTS["prefix"], transfer.id, b"")))

    def _is_ours(self, transfer: Transfer) -> bool:
        """Whether it is brought under a name that nobody else uses."""
        return not self._begun(transfer).endswith(b"/" + transfer.final[-1])

    def _at(self, parts: Parts) -> bytes:
        return self._directory + b"/".join(parts)


def _taken() -> NameTakenError:
    return NameTakenError("a file of that name is at the remote")
