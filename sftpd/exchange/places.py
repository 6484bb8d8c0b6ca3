"""The folders of one link, opened once, and the moves between them that crash recovery can repeat."""

import os
from contextlib import AbstractContextManager, suppress
from typing import Self

from sftpd.exchange.records import Parts, Transfer
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import snapshot
from sftpd.files.naming import apart_from_reasons, move_aside, reason_beside
from sftpd.files.path_locks import PathLocks
from sftpd.link.folders import Folders

LOCAL_MODE = 0o770
"""Folders that local people work in."""
OWN_MODE = 0o700
"""Folders that are sftpd's alone."""


def create_folders(folders: Folders) -> None:
    """Make the folders of a link that are missing."""
    for path, mode in (
        (folders.root, 0o750),
        (folders.own, OWN_MODE),
        *(
            (path, OWN_MODE if folders.own in path.parents else LOCAL_MODE)
            for path in folders.by_name().values()
        ),
    ):
        if not path.is_dir():
            path.mkdir(parents=True)
            path.chmod(mode)


class Places:
    """A root for each folder of a link, and the watched folders of its routes."""

    def __init__(self, folders: Folders, locks: PathLocks) -> None:
        """`locks` are shared with whoever else changes files in these folders."""
        create_folders(folders)
        self.folders = folders
        self._paths = folders.by_name()
        self._roots = {name: Root.at(path) for name, path in self._paths.items()}
        self._locks = locks

    def __getitem__(self, folder: str) -> Root:
        return self._roots[folder]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let every folder go."""
        for root in self._roots.values():
            root.close()

    def alone(self, folder: str, *paths: Parts) -> AbstractContextManager[None]:
        """Change these paths of a folder while nobody else does: ledger and disk see one order of changes."""
        return self._locks.lock(self._paths[folder], *paths)

    def put_aside(
        self,
        transfer: Transfer,
        source: Root,
        parts: Parts,
        folder: str,
        among: durable.Unsynced | None = None,
    ) -> Parts | None:
        """Move a transfer's file into `folder` under a free name and return where it then is.

        `among`: as durable.rename has it. May be repeated after a crash: a file that is there already is
        found by its snapshot. None when it is neither at its source nor there.
        """
        if is_at(source, parts, transfer.source):
            name = transfer.path[-1] if folder != "failed" else apart_from_reasons(transfer.path[-1])
            return move_aside(source, parts, self[folder], (*transfer.path[:-1], name), among)
        return find(self[folder], transfer.source)

    def unpublished(self, transfer: Transfer) -> tuple[Root, Parts]:
        """Where an inbound file lies until it is published: where it was screened, or in quarantine."""
        if transfer.placed_as is None:
            return self["screening"], (transfer.id.encode(),)
        return self["quarantine"], transfer.placed_as

    def is_unpublished(self, transfer: Transfer) -> bool:
        """Whether it lies there still: once it is out of quarantine, another may get its name there."""
        root, parts = self.unpublished(transfer)
        return root.exists(parts) if transfer.placed_as is None else is_at(root, parts, transfer.source)

    def note_reason(self, folder: str, parts: Parts, reason: str) -> None:
        """Write the reason beside a file that was put aside."""
        with self[folder].sub(parts[:-1]) as parent:
            durable.write_atomically(parent.fileno(), reason_beside(parts[-1]), reason.encode() + b"\n")

    def forget_reason(self, folder: str, parts: Parts) -> None:
        """Remove the reason beside a file that lay there."""
        with suppress(FileNotFoundError):
            self[folder].unlink((*parts[:-1], reason_beside(parts[-1])))


def is_at(root: Root, parts: Parts, source: str) -> bool:
    """Whether the file at `parts` is the one the snapshot was made of, unchanged."""
    try:
        seen = root.stat(parts, follow=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return str(snapshot(seen)) == source


def find(root: Root, source: str) -> Parts | None:
    """Where beneath `root` the file lies that the snapshot was made of."""
    return next((parts for parts, status in root.walk() if str(snapshot(status)) == source), None)


def file_at(root: Root, parts: Parts) -> str:
    """A path under which a hook can open the file at `parts` in a trusted root."""
    return os.fsdecode(b"/".join((os.fsencode(root.label), *parts)))
