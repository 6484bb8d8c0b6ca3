"""What an account does to the files of its link, as its session asks for it: checked, recorded, then done.

The session has checked the account's permissions and has shown the partner a view; nothing here relies on
that. A path counts only in the folders that are open to the step, and only the monitor changes them.
"""

import errno
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from sftpd.errors import LedgerError, RefusedError
from sftpd.exchange.arrival import Arrival
from sftpd.exchange.changes import Changes, Published
from sftpd.exchange.coverage import Stretch
from sftpd.exchange.keeping import Keeping
from sftpd.exchange.places import OWN_MODE, Places
from sftpd.exchange.ration import Ration
from sftpd.exchange.reads import Reads
from sftpd.exchange.receive import Answer, Receiver, Rest
from sftpd.files import durable
from sftpd.files.beneath import DIRECTORY_MODE, Root
from sftpd.files.staging import Staging
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.link.model import Account, Link
from sftpd.names import TransferId, VirtualPath

FolderName = Literal["upload", "download", "requests", "receipts", "audit"]

_UPLOADS: Mapping[bytes, Literal["inbound", "requests"]] = MappingProxyType(
    {b"upload": "inbound", b"requests": "requests"}
)
"""The folders that take uploads, and what they are called on our side."""

_PUBLISHED: Mapping[bytes, str] = MappingProxyType({**_UPLOADS, b"download": "download"})
"""The folders in which a partner may change what is published."""


class InForce(NamedTuple):
    """What a reload replaces, also for those who are logged in."""

    link: Link
    receiver: Receiver
    changes: Changes
    keeping: Keeping


@dataclass(frozen=True, slots=True)
class Ports:
    """What a partner's steps need."""

    ledger: Ledger
    in_force: Callable[[], InForce]
    """As it is now; asked for each step. Raises RefusedError when the link is there no longer."""
    require_open: Callable[[str], None]
    ration: Ration
    reads: Reads


class Upload(NamedTuple):
    """A staged file that its session has made durable and closed."""

    partner: "Partner"
    transfer: TransferId
    path: VirtualPath
    size: int
    sha256: str
    inode: int | None = None


