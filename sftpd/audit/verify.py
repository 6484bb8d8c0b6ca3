"""Verifying a log from what is published: every leaf, every tile, the root and the signature."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sftpd.audit.checkpoint import Checkpoint, VerifierKey, verify_checkpoint
from sftpd.audit.journal import decode_journal
from sftpd.audit.merkle import HASH_SIZE, consistency_proof, leaf_hash
from sftpd.audit.merkle import verify_consistency as consistent
from sftpd.audit.published import CHECKPOINT, PublishedLog
from sftpd.audit.succession import Restored, lost, require_told, told
from sftpd.audit.tiles import TILE_WIDTH, Edge, Tile, encode_bundle, with_partials
from sftpd.errors import AuditError


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified: a log of `size` leaves with this root, and how its origin came to be."""

    origin: str
    size: int
    root: bytes
    restored: tuple[Restored, ...] = ()


@dataclass(frozen=True, slots=True)
class _Difference:
    """The hash at byte `start` of the file of `tile` is not what the entries give."""

    tile: Tile
    start: int


def verify_log(
    public: Path, keys: Sequence[VerifierKey], *, origin: str, journal: Path | None = None
) -> Verified:
    """Verify the log of `origin` in the folder `public`, and our `journal` too if it is given.

    Rebuilds every tile from the entries and compares it with the file, then the root with the checkpoint that
    one of `keys` signed. The log may grow meanwhile: what is verified is the checkpoint found at the start.
    Raises AuditError that names the file and the byte, leaf or line where something differs.
    """
    log = PublishedLog(public)
    head = _signed_head(log, keys, origin)
    edge = Edge()
    difference: _Difference | None = None
    restored: list[Restored] = []
    for index in range(-(-head.size // TILE_WIDTH)):
        for leaf in log.bundle(index, head.size)[1]:
            if (found := told(leaf, edge)) is not None:
                restored.append(found)
            edge.append(leaf_hash(leaf))
        for tile, data in edge.take_completed():
            difference = difference or _compare(log, tile, data)
    for tile, data in edge.partials():
        difference = difference or _compare(log, tile, data)
    if edge.root != head.root:
        raise _wrong_root(log, head, edge.root, difference)
    if difference is not None:
        raise _wrong_tile(log, difference)
    _verify_narrower(log, head.size)
    if journal is not None:
        _verify_journal(log, journal, head)
    require_told(head, restored, where=str(public / CHECKPOINT))
    return Verified(head.origin, head.size, head.root, tuple(restored))


def verify_consistency(
    old: bytes,
    public: Path,
    keys: Sequence[VerifierKey],
    *,
    origin: str,
    restored: Sequence[Restored] = (),
) -> Verified:
    """Verify that the log in `public` only grew since `old`, a checkpoint of it that was kept.

    `restored` is what `verify_log` found. Raises AuditError if either signature does not hold, the log was
    rewritten or is smaller, and where a restore from a backup lost leaves that `old` had.
    """
    kept = verify_checkpoint(old, keys, origin=origin, where="kept checkpoint")
    log = PublishedLog(public)
    head = _signed_head(log, keys, origin)
    restore = lost(restored, kept)
    if restore is not None:
        raise AuditError(
            f"restored at {restore.time} from a backup of {restore.index} leaves, and goes on as"
            f" {restore.becomes}: what was signed after them as {kept.origin} is lost",
            where=str(public),
            expected=f"the {kept.size} leaves it had",
            remedy="ask its owner for what happened between the backup and the restore",
        )
    if kept.size > head.size:
        raise AuditError(
            f"the log has {head.size} leaves", where=str(public), expected=f"at least the {kept.size} it had"
        )
    proof = consistency_proof(log.nodes(head.size), kept.size, head.size)
    if not consistent(kept.size, kept.root, head.size, head.root, proof):
        raise AuditError(
            f"the log is not a continuation of the checkpoint of {kept.size} leaves that was kept",
            where=str(public),
            expected=f"the first {kept.size} leaves unchanged",
        )
    return Verified(head.origin, head.size, head.root)


def _signed_head(log: PublishedLog, keys: Sequence[VerifierKey], origin: str) -> Checkpoint:
    return verify_checkpoint(log.checkpoint(), keys, origin=origin, where=str(log.public / CHECKPOINT))


def _compare(log: PublishedLog, tile: Tile, data: bytes) -> _Difference | None:
    """Where the file of `tile` first differs from `data`, its hashes as the entries give them."""
    found, stored = log.tile(tile)
    for start in range(0, len(data), HASH_SIZE):
        if data[start : start + HASH_SIZE] != stored[start : start + HASH_SIZE]:
            return _Difference(found, start)
    return None


def _wrong_tile(log: PublishedLog, difference: _Difference) -> AuditError:
    """The entries give the signed root, so the tile is what was changed."""
    tile, start = difference.tile, difference.start
    number = tile.index * TILE_WIDTH + start // HASH_SIZE
    return AuditError(
        f"hash at byte {start} is not that of {'leaf' if tile.level == 0 else 'subtree'} {number}",
        where=log.where(tile),
    )


def _wrong_root(
    log: PublishedLog, head: Checkpoint, root: bytes, difference: _Difference | None
) -> AuditError:
    """The entries give another root than the one signed; a level 0 tile that differs from them says which."""
    if difference is None or difference.tile.level != 0:
        return AuditError(
            f"entries and tiles give the root {root.hex()}: the log was rewritten",
            where=f"{log.public / CHECKPOINT} line 3",
            expected=f"the root that was signed, {head.root.hex()}",
        )
    tile, start = difference.tile, difference.start
    number = start // HASH_SIZE
    bundle, leaves = log.bundle(tile.index, head.size)
    at = len(encode_bundle(leaves[:number]))
    return AuditError(
        f"leaf {tile.index * TILE_WIDTH + number} at byte {at} does not hash to byte {start} of {tile.path}",
        where=log.where(bundle),
    )


def _verify_narrower(log: PublishedLog, size: int) -> None:
    """Compare the partial tiles kept for earlier checkpoints with the tiles that succeeded them."""
    for tile in with_partials(size):
        found, data = log.tile(tile)
        for narrow, stored in log.narrower(tile):
            whole = found.narrowed(data, narrow.width)
            if stored != whole:
                pairs = zip(stored, whole, strict=False)
                at = next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(stored), len(whole)))
                raise AuditError(f"differs from {found.path} at byte {at}", where=log.where(narrow))


def _verify_journal(log: PublishedLog, path: Path, head: Checkpoint) -> None:
    """Compare the journal with the published entries; what follows the signed size was never acknowledged."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AuditError(f"cannot be read: {error.strerror}", where=str(path)) from error
    contents = decode_journal(raw, str(path))
    if contents.stop < head.size:
        raise AuditError(
            f"no whole record at byte {contents.end} for leaf {contents.stop}",
            where=str(path),
            expected=f"leaves up to the {head.size} that were signed",
        )
    published = log.leaves(min(contents.base, head.size), head.size, head.size)
    for index, start, mine, leaf in zip(
        count(contents.base), contents.offsets, contents.leaves, published, strict=False
    ):
        if leaf != mine:
            raise AuditError(f"record at byte {start} is not leaf {index} as published", where=str(path))
