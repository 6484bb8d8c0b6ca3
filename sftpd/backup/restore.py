"""An instance again from a backup: first the archive is shown to be whole, then it is taken apart.

It grows beside the folder that it is to be, and gets that name when all of it is durable: a crash leaves a
hidden folder, and no half instance. In the ledger the marks by which it knows files become those of now.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from sftpd.audit.checkpoint import VerifierKey
from sftpd.audit.succession import mark_all
from sftpd.backup import reader
from sftpd.backup.adopt import Adopted, Moved, adopt
from sftpd.backup.manifest import BackupError, Entry, Summary
from sftpd.clock import Clock
from sftpd.errors import RefusedError
from sftpd.files import durable
from sftpd.files.beneath import Parts, Root
from sftpd.files.fingerprint import Snapshot, identity
from sftpd.files.syscalls import sync_file_system
from sftpd.ledger.writer import Unit

_LINKS = b"links"
_MODE = 0o755
"""The mode of the folder: local people pass through it to theirs."""
_OPEN = 0o700
"""The mode of folders until all is in them."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and where ledger and files do not agree."""

    summary: Summary
    adopted: Adopted


def restore(
    archive: Path,
    target: Path,
    key: VerifierKey | None,
    clock: Clock,
    also: Callable[[Unit], None] = lambda _: None,
) -> Restored:
    """Make the folder `target` out of a backup; with `key` the backup must be signed by it.

    What else follows in the ledger from its being an older one is done by `also`. Raises BackupError where
    the backup is not whole, RefusedError `NOT_EMPTY` where the folder holds anything, LedgerError,
    AuditError, OSError.
    """
    target = target.absolute()
    _require_empty(target)
    with ExitStack() as opened:
        source = opened.enter_context(archive.open("rb"))
        verified = reader.read(source, key)
        source.seek(0)
        draft = target.parent / f".{target.name}.{secrets.token_hex(4)}.restoring"
        draft.mkdir(_OPEN)
        try:
            root = opened.enter_context(Root.at(draft))
            taking = _Taking(root, opened.enter_context(tempfile.TemporaryFile(dir=draft)))
            if reader.read(source, key, taking.take) != verified:
                raise BackupError("the archive changed while it was read", where=str(archive))
            if not (draft / "state" / "ledger.db").is_file():
                raise BackupError("holds no ledger", where=str(archive))
            adopted = adopt(draft / "state" / "ledger.db", taking.moved(), verified, clock, also)
            # What was signed after the backup is not known here: no origin may have another tree for it.
            mark_all(draft / "state" / "audit", verified.instance, clock.now())
            draft.chmod(_MODE)
            taking.finish()
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        with Root.at(target.parent) as parent:
            parent.sync()
    return Restored(verified, adopted)


@dataclass(slots=True)
class _Taking:
    """Takes an archive apart into a folder; of each file of a link it keeps what it was and has become."""

    root: Root
    moves: BinaryIO
    """An empty file, for what would be too much to remember."""
    _modes: list[tuple[Parts, int]] = field(default_factory=list)

    def take(self, entry: Entry, parts: Parts, content: reader.Chunks) -> None:
        """Make a folder or a file. Raises BackupError where its name is there already."""
        try:
            if entry.sha256 is None:
                self.root.make_parents(parts, _OPEN)
                self.root.mkdir(parts, _OPEN)
                self._modes.append((parts, entry.mode))
            else:
                self._file(entry, parts, content)
        except (FileExistsError, NotADirectoryError) as fault:
            raise BackupError("a name that is there twice", where=repr(b"/".join(parts)[:200])) from fault

    def finish(self) -> None:
        """Give the folders their modes, and make everything durable."""
        for parts, mode in reversed(self._modes):
            self.root.chmod(parts, mode)
        fd = os.open(self.root.label, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_file_system(fd)
        finally:
            os.close(fd)

    def moved(self) -> Iterator[Moved]:
        """The files of links."""
        self.moves.seek(0)
        for line in self.moves:
            yield msgspec.json.decode(line, type=Moved)

    def _file(self, entry: Entry, parts: Parts, content: reader.Chunks) -> None:
        self.root.make_parents(parts, _OPEN)
        fd = self.root.open(parts, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            for chunk in content:
                durable.write_all(fd, chunk)
            os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
            if parts[0] == _LINKS and len(parts) > 2:
                was = Snapshot(entry.inode, entry.size, entry.mtime_ns)
                moved = Moved(parts[1].decode("utf-8", "replace"), parts[2:], str(was), str(identity(fd)))
                self.moves.write(msgspec.json.encode(moved) + b"\n")
        finally:
            os.close(fd)


def _require_empty(target: Path) -> None:
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise RefusedError(
            "the folder is not empty",
            reason="NOT_EMPTY",
            where=str(target),
            remedy="name a new or an empty folder",
        )