class Partner:
    """One logged-in account."""

    def __init__(self, account: Account, places: Places, ports: Ports) -> None:
        self.account = account
        self._places = places
        self._ledger = ports.ledger
        self._in_force = ports.in_force
        self._require_open = ports.require_open
        self._ration = ports.ration
        self._reads = ports.reads
        self._staging = {name: self._make_staging(name) for name in _UPLOADS}

    def close(self) -> None:
        """Let the account's folders go."""
        for root in self._staging.values():
            root.close()

    @property
    def link(self) -> Link:
        """As it is now."""
        return self._in_force().link

    @property
    def receiver(self) -> Receiver:
        """Who takes uploads in now."""
        return self._in_force().receiver

    @property
    def _changes(self) -> Changes:
        return self._in_force().changes

    @property
    def rationed(self) -> bool:
        """Whether uploads are to be granted their bytes."""
        return self._ration.limits(self.account)

    def folders(self) -> dict[FolderName, tuple[Path, Path | None]]:
        """Where the folders of the partner's view lie: (published, staging or None)."""
        own = self.link.folders
        return {
            "upload": (own.inbound, self._staging_path(b"upload")),
            "download": (own.download, None),
            "requests": (own.requests, self._staging_path(b"requests")),
            "receipts": (own.receipts, None),
            "audit": (self.link.audit, None),
        }

    def begin(self, path: VirtualPath) -> None:
        """Pass if an upload to `path` may begin.

        Raises RefusedError when the link may not be used now or the place takes no uploads.
        """
        self._require_open(self.account.link)
        _taking_uploads(path)

    def grant(self, transfer: TransferId, path: VirtualPath, size: int) -> int | None:
        """To how many bytes an upload of `size` so far may grow; None: to any. Raises LimitError."""
        return self._ration.grant(self.account, transfer, path.parts, size)

    def room(self) -> int | None:
        """How many bytes the account may still bring; None: no limit says how many."""
        return self._ration.room(self.account)

    def give_back(self, transfer: TransferId) -> None:
        """The upload will not be completed by its session."""
        self._ration.give_back(transfer)

    def complete(
        self,
        transfer: TransferId,
        path: VirtualPath,
        size: int,
        sha256: str | None,
        inode: int | None = None,
    ) -> Answer:
        """Take in the staged file at `path`, which its session has made durable and closed.

        Raises RefusedError when it is rejected, too much or would replace a file under a legal hold, OSError
        when it is not there.
        """
        arrival = self.arrival(transfer, path, size, sha256, inode)
        with self._ration.completing(self.account, transfer, path.parts, size):
            answer = self.receiver.complete(arrival)
        Staging(arrival.source).prune(arrival.parts)
        return answer

    def arrival(
        self,
        transfer: TransferId,
        path: VirtualPath,
        size: int,
        sha256: str | None,
        inode: int | None = None,
    ) -> Arrival:
        """A staged file as the receiver takes it, if it may come. Raises RefusedError."""
        self._require_open(self.account.link)
        now = self._in_force()
        folder = _taking_uploads(path)
        now.keeping.require_room(folder, path.parts[1:])
        return Arrival(
            transfer=transfer,
            route=path.parts[0].decode(),
            peer=self.account.name,
            folder=folder,
            source=self._staging[path.parts[0]],
            parts=path.parts[1:],
            path=path.parts[1:],
            size=size,
            sha256=sha256,
            inode=inode,
            policy=now.link.upload_policy if folder == "inbound" else {},
        )

    def remove(self, path: VirtualPath) -> None:
        """Delete a published file. Raises RefusedError under a legal hold, OSError as the kernel does."""
        published = self._published(path)
        _require_file(published)
        self._changes.remove(published, self._private(path))

    def rename(self, old: VirtualPath, new: VirtualPath, *, replace: bool) -> None:
        """Rename a published file, or an empty directory, within its folder.

        Raises RefusedError under a legal hold or across folders, OSError as the kernel does.
        """
        source, target = self._published(old), self._published(new)
        if source.folder != target.folder:
            raise RefusedError("a published file stays in its folder", reason="OTHER_FOLDER")
        _require_no_content(source)
        self._changes.rename(source, target.parts, self._private(old, new), replace=replace)

    def make_directory(self, path: VirtualPath) -> None:
        """Make a directory. Raises OSError as the kernel does."""
        folder, root, parts = self._published(path)
        root.mkdir(parts, DIRECTORY_MODE)
        durable.sync_parent(root, parts)
        try:
            self._record("folder.created", folder, path)
        except LedgerError:
            root.rmdir(parts)
            raise

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove an empty directory. Raises OSError as the kernel does."""
        folder, root, parts = self._published(path)
        root.rmdir(parts)
        durable.sync_parent(root, parts)
        try:
            self._record("folder.removed", folder, path)
        except LedgerError:
            root.mkdir(parts, DIRECTORY_MODE)
            raise

    def set_attributes(
        self, path: VirtualPath, *, mode: int | None, atime: int | None, mtime: int | None
    ) -> None:
        """Set permission bits and times (seconds) of a published file. Raises OSError as the kernel does."""
        bits = None if mode is None else mode & 0o777
        times = None
        if mtime is not None:
            times = (mtime if atime is None else atime) * 10**9, mtime * 10**9
        self._changes.set_attributes(self._published(path), self._private(path), mode=bits, times=times)

    def fetched(self, path: VirtualPath, size: int, read: Sequence[Stretch], version: str) -> None:
        """Record that the account read stretches of a file of ours; retention may count from there.

        It is complete once it has read all of this version, by as many fetches as that took.
        To read the audit log is no event: the log would grow by being read, and no copy be up to date.
        Raises RefusedError for a path that is no file's.
        """
        _require_in_folder(path)
        if path.parts[0] == b"audit":
            return
        file = (self.account.name, path.parts, version)
        complete = self._reads.coverage.add(file, size, read)
        public = {"size": size, "complete": complete}
        event = Event("file.fetched", self.account.link, public, self._private(path))
        self._reads.note(event, _PUBLISHED.get(path.parts[0]), path.parts[1:], whole=complete)

    def abandoned(self, path: VirtualPath, size: int) -> None:
        """Record that an upload was broken off; its part stays for resume.

        Raises RefusedError for a path that is no file's.
        """
        _require_in_folder(path)
        event = Event("transfer.interrupted", self.account.link, {"size": size}, self._private(path))
        self._ledger.defer(lambda unit: unit.record(event))

    def _private(self, *paths: VirtualPath) -> dict[str, str]:
        named = dict(zip(("path", "new_path"), map(str, paths), strict=False))
        return {**named, "account": self.account.name}

    def _record(self, type: str, folder: str, path: VirtualPath) -> None:
        event = Event(type, self.account.link, {"folder": folder}, self._private(path))
        self._ledger.write(lambda unit: unit.record(event))

    def _published(self, path: VirtualPath) -> Published:
        folder = _PUBLISHED.get(path.parts[0]) if len(path.parts) > 1 else None
        if folder is None:
            raise RefusedError("nothing can be changed there", reason="READ_ONLY")
        return Published(folder, self._places[folder], path.parts[1:])

    def _staging_path(self, name: bytes) -> Path:
        return self.link.folders.staging / self.account.name / name.decode()

    def _make_staging(self, name: bytes) -> Root:
        path = self._staging_path(name)
        path.mkdir(mode=OWN_MODE, parents=True, exist_ok=True)
        return Root.at(path)


def complete_together(uploads: Sequence[Upload]) -> list[Answer | Exception | Rest]:
    """`Partner.complete` for several uploads at once, of any partners; answers for each what that would do.

    What waits for gates that take long is left to be done, and what is rationed.
    """
    answers: dict[TransferId, Answer | Exception | Rest] = {}
    arrivals: dict[Receiver, list[Arrival]] = {}
    for upload in uploads:
        partner, transfer = upload.partner, upload.transfer
        if partner.rationed:
            answers[transfer] = partial(partner.complete, *upload[1:])
            continue
        try:
            arrival = partner.arrival(*upload[1:])
            arrivals.setdefault(partner.receiver, []).append(arrival)
        except Exception as refusal:
            answers[transfer] = refusal
    for receiver, ours in arrivals.items():
        for arrival, answer in zip(ours, receiver.complete_quickly(ours), strict=True):
            if not isinstance(answer, Exception):
                Staging(arrival.source).prune(arrival.parts)
            answers[arrival.transfer] = answer
    return [answers[upload.transfer] for upload in uploads]


def _require_in_folder(path: VirtualPath) -> None:
    if len(path.parts) < 2:
        raise RefusedError("no file has that path", reason="NO_FILE")


def _taking_uploads(path: VirtualPath) -> Literal["inbound", "requests"]:
    folder = _UPLOADS.get(path.parts[0]) if len(path.parts) > 1 else None
    if folder is None:
        raise RefusedError("no uploads there", reason="NO_UPLOADS")
    return folder


def _require_file(published: Published) -> None:
    _, root, parts = published
    if stat.S_ISDIR(root.stat(parts, follow=False).st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory")


def _require_no_content(published: Published) -> None:
    """Pass for a file and for an empty directory: what is in a directory has rows of its own."""
    _, root, parts = published
    if not stat.S_ISDIR(root.stat(parts, follow=False).st_mode):
        return
    with root.scan(parts) as listing:
        if next(listing, None) is not None:
            raise OSError(errno.ENOTEMPTY, "directory is not empty")
