"""The tile layout of c2sp.org/tlog-tiles: paths, entry bundles, and the growing right edge of a tree."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from sftpd.audit.merkle import HASH_SIZE, Nodes, node_hash, peaks, perfect_root, root_of_peaks
from sftpd.errors import AuditError

TILE_HEIGHT = 8
"""Levels of the Merkle tree that one tile spans."""

TILE_WIDTH = 1 << TILE_HEIGHT
"""Hashes in a full tile, entries in a full bundle."""

LEAF_LIMIT = 65_535
"""The most bytes in a leaf: its length is a uint16 in the entry bundle."""

BUNDLE_LIMIT = TILE_WIDTH * (2 + LEAF_LIMIT)
"""The most bytes in an entry bundle."""

_LENGTH = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of hashes, or one bundle of entries where `level` is None."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def full(self) -> bool:
        """Whether the tile can hold no more, and so never changes."""
        return self.width == TILE_WIDTH

    @property
    def partials(self) -> str:
        """The folder that holds the partial tiles of this place, relative to the log's public folder."""
        return f"{Tile(self.level, self.index).path}.p"

    @property
    def path(self) -> str:
        """Where the tile lies in the log's public folder: `tile/0/x001/067` or `tile/entries/000.p/9`."""
        if not self.full:
            return f"{self.partials}/{self.width}"
        name = f"{self.index % 1000:03}"
        rest = self.index // 1000
        while rest:
            name = f"x{rest % 1000:03}/{name}"
            rest //= 1000
        return f"tile/{'entries' if self.level is None else self.level}/{name}"

    def narrowed(self, data: bytes, width: int) -> bytes:
        """The bytes of the tile of `width` at the same place, given this one's `data`."""
        if self.level is None:
            return encode_bundle(decode_bundle(data, self.path)[:width])
        return data[: width * HASH_SIZE]


def tile_at(level: int | None, index: int, size: int) -> Tile:
    """The tile at `index` of `level` as it is in a tree of `size` leaves; it must not be empty there."""
    total = size >> (TILE_HEIGHT * (level or 0))
    return Tile(level, index, min(TILE_WIDTH, total - index * TILE_WIDTH))


def with_partials(size: int) -> Iterator[Tile]:
    """The tiles of a tree of `size` leaves beside which there may be partial ones: the last two of each kind.

    Those of a full tile stay until the next one is full too, for whoever fetches the log meanwhile has seen
    them in a listing, and not the full one.
    """
    yield from _last_two(None, size)
    level, count = 0, size
    while count:
        yield from _last_two(level, count)
        level, count = level + 1, count // TILE_WIDTH


def _last_two(level: int | None, count: int) -> Iterator[Tile]:
    index, width = divmod(count, TILE_WIDTH)
    if width:
        yield Tile(level, index, width)
    if index:
        yield Tile(level, index - 1)


def encode_bundle(leaves: Iterable[bytes]) -> bytes:
    """The entry bundle of `leaves`: each after its length, a big-endian uint16."""
    return b"".join(_LENGTH.pack(len(leaf)) + leaf for leaf in leaves)


def decode_bundle(data: bytes, where: str) -> list[bytes]:
    """The leaves in an entry bundle; of one with too many, one more than it may have.

    Raises AuditError, naming `where` and the byte, if an entry runs past the end.
    """
    leaves: list[bytes] = []
    start = 0
    while start < len(data) and len(leaves) <= TILE_WIDTH:
        body = start + _LENGTH.size
        end = body + _LENGTH.unpack_from(data, start)[0] if body <= len(data) else body
        if end > len(data):
            raise AuditError(f"entry {len(leaves)} at byte {start} runs past the end", where=where)
        leaves.append(data[body:end])
        start = end
    return leaves


def split_hashes(data: bytes) -> list[bytes]:
    """The hashes that lie one after the other in a tile."""
    return [data[start : start + HASH_SIZE] for start in range(0, len(data), HASH_SIZE)]


def nodes_of(size: int, read: Callable[[Tile], bytes]) -> Nodes:
    """The perfect subtrees of a tree of `size` leaves, from its hash tiles; each tile is read once."""
    read_once = cache(read)

    def node(height: int, index: int) -> bytes:
        level, above = divmod(height, TILE_HEIGHT)
        tile_index, first = divmod(index << above, TILE_WIDTH)
        data = read_once(tile_at(level, tile_index, size))
        return perfect_root(split_hashes(data[first * HASH_SIZE : (first + (1 << above)) * HASH_SIZE]))

    return node


class Edge:
    """The right edge of a growing tree: what is needed to add leaves, to know the root and to write tiles.

    Adding a leaf costs O(1) hashes on average and the root O(log size), however large the tree.
    """

    def __init__(self, rows: Sequence[Sequence[bytes]] = ()) -> None:
        self._rows = [bytearray(b"".join(row)) for row in rows]
        self._peaks = [peak for row in reversed(rows) for peak in peaks(row)]
        self._size = sum(len(row) << (TILE_HEIGHT * level) for level, row in enumerate(rows))
        self._completed: list[tuple[Tile, bytes]] = []

    @classmethod
    def restore(cls, size: int, read: Callable[[Tile], bytes]) -> "Edge":
        """The edge of a tree of `size` leaves, a multiple of 256, from its full tiles alone."""
        rows: list[list[bytes]] = [[]]
        count = size // TILE_WIDTH
        while count:
            level = len(rows) - 1
            first = count - count % TILE_WIDTH
            rows.append([perfect_root(split_hashes(read(Tile(level, i)))) for i in range(first, count)])
            count //= TILE_WIDTH
        return cls(rows)

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return root_of_peaks(self._peaks)

    def append(self, leaf: bytes) -> None:
        """Add the leaf with the hash `leaf`."""
        self._place(0, leaf)
        node, height, count = leaf, 0, self._size
        while count & 1:
            node = node_hash(self._peaks.pop(), node)
            height, count = height + 1, count >> 1
            if height % TILE_HEIGHT == 0:
                self._place(height // TILE_HEIGHT, node)
        self._peaks.append(node)
        self._size += 1

    def take_completed(self) -> list[tuple[Tile, bytes]]:
        """The tiles that became full since the last call, with their bytes."""
        completed, self._completed = self._completed, []
        return completed

    def partials(self) -> list[tuple[Tile, bytes]]:
        """Each level's partial tile, if it has one, with its bytes."""
        found: list[tuple[Tile, bytes]] = []
        for level, row in enumerate(self._rows):
            if row:
                index = self._size >> (TILE_HEIGHT * (level + 1))
                found.append((Tile(level, index, len(row) // HASH_SIZE), bytes(row)))
        return found

    def _place(self, level: int, node: bytes) -> None:
        if level == len(self._rows):
            self._rows.append(bytearray())
        row = self._rows[level]
        row += node
        if len(row) == TILE_WIDTH * HASH_SIZE:
            index = self._size >> (TILE_HEIGHT * (level + 1))
            self._completed.append((Tile(level, index), bytes(row)))
            row.clear()
