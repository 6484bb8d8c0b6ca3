"""Merkle tree hashes and proofs of RFC 6962 section 2.1, verified as RFC 9162 section 2.1 has it."""

from collections.abc import Callable, Sequence
from functools import reduce
from hashlib import sha256

HASH_SIZE = 32
"""Bytes in a hash."""

EMPTY_ROOT = sha256().digest()
"""The root of the tree without leaves."""

Nodes = Callable[[int, int], bytes]
"""`nodes(height, index)` is the root over the `1 << height` leaves from `index << height` on."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf: SHA-256(0x00 || leaf)."""
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(b"\1" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over `hashes`, whose number is a power of two."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def peaks(hashes: Sequence[bytes]) -> list[bytes]:
    """The roots of the largest perfect subtrees over `hashes`, from left to right."""
    found: list[bytes] = []
    start = 0
    for bit in reversed(range(len(hashes).bit_length())):
        width = 1 << bit
        if len(hashes) & width:
            found.append(perfect_root(hashes[start : start + width]))
            start += width
    return found


def root_of_peaks(found: Sequence[bytes]) -> bytes:
    """The root of the tree whose peaks from left to right are `found`."""
    if not found:
        return EMPTY_ROOT
    return reduce(lambda right, left: node_hash(left, right), reversed(found))


def tree_root(nodes: Nodes, size: int) -> bytes:
    """The root of the tree of the first `size` leaves."""
    return _range_root(nodes, 0, size) if size else EMPTY_ROOT


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """The path from leaf `index` to the root of the tree of `size` leaves, the leaf's sibling first.

    Raises ValueError unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range_root(nodes, middle, high))
            high = middle
        else:
            path.append(_range_root(nodes, low, middle))
            low = middle
    return path[::-1]


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """The proof that the tree of `old` leaves is a prefix of the tree of `new`; empty if old is 0 or new.

    Raises ValueError unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} is no prefix of a tree of {new}")
    if old in (0, new):
        return []
    proof: list[bytes] = []
    low, high = 0, new
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(_range_root(nodes, middle, high))
            high = middle
        else:
            proof.append(_range_root(nodes, low, middle))
            low = middle
    if low:
        proof.append(_range_root(nodes, low, high))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows the leaf hash `leaf` at `index` of the tree of `size` (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and node == root


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows the tree of `old` leaves to be a prefix of the tree of `new` (RFC 9162 2.1.4.2).

    The empty tree is a prefix of every tree and needs an empty proof.
    """
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    from_old = from_new = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            from_old, from_new = node_hash(node, from_old), node_hash(node, from_new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            from_new = node_hash(from_new, node)
        position, last = position >> 1, last >> 1
    return last == 0 and from_old == old_root and from_new == new_root


def _split(count: int) -> int:
    """The largest power of two below `count`, where RFC 6962 splits a tree of more than one leaf."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_root(nodes: Nodes, low: int, high: int) -> bytes:
    """The root over leaves `low` to `high`, a part into which splitting a tree from its root arrives."""
    width = high - low
    if width & (width - 1) == 0:
        height = width.bit_length() - 1
        return nodes(height, low >> height)
    middle = low + _split(width)
    return node_hash(_range_root(nodes, low, middle), _range_root(nodes, middle, high))
