"""The writer of one audit log: append, publish, sign; and recovery, which runs the same steps.

    journal (durable) → full tiles (durable) → partial tiles → checkpoint (durable) → journal begins anew

Partial tiles need no sync: opening the log writes them again from the journal before anybody can read them.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from sftpd.audit._store import PRIVATE_FILE, PUBLIC_FILE, make_directory, replace_file
from sftpd.audit.checkpoint import Checkpoint, SigningKey, sign_checkpoint, verify_checkpoint
from sftpd.audit.journal import Journal, JournalContents, decode_journal, encode_journal
from sftpd.audit.merkle import leaf_hash
from sftpd.audit.published import CHECKPOINT, PublishedLog
from sftpd.audit.succession import Marker
from sftpd.audit.tiles import LEAF_LIMIT, TILE_WIDTH, Edge, Tile, encode_bundle, with_partials
from sftpd.errors import AuditError

_RESTORE = "restore the folder from a backup no older than the last checkpoint handed out"


class AuditLog:
    """A log open for appending; one process at a time may have it open.

    Layout: `journal` (ours) and `public/` (the counterpart's to read: `checkpoint`, `tile/…`). Appends come
    from one thread; `size`, `root` and reading are safe from any.
    """

    def __init__(self, directory: Path, *, origin: str, key: SigningKey, lock: int) -> None:
        self._directory = directory
        self._origin = origin
        self._key = key
        self._lock = lock
        self._scratch = directory / "scratch"
        self._published = PublishedLog(directory / "public")
        signed = self._last_checkpoint()
        marker = Marker.of(directory)
        contents = self._journal_contents(fresh=signed is None, marker=marker)
        if signed is not None:
            self._origin = signed.origin
        if marker is not None and marker.origin != self._origin:
            last = signed or Checkpoint(origin, 0, b"")
            marker.require_of(last, directory)
            self._origin = marker.origin
            contents = _continued(contents, marker, last.size)
        self._edge = self._rebuild(contents, signed)
        self._signed = signed or Checkpoint(origin, 0, self._edge.root)
        self._recent = contents.leaves
        self._written: set[Tile] = set()
        self._failed = False
        self._journal = Journal(self._journal_path, self._scratch)
        try:
            # Written anew, for what could be read may be on no disk: an earlier fsync may have failed on it.
            self._journal.restart(contents.base, contents.leaves)
            self._publish(sign=signed is None or signed.size < self._edge.size)
            self._mend_partials()
            Marker.remove(directory)
        except BaseException:
            self._journal.close()
            raise

    @classmethod
    def open(cls, directory: Path, *, origin: str, key: SigningKey) -> Self:
        """Open the log in `directory`, made if it is missing, and finish what a crash left undone.

        `origin` is the first that it had. One that was restored from a backup goes on under an era of it.

        Raises AuditError if another process has it open, or if journal and tiles do not give the tree of the
        last checkpoint: it is never signed over.
        """
        try:
            make_directory(directory / "public")
            with ExitStack() as undo:
                lock = _lock(directory)
                undo.callback(os.close, lock)
                log = cls(directory, origin=origin, key=key, lock=lock)
                undo.pop_all()
        except OSError as error:
            raise _io_error(error, directory) from error
        return log

    @property
    def size(self) -> int:
        """The number of leaves under the last checkpoint."""
        return self._signed.size

    @property
    def root(self) -> bytes:
        """The root of the last checkpoint."""
        return self._signed.root

    @property
    def checkpoint(self) -> Checkpoint:
        """The last checkpoint."""
        return self._signed

    def append(self, leaves: Sequence[bytes]) -> range:
        """Add `leaves` of 1 to 65,535 bytes and return their indices; they are durable and signed for then.

        Raises AuditError if a leaf is empty or too long, and if the disk fails: whether the leaves are in the
        log is then known only after opening it again, and until then it refuses more.
        """
        if self._failed:
            raise AuditError("an earlier append failed", where=str(self._directory), remedy="open it again")
        for leaf in leaves:
            if not 1 <= len(leaf) <= LEAF_LIMIT:
                raise AuditError(f"leaf of {len(leaf)} bytes", expected=f"1 to {LEAF_LIMIT}")
        first = self.size
        if leaves:
            self._failed = True
            try:
                self._journal.append(leaves)
                self._add(leaves)
                self._publish(sign=True)
            except OSError as error:
                raise _io_error(error, self._directory) from error
            self._failed = False
        return range(first, self.size)

    def read(self, index: int) -> bytes:
        """The leaf at `index`. Raises NotFoundError if there is none."""
        return next(self.leaves(index, index + 1))

    def leaves(self, start: int, stop: int) -> Iterator[bytes]:
        """The leaves from `start` up to `stop`. Raises NotFoundError if they are not all there."""
        return self._published.leaves(start, stop, self.size)

    def close(self) -> None:
        """Let go of the log, so that another process may open it."""
        self._journal.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _journal_path(self) -> Path:
        return self._directory / "journal"

    def _last_checkpoint(self) -> Checkpoint | None:
        path = self._published.public / CHECKPOINT
        if not path.exists():
            return None
        return verify_checkpoint(
            path.read_bytes(), [self._key.verifier], origin=self._origin, where=str(path)
        )

    def _journal_contents(self, *, fresh: bool, marker: Marker | None) -> JournalContents:
        """What the journal holds; a log that was never signed gets an empty one.

        Nothing is in that but the leaf of a restore, where a crash came before the first checkpoint.
        """
        path = self._journal_path
        if not path.exists():
            if not fresh:
                raise AuditError("the journal of a signed log is missing", where=str(path), remedy=_RESTORE)
            replace_file(path, encode_journal(0, []), scratch=self._scratch, mode=PRIVATE_FILE)
        contents = decode_journal(path.read_bytes(), str(path))
        first = [] if marker is None else [marker.leaf.encode()]
        if fresh and (contents.base or contents.leaves not in ([], first)):
            raise AuditError(
                "the checkpoint of a log with leaves is missing",
                where=str(self._published.public / CHECKPOINT),
                remedy=_RESTORE,
            )
        return contents

    def _rebuild(self, contents: JournalContents, signed: Checkpoint | None) -> Edge:
        """The tree of full tiles and journal, once it is known to contain the signed one. Writes nothing."""
        edge = Edge.restore(contents.base, self._published.hashes)
        if signed is None:
            signed = Checkpoint(self._origin, 0, edge.root)
        if not contents.base <= signed.size <= contents.stop:
            raise AuditError(
                f"holds leaves {contents.base} to {contents.stop} and no whole record at byte {contents.end}",
                where=str(self._journal_path),
                expected=f"to reach {signed.size}, the size that was signed",
                remedy=_RESTORE,
            )
        for leaf in contents.leaves[: signed.size - contents.base]:
            edge.append(leaf_hash(leaf))
        if edge.root != signed.root:
            raise AuditError(
                f"journal and tiles give another tree of {signed.size} leaves than the one signed",
                where=str(self._directory),
                expected=f"root {signed.root.hex()}, found {edge.root.hex()}",
                remedy=_RESTORE,
            )
        for leaf in contents.leaves[signed.size - contents.base :]:
            edge.append(leaf_hash(leaf))
        return edge

    def _add(self, leaves: Sequence[bytes]) -> None:
        self._recent.extend(leaves)
        for leaf in leaves:
            self._edge.append(leaf_hash(leaf))

    def _publish(self, *, sign: bool) -> None:
        """Write the tiles that changed and, if `sign`, the checkpoint; then forget what is in full tiles."""
        base = self._edge.size - len(self._recent)
        tiles = [*self._bundles(base), *self._edge.take_completed(), *self._edge.partials()]
        for tile, data in tiles:
            if tile not in self._written:
                self._write(tile.path, data, durable=tile.full)
        self._written = {tile for tile, _ in tiles if not tile.full}
        if sign:
            head = Checkpoint(self._origin, self._edge.size, self._edge.root)
            self._write(CHECKPOINT, sign_checkpoint(head, self._key), durable=True)
            self._signed = head
        completed = [tile for tile, _ in tiles if tile.full]
        for tile in completed:
            if tile.index:
                before = Tile(tile.level, tile.index - 1)
                shutil.rmtree(self._published.public / before.partials, ignore_errors=True)
        if completed:
            self._recent = self._recent[len(self._recent) - self._edge.size % TILE_WIDTH :]
            self._journal.restart(self._edge.size - len(self._recent), self._recent)

    def _bundles(self, base: int) -> Iterator[tuple[Tile, bytes]]:
        for start in range(0, len(self._recent), TILE_WIDTH):
            leaves = self._recent[start : start + TILE_WIDTH]
            yield Tile(None, (base + start) // TILE_WIDTH, len(leaves)), encode_bundle(leaves)

    def _mend_partials(self) -> None:
        """Write again the partial tiles of earlier checkpoints that a power loss damaged."""
        for tile in with_partials(self._edge.size):
            data = self._published.tile(tile)[1]
            for narrow, found in self._published.narrower(tile):
                whole = tile.narrowed(data, narrow.width)
                if found != whole:
                    self._write(narrow.path, whole, durable=True)

    def _write(self, name: str, data: bytes, *, durable: bool) -> None:
        path = self._published.public / name
        make_directory(path.parent)
        replace_file(path, data, scratch=self._scratch, mode=PUBLIC_FILE, durable=durable)


def _continued(contents: JournalContents, marker: Marker, signed: int) -> JournalContents:
    """What was signed, and after it the leaf that tells of the restore.

    What was never signed was not taken from the outbox either, and comes again.
    """
    return replace(contents, leaves=[*contents.leaves[: signed - contents.base], marker.leaf.encode()])


def _lock(directory: Path) -> int:
    """A descriptor that holds the directory for this process alone."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise AuditError("another process has the log open", where=str(directory)) from error
    return fd


def _io_error(error: OSError, directory: Path) -> AuditError:
    return AuditError(f"{error.filename or 'a file'}: {error.strerror}", where=str(directory))
