"""The two ways an outbound file reaches its place: offered in `/download`, or brought to a remote."""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from sftpd.errors import RefusedError, RemoteError, SftpdError
from sftpd.exchange.guard import GuardedRemotes, RemoteGuard
from sftpd.exchange.keeping import Keeping
from sftpd.exchange.layout import LAYOUTS, Layout
from sftpd.exchange.places import Places, is_at
from sftpd.exchange.records import Parts, Transfer
from sftpd.exchange.remote import Proof, Remote, Share, in_directory
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.link.model import PARTS
from sftpd.names import RemoteName, TransferId

_NAME_LIMIT = 255
_TRIES = 2

_log = structlog.get_logger()


class NameTakenError(SftpdError):
    """A file of that name is at the counterparty, and the route or a legal hold says not to replace it."""

    code = "NAME_TAKEN"


class Delivery(Protocol):
    """How a file gets to where the counterparty finds it: brought out of sight, then placed by one rename.

    The first two raise NameTakenError where the name is taken and must not be replaced; it is certain then
    that the file was not placed. The first raises NotDurableError where our disk fails.
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

    def bring(self, transfer: Transfer, source: Root) -> Proof:
        """Make the bytes durable near their place, out of sight; returns how that is known."""
        ...

    def place(self, transfer: Transfer, source: Root) -> bool | None:
        """Make the file visible; does nothing when that was done before a crash.

        Returns whether it was seen whole at its place, None when nobody looked.
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

    def temporary(self, transfer: TransferId, target: Parts) -> bytes | None:
        """None: the file is on the same file system."""
        del transfer, target
        return None

    def bring(self, transfer: Transfer, source: Root) -> Proof:
        """Make the file durable where it was dropped."""
        durable.sync_file(source, transfer.path)
        return "rename"

    def place(self, transfer: Transfer, source: Root) -> bool | None:
        """Move the file into `/download`; gone from the watched folder, it was moved before."""
        if not is_at(source, transfer.path, transfer.source):
            return None
        try:
            self._keeping.require_free("download", transfer.final)
        except RefusedError as refusal:
            raise NameTakenError(f"in /download {refusal.what}") from refusal
        try:
            durable.make_directories(self._download, transfer.final)
            durable.rename(source, transfer.path, self._download, transfer.final, replace=self._replace)
        except FileExistsError as fault:
            if self._replace or not self._download.exists(transfer.final):
                raise  # a file where a folder is needed
            raise NameTakenError("a file of that name is in /download") from fault
        return None

    def withdraw(self, transfer: Transfer) -> None:
        """Nothing to do."""


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
    awaits_receipt: bool = False
    share: Share | None = None


class Bring:
    """Uploads to a remote under a temporary name that only we use, and renames it there.

    Without temporary names it uploads to the final one, and there is nothing to rename.
    """

    folder: str | None = None

    def __init__(self, remotes: GuardedRemotes, remote: RemoteName, way: Way) -> None:
        self.guard: RemoteGuard | None = remotes.guard(remote)
        self._remotes = remotes
        self._remote = remote
        self._way = way
        self._directory = in_directory(way.directory)
        self.awaits_receipt = way.awaits_receipt
        self.target = LAYOUTS[way.layout]

    def temporary(self, transfer: TransferId, target: Parts) -> bytes | None:
        """Its path in the folder of the final name."""
        name = temporary_name(self._way.temporary, transfer, target[-1])
        return self._at((*target[:-1], name))

    def bring(self, transfer: Transfer, source: Root) -> Proof:
        """Upload the file and prove that it arrived."""
        fd = source.open(transfer.path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            with self._remotes.borrow(self._remote) as remote:
                if not self._way.replace and remote.size(self._at(transfer.final)) is not None:
                    raise _taken()
                return remote.upload(
                    fd,
                    self._begun(transfer),
                    size=transfer.size,
                    sha256=transfer.sha256,
                    share=self._way.share,
                )
        finally:
            os.close(fd)

    def place(self, transfer: Transfer, source: Root) -> bool | None:
        """Rename to the final name; a temporary file that is gone was renamed before, for only we know it."""
        del source
        temporary, final = self._begun(transfer), self._at(transfer.final)
        with self._remotes.borrow(self._remote) as remote:
            if temporary == final:
                size = remote.size(final) if self._way.look else None
            else:
                size = self._publish(remote, transfer, temporary, final)
        return size == transfer.size if self._way.look else None

    def withdraw(self, transfer: Transfer) -> None:
        """Remove the temporary file, at the second try where the connection fails; then it is left there."""
        for _ in range(_TRIES):
            with suppress(RemoteError), self._remotes.borrow(self._remote) as remote:
                if remote.size(self._begun(transfer)) is not None:
                    remote.remove(self._begun(transfer))
                return
        _log.warning("part_left_at_remote", remote=self._remote, transfer=transfer.id)

    def _publish(self, remote: Remote, transfer: Transfer, temporary: bytes, final: bytes) -> int | None:
        way = self._way
        done = remote.publish(temporary, final, folder=self._directory, replace=way.replace, look=way.look)
        if done.outcome == "taken":
            # A remote may crash between the two halves of its rename, and then has the file under both names.
            if not remote.holds(final, size=transfer.size, sha256=transfer.sha256):
                raise _taken()
            remote.remove(temporary)
        return done.size

    def _begun(self, transfer: Transfer) -> bytes:
        """The temporary path under which the transfer began, whatever is configured since."""
        if transfer.temporary is not None:
            return transfer.temporary
        return self._at((*transfer.path[:-1], temporary_name(PARTS["prefix"], transfer.id, b"")))

    def _at(self, parts: Parts) -> bytes:
        return self._directory + b"/".join(parts)


def temporary_name(pattern: str | None, transfer: TransferId, name: bytes) -> bytes:
    """The temporary name of a file after a pattern; the file's own is cut to what a name may hold."""
    if pattern is None:
        return name
    made = os.fsencode(pattern).replace(b"{id}", transfer.encode())
    room = _NAME_LIMIT - len(made.replace(b"{name}", b""))
    return made.replace(b"{name}", name[:room])


def other_name(path: Parts, transfer: TransferId) -> Parts:
    """The path for a file whose own is taken: `report-<id>.csv`, which no other transfer can have."""
    name = path[-1]
    stem, dot, suffix = name.rpartition(b".")
    if not stem:
        stem, dot, suffix = name, b"", b""
    tail = b"-" + transfer.encode() + (dot + suffix)[: _NAME_LIMIT // 2]
    return (*path[:-1], stem[: _NAME_LIMIT - len(tail)] + tail)


def _taken() -> NameTakenError:
    return NameTakenError("a file of that name is at the remote")
