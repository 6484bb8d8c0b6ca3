"""The two ways an outbound file reaches its place: offered in `/download`, or brought to a remote."""

import os
from contextlib import suppress
from typing import Protocol

from sftpd.errors import RemoteError
from sftpd.exchange.guard import GuardedRemotes, RemoteGuard
from sftpd.exchange.layout import LAYOUTS, Layout
from sftpd.exchange.places import Places, is_at
from sftpd.exchange.records import Parts, Transfer
from sftpd.exchange.remote import in_directory
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.names import RemoteName


class Delivery(Protocol):
    """How a file gets to where the counterparty finds it: brought out of sight, then placed by one rename."""

    folder: str | None
    """The folder of the link in which it then lies, None when that is elsewhere."""
    guard: RemoteGuard | None
    """Who says when the remote may be asked, None where there is none."""

    def target(self, path: Parts) -> Parts:
        """Where the file at a path of the watched folder goes."""
        ...

    def bring(self, transfer: Transfer, source: Root) -> str:
        """Make the bytes durable near their place, out of sight; returns how that is known."""
        ...

    def withdraw(self, transfer: Transfer) -> None:
        """Take back what was brought."""
        ...

    def place(self, transfer: Transfer, source: Root) -> None:
        """Make the file visible; does nothing when that was done before a crash."""
        ...


class Offer:
    """Publishes in `/download`: the dropped file itself moves there."""

    folder: str | None = "download"
    guard: RemoteGuard | None = None

    def __init__(self, places: Places, layout: Layout = "keep") -> None:
        self._download = places["download"]
        self.target = LAYOUTS[layout]

    def bring(self, transfer: Transfer, source: Root) -> str:
        """Nothing to do: the file is on the same file system."""
        del transfer, source
        return "rename"

    def withdraw(self, transfer: Transfer) -> None:
        """Nothing to do."""

    def place(self, transfer: Transfer, source: Root) -> None:
        """Move the file into `/download`, replacing an older one of that name."""
        if is_at(source, transfer.path, transfer.source):
            durable.publish(source, transfer.path, self._download, self.target(transfer.path), replace=True)


class Bring:
    """Uploads to a remote under a temporary name that only we use, and renames it there."""

    folder: str | None = None

    def __init__(
        self, remotes: GuardedRemotes, remote: RemoteName, directory: str, layout: Layout = "keep"
    ) -> None:
        self.guard: RemoteGuard | None = remotes.guard(remote)
        self._remotes = remotes
        self._remote = remote
        self._directory = in_directory(directory)
        self.target = LAYOUTS[layout]

    def bring(self, transfer: Transfer, source: Root) -> str:
        """Upload the file and prove that it arrived."""
        fd = source.open(transfer.path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            with self._remotes.borrow(self._remote) as remote:
                return remote.upload(
                    fd, self._temporary(transfer), size=transfer.size, sha256=transfer.sha256
                )
        finally:
            os.close(fd)

    def withdraw(self, transfer: Transfer) -> None:
        """Remove the temporary file; what cannot be removed now is overwritten by the next try."""
        with suppress(RemoteError), self._remotes.borrow(self._remote) as remote:
            remote.remove(self._temporary(transfer))

    def place(self, transfer: Transfer, source: Root) -> None:
        """Rename to the final name; a temporary file that is gone was renamed before, for only we know it."""
        del source
        with self._remotes.borrow(self._remote) as remote:
            if remote.size(self._temporary(transfer)) is not None:
                remote.place(self._temporary(transfer), self._final(transfer))

    def _final(self, transfer: Transfer) -> bytes:
        return self._directory + b"/".join(self.target(transfer.path))

    def _temporary(self, transfer: Transfer) -> bytes:
        folder = b"".join(part + b"/" for part in self.target(transfer.path)[:-1])
        return self._directory + folder + b".sftpd-%s.part" % transfer.id.encode()
