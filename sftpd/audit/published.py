"""Reading a log from its public folder alone, as its writer, its verifier and the counterpart do.

The folder may be a copy from anybody: what is read of it are regular files, no further than they may be long.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sftpd.audit.checkpoint import NOTE_LIMIT
from sftpd.audit.merkle import HASH_SIZE, Nodes
from sftpd.audit.tiles import BUNDLE_LIMIT, TILE_WIDTH, Tile, decode_bundle, nodes_of, tile_at
from sftpd.errors import AuditError, NotFoundError

CHECKPOINT = "checkpoint"
"""The name of the signed head in the public folder."""


class _MissingError(AuditError):
    """A file of the log is not there."""


class PublishedLog:
    """The files of a log in the folder `public`. It holds no state, so any number may read beside the writer.

    A `size` argument is that of a checkpoint that was published: what it needs is never deleted.
    """

    def __init__(self, public: Path) -> None:
        self.public = public

    def where(self, tile: Tile) -> str:
        """The file of `tile` as messages name it."""
        return str(self.public / tile.path)

    def checkpoint(self) -> bytes:
        """The latest checkpoint as it lies there. Raises AuditError if there is none."""
        return _regular(self.public / CHECKPOINT, NOTE_LIMIT)

    def tile(self, tile: Tile) -> tuple[Tile, bytes]:
        """The tile or bundle that covers `tile`, itself or the full one in its place, and its bytes.

        Raises AuditError if neither is there, which names `tile`, or a hash tile has the wrong length.
        """
        try:
            found, data = tile, self._bytes(tile)
        except _MissingError as missing:
            found = Tile(tile.level, tile.index)
            try:
                data = self._bytes(found)
            except _MissingError:
                raise missing from None
        if tile.level is not None and len(data) != found.width * HASH_SIZE:
            raise AuditError(
                f"tile has {len(data)} bytes", where=self.where(found), expected=f"{found.width * HASH_SIZE}"
            )
        return found, data

    def bundle(self, index: int, size: int) -> tuple[Tile, list[bytes]]:
        """The bundle `index` of the tree of `size` leaves: its file and the leaves of the tree in it.

        Raises AuditError if it is missing, damaged or holds another number of leaves than it should.
        """
        tile = tile_at(None, index, size)
        found, data = self.tile(tile)
        leaves = decode_bundle(data, self.where(found))
        if len(leaves) != found.width:
            raise AuditError(
                f"bundle ends at byte {len(data)} after {len(leaves)} entries",
                where=self.where(found),
                expected=f"{found.width}",
            )
        return found, leaves[: tile.width]

    def hashes(self, tile: Tile) -> bytes:
        """The hashes of `tile`, exactly as many as it is wide."""
        return self.tile(tile)[1][: tile.width * HASH_SIZE]

    def nodes(self, size: int) -> Nodes:
        """The perfect subtrees of the tree of `size` leaves, for proofs."""
        return nodes_of(size, self.hashes)

    def leaves(self, start: int, stop: int, size: int) -> Iterator[bytes]:
        """The leaves from `start` up to `stop`, both within the tree of `size` leaves.

        Raises NotFoundError if they are not.
        """
        if not 0 <= start <= stop <= size:
            raise NotFoundError(
                f"no leaves {start} to {stop}", where=str(self.public), expected=f"0 to {size}"
            )
        for index in range(start // TILE_WIDTH, -(-stop // TILE_WIDTH)):
            first = index * TILE_WIDTH
            leaves = self.bundle(index, size)[1]
            yield from leaves[max(start - first, 0) : stop - first]

    def narrower(self, tile: Tile) -> Iterator[tuple[Tile, bytes]]:
        """The less wide partial tiles in `tile`'s place, with their bytes: those of earlier checkpoints.

        Raises AuditError if one cannot be read.
        """
        names = {path.name for path in (self.public / tile.partials).glob("*")}
        for width in (width for width in range(1, tile.width) if str(width) in names):
            narrow = Tile(tile.level, tile.index, width)
            with suppress(_MissingError):  # the writer has just completed the tile
                yield narrow, self._bytes(narrow)

    def _bytes(self, tile: Tile) -> bytes:
        limit = BUNDLE_LIMIT if tile.level is None else TILE_WIDTH * HASH_SIZE
        return _regular(self.public / tile.path, limit)


def _regular(path: Path, limit: int) -> bytes:
    """The content of a regular file, of a longer one `limit` bytes and one more.

    Raises _MissingError where there is none, AuditError for what cannot be read and anything else: to open a
    pipe or a device could wait for ever, and a link leads out of the copy.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise AuditError("is not a regular file", where=str(path))
            with os.fdopen(fd, "rb", closefd=False) as file:
                return file.read(limit + 1)
        finally:
            os.close(fd)
    except FileNotFoundError as error:
        raise _MissingError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except OSError as error:
        is_link = error.errno == errno.ELOOP
        what = "is a symbolic link" if is_link else f"cannot be read: {error.strerror}"
        raise AuditError(what, where=str(path)) from error
