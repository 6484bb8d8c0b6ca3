"""How an outbound file reaches its place: offered in `/download`, or brought to a remote (`bring`)."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sftpd.errors import ContainmentError, RefusedError, RemoteAwayError, SftpdError
from sftpd.exchange.apart import RewrittenError, require_content
from sftpd.exchange.guard import RouteGuard
from sftpd.exchange.keeping import Keeping
from sftpd.exchange.layout import LAYOUTS, Layout
from sftpd.exchange.places import Places, is_at
from sftpd.exchange.records import Parts, Transfer
from sftpd.exchange.remote import Proof
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.files.naming import with_id
from sftpd.names import TransferId

_OBSTACLES = (FileExistsError, IsADirectoryError, NotADirectoryError)


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
    guard: RouteGuard | None
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
    guard: RouteGuard | None = None
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
