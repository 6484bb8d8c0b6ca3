"""The two ways an outbound file reaches its place: offered in `/download`, or brought to a remote."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog

from sftpd.errors import (
    ContainmentError,
    NotPlacedError,
    RefusedError,
    RemoteAwayError,
    RemoteError,
    SftpdError,
)
from sftpd.exchange.apart import RewrittenError, require_content
from sftpd.exchange.guard import GuardedRemotes, RemoteGuard
from sftpd.exchange.keeping import Keeping
from sftpd.exchange.layout import LAYOUTS, Layout, returned, temporary_name
from sftpd.exchange.places import Places, is_at
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
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.files.naming import with_id
from sftpd.link.model import PARTS
from sftpd.names import RemoteName, TransferId

_TRIES = 2
_OBSTACLES = (FileExistsError, IsADirectoryError, NotADirectoryError)

T = TypeVar("T")

_log = structlog.get_logger()


class NameTakenError(SftpdError):
    """A file of that name is at the counterparty, and the route or a legal hold says not to replace it."""

    code = "NAME_TAKEN"


class LostError(SftpdError):
    """The file was changed or taken away before it was placed."""

    code = "LOST"


class Delivery(Protocol):
    """How a file gets to where the counterparty finds it: brought out of sight, then placed by one rename.

    The first two answer for each file, in their order, and with an error for one that they failed at. It is
    NameTakenError where the name is taken and must not be replaced, or LostError where the file is not there
    to be placed, and it is certain then that it was not; NotDurableError of the first where our disk fails. A
    RemoteError that they raise says of none what became of it.
    """

    folder: str | None
    """The folder of the link in which it then lies, None when that is elsewhere."""
    guard: RemoteGuard | None
    """Who says when the remote may be asked, None where there is none."""
    awaits_receipt: bool
    """Whether a receipt of whoever gets the file is collected."""

    def target(self, path: Parts) -> Parts:
        """Where the file at a path of the watched folder goes, if that is free."""
        ...

    def temporary(self, transfer: TransferId, target: Parts) -> bytes | None:
        """Where the bytes lie until they are placed, as the remote takes it; None when they do not move."""
        ...

    def renewed(self, transfer: Transfer) -> bytes | None:
        """The temporary name that it would have now, if nothing lies under its own; None: it keeps that."""
        ...

    def bring(self, transfers: Sequence[Transfer], source: Root) -> list[Proof | Exception]:
        """Make the bytes durable near their place, out of sight; answers how that is known."""
        ...

    def place(self, transfers: Sequence[Transfer], source: Root) -> list[bool | Exception | None]:
        """Make the files visible; does nothing where that was done before a crash.

        Answers whether each was seen whole at its place, None where nobody looked.
        """
        ...

    def withdraw(self, transfer: Transfer) -> None:
        """Take back what was brought."""
        ...


class Offer:
    """Publishes in `/download`: the dropped file itself moves there."""

    folder: str | None = "download"
    guard: RemoteGuard | None = None
    awaits_receipt = False

    def __init__(
        self, places: Places, keeping: Keeping, layout: Layout = "keep", *, replace: bool = True
    ) -> None:
        self._download = places["download"]
        self._keeping = keeping
        self._replace = replace
        self.target = LAYOUTS[layout]
        self._unmoved: set[TransferId] = set()
        """Whose files were at their source since the start, and not moved: a crash has not done it either."""

    def temporary(self, transfer: TransferId, target: Parts) -> bytes | None:
        """None: the file is on the same file system."""
        del transfer, target
        return None

    def renewed(self, transfer: Transfer) -> bytes | None:
        """None."""
        del transfer
        return None

    def bring(self, transfers: Sequence[Transfer], source: Root) -> list[Proof | Exception]:
        """Make the files durable where they were dropped."""
        return [self._bring(transfer, source) for transfer in transfers]

    def place(self, transfers: Sequence[Transfer], source: Root) -> list[bool | Exception | None]:
        """Move the files into `/download`; one that leaves the watched folder before we move it is lost.

        One that was never there since the start was moved before a crash; the partner may have it by now.
        """
        moves = durable.Unsynced()
        placed = [self._place(transfer, source, moves) for transfer in transfers]
        try:
            moves.sync()
        except OSError as error:
            return [error] * len(placed)
        return [*placed]

    def _bring(self, transfer: Transfer, source: Root) -> Proof | Exception:
        try:
            durable.sync_file(source, transfer.path)
            require_content(source, transfer)
        except (OSError, ContainmentError, RewrittenError) as error:
            return error
        self._unmoved.add(transfer.id)
        return "rename"

    def _place(self, transfer: Transfer, source: Root, moves: durable.Unsynced) -> Exception | None:
        final = transfer.final
        try:
            if is_at(source, transfer.path, transfer.source):
                self._unmoved.add(transfer.id)
                self._keeping.require_free("download", final)
                durable.make_directories(self._download, final)
                durable.rename(
                    source, transfer.path, self._download, final, replace=self._replace, among=moves
                )
            elif transfer.id in self._unmoved and not is_at(self._download, final, transfer.source):
                return LostError("the file was changed or taken away before it was placed")
        except RefusedError as refusal:
            return NameTakenError(f"in /download {refusal.what}")
        except _OBSTACLES as fault:
            if isinstance(fault, FileExistsError) and not self._replace and self._download.exists(final):
                return NameTakenError("a file of that name is in /download")
            self._unmoved.discard(transfer.id)
            return fault  # a file where a folder is needed, or a folder where the file is to come
        except (OSError, ContainmentError) as error:
            return error
        self._unmoved.discard(transfer.id)
        return None

    def withdraw(self, transfer: Transfer) -> None:
        """Know no more of a file that will not be placed."""
        self._unmoved.discard(transfer.id)


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
        self, remotes: GuardedRemotes, remote: RemoteName, way: Way, *, require_open: Callable[[], None]
    ) -> None:
        """`require_open` raises NotOpenError while the link may not be used."""
        self.guard: RemoteGuard | None = remotes.guard(remote)
        self._remotes = remotes
        self._remote = remote
        self._way = way
        self._require_open = require_open
        self._directory = in_directory(way.directory)
        self.awaits_receipt = way.awaits_receipt
        self._unasked: set[TransferId] = set()
        """Brought since the start, and their rename never asked for: nobody else renames them."""

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
                files.append(Upload(fd, self._begun(transfer), transfer.size, transfer.sha256, unless))
            there = [transfer for transfer in transfers if transfer.id not in answers]
            if files:
                told = self._answers(lambda remote: remote.upload(files, self._way.share), breaks_off=True)
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
                _removed()
                if transfer.id in first and isinstance(answer, Published) and answer.outcome == "gone"
                else self._placed(remote, transfer, file, answer)
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
            with self._remotes.borrow(self._remote, self._require_open if breaks_off else None) as remote:
                answers = ask(remote)
                faults = [answer for answer in answers if isinstance(answer, RemoteError)]
                for fault in faults:  # the folder alone: an error outlives the erasure of a file's name
                    fault.where = f"{self._remote}:{os.fsdecode(self._directory)}"
                if len(faults) == len(answers):
                    raise faults[0]
        except RemoteError as error:
            if not any(error is answer for answer in answers):
                raise
        return answers

    def withdraw(self, transfer: Transfer) -> None:
        """Remove the temporary file, at the second try where the connection fails; then it is left there.

        So it is while the link may not be used: a transfer may be cancelled then too.
        """
        self._unasked.discard(transfer.id)
        for _ in range(_TRIES):
            with suppress(RemoteError, RefusedError):
                self._require_open()
                with self._remotes.borrow(self._remote) as remote:
                    if remote.size(self._begun(transfer)) is not None:
                        only(remote.remove([self._begun(transfer)]))
                    return
        _log.warning("part_left_at_remote", remote=self._remote, transfer=transfer.id)

    def _placed(
        self, remote: Remote, transfer: Transfer, file: Publication, told: Published | RemoteError
    ) -> bool | Exception | None:
        if isinstance(told, RemoteError):
            return told
        try:
            return self._judged(remote, transfer, file, told)
        except RemoteError as error:  # what was answered for the others must not be lost with this
            return error

    def _judged(
        self, remote: Remote, transfer: Transfer, file: Publication, told: Published
    ) -> bool | Exception | None:
        is_whole = told.size == transfer.size
        if told.outcome != "renamed":
            ours = partial(remote.holds, file.final, size=transfer.size, sha256=transfer.sha256)
            if told.outcome == "taken":
                # A remote may crash between the two halves of its rename, and then has the file twice.
                if not ours():
                    return _taken()
                only(remote.remove([file.temporary]))
            elif told.size is not None and not (is_whole and ours() is not False):
                return NotPlacedError("another file has its final name, and ours is not there")
        return is_whole if self._way.look else None

    def _begun(self, transfer: Transfer) -> bytes:
        """The temporary path under which the transfer began, whatever is configured since."""
        if transfer.temporary is not None:
            return transfer.temporary
        return self._at((*transfer.path[:-1], temporary_name(PARTS["prefix"], transfer.id, b"")))

    def _at(self, parts: Parts) -> bytes:
        return self._directory + b"/".join(parts)


def asked(
    ask: Callable[[Sequence[Transfer], Root], list[Any]], transfers: Sequence[Transfer], source: Root
) -> list[Any]:
    """What a Delivery answers for each of some files; where it fails for several, it is asked one by one.

    One that is not, as the remote is left alone since it failed, has had its try; else files that fail
    together would be tried together for ever.
    """
    if not transfers:
        return []
    try:
        return ask(transfers, source)
    except RemoteAwayError as error:
        return [error] * len(transfers)
    except Exception as error:
        if len(transfers) == 1:
            return [error]
        failure = error
    answers = [asked(ask, [transfer], source)[0] for transfer in transfers]
    return [failure if _is_left_alone(answer) else answer for answer in answers]


def _is_left_alone(answer: object) -> bool:
    return isinstance(answer, RemoteAwayError) and not answer.tried


def other_name(path: Parts, transfer: TransferId) -> Parts:
    """The path for a file whose own is taken."""
    return (*path[:-1], with_id(path[-1], transfer))


def _removed() -> NotPlacedError:
    return NotPlacedError("somebody there has removed the file before it had its name")


def _taken() -> NameTakenError:
    return NameTakenError("a file of that name is at the remote")
