from hashlib import sha256

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sftpd.audit.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from sftpd.audit.tiles import Edge, Tile, nodes_of

VECTOR_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
VECTOR_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""The roots that the tests of certificate transparency logs give for the first 0 to 8 of those leaves."""


def model_root(leaves):
    """RFC 6962 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = largest_power_below(len(leaves))
    return sha256(b"\x01" + model_root(leaves[:k]) + model_root(leaves[k:])).digest()


def model_path(m, leaves):
    """RFC 6962 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*model_path(m, leaves[:k]), model_root(leaves[k:])]
    return [*model_path(m - k, leaves[k:]), model_root(leaves[:k])]


def model_subproof(m, leaves, whole):
    """RFC 6962 2.1.2, word for word."""
    if m == len(leaves):
        return [] if whole else [model_root(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*model_subproof(m, leaves[:k], whole), model_root(leaves[k:])]
    return [*model_subproof(m - k, leaves[k:], False), model_root(leaves[:k])]


def largest_power_below(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def numbered(count):
    return [b"leaf %d" % number for number in range(count)]


def grown(leaves):
    """An edge to which all leaves were added, and the tiles it gave."""
    edge = Edge()
    for leaf in leaves:
        edge.append(leaf_hash(leaf))
    return edge, dict([*edge.take_completed(), *edge.partials()])


def nodes(leaves):
    return nodes_of(len(leaves), grown(leaves)[1].__getitem__)


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size):
    leaves = VECTOR_LEAVES[:size]
    assert grown(leaves)[0].root.hex() == VECTOR_ROOTS[size]
    assert tree_root(nodes(leaves), size).hex() == VECTOR_ROOTS[size]


sizes = st.one_of(
    st.integers(0, 70), st.integers(250, 260), st.sampled_from([511, 512, 513, 700, 1024, 65536 + 257])
)


@settings(deadline=None)
@given(sizes)
def test_edge_and_tiles_give_the_root_of_the_model(size):
    leaves = numbered(size)
    assert grown(leaves)[0].root == tree_root(nodes(leaves), size) == model_root(leaves)


@settings(deadline=None)
@given(st.data())
def test_inclusion_proof_is_the_models_and_verifies(data):
    leaves = numbered(data.draw(st.integers(1, 600)))
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(nodes(leaves), index, len(leaves))
    assert proof == model_path(index, leaves)
    assert verify_inclusion(leaf_hash(leaves[index]), index, len(leaves), proof, model_root(leaves))


@settings(deadline=None)
@given(st.data())
def test_inclusion_proof_holds_for_nothing_else(data):
    leaves = numbered(data.draw(st.integers(1, 40)))
    size, root = len(leaves), model_root(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = model_path(index, leaves)
    leaf = leaf_hash(leaves[index])
    assert not verify_inclusion(leaf_hash(b"other"), index, size, proof, root)
    assert not verify_inclusion(leaf, index, size, [*proof, EMPTY_ROOT], root)
    assert not verify_inclusion(leaf, size, size, proof, root)
    for other in set(range(size)) - {index}:
        assert not verify_inclusion(leaf, other, size, proof, root)
    for place in range(len(proof)):
        changed = [*proof[:place], sha256(proof[place]).digest(), *proof[place + 1 :]]
        assert not verify_inclusion(leaf, index, size, changed, root)
        assert not verify_inclusion(leaf, index, size, proof[:place] + proof[place + 1 :], root)


@settings(deadline=None)
@given(st.data())
def test_consistency_proof_is_the_models_and_verifies(data):
    leaves = numbered(data.draw(st.integers(1, 600)))
    old, new = data.draw(st.integers(1, len(leaves))), len(leaves)
    proof = consistency_proof(nodes(leaves), old, new)
    assert proof == model_subproof(old, leaves, True)
    assert verify_consistency(old, model_root(leaves[:old]), new, model_root(leaves), proof)


@settings(deadline=None)
@given(st.data())
def test_consistency_proof_holds_for_nothing_else(data):
    leaves = numbered(data.draw(st.integers(2, 40)))
    old, new = data.draw(st.integers(1, len(leaves) - 1)), len(leaves)
    old_root, new_root = model_root(leaves[:old]), model_root(leaves)
    proof = model_subproof(old, leaves, True)
    rewritten = model_root([b"other", *leaves[1:old]])
    assert not verify_consistency(old, rewritten, new, new_root, proof)
    assert not verify_consistency(old, old_root, new, rewritten, proof)
    assert not verify_consistency(old, old_root, new, new_root, [*proof, EMPTY_ROOT])
    assert not verify_consistency(old, old_root, new, new_root, [])
    for place in range(len(proof)):
        changed = [*proof[:place], sha256(proof[place]).digest(), *proof[place + 1 :]]
        assert not verify_consistency(old, old_root, new, new_root, changed)


def test_consistency_of_trees_that_need_no_proof():
    root = model_root(numbered(5))
    assert verify_consistency(0, EMPTY_ROOT, 5, root, [])
    assert verify_consistency(5, root, 5, root, [])
    assert not verify_consistency(0, root, 5, root, [])
    assert not verify_consistency(0, EMPTY_ROOT, 5, root, [root])
    assert not verify_consistency(5, root, 5, EMPTY_ROOT, [])
    assert not verify_consistency(6, root, 5, root, [])
    assert not verify_consistency(4, root, 5, root, [])


def test_proofs_outside_the_tree_are_refused():
    with pytest.raises(ValueError, match="leaf 3"):
        inclusion_proof(nodes(numbered(3)), 3, 3)
    with pytest.raises(ValueError, match="tree of 4"):
        consistency_proof(nodes(numbered(3)), 4, 3)


@settings(deadline=None)
@given(st.sampled_from([0, 256, 512, 2560]), st.integers(0, 300))
@example(65536 + 512, 300)
def test_an_edge_restored_from_full_tiles_goes_on_as_if_never_left(size, more):
    leaves = numbered(size + more)
    tiles = grown(leaves[:size])[1]
    edge = Edge.restore(size, {tile: data for tile, data in tiles.items() if tile.full}.__getitem__)
    assert edge.size == size
    for leaf in leaves[size:]:
        edge.append(leaf_hash(leaf))
    whole, all_tiles = grown(leaves)
    assert (edge.size, edge.root, edge.partials()) == (whole.size, whole.root, whole.partials())
    assert all(all_tiles[tile] == data for tile, data in edge.take_completed())


def test_appending_reads_nothing_and_costs_two_hashes_a_leaf(monkeypatch):
    hashed = 0

    def count(left, right):
        nonlocal hashed
        hashed += 1
        return EMPTY_ROOT

    edge = grown(numbered(4096))[0]
    monkeypatch.setattr("sftpd.audit.tiles.node_hash", count)
    for _ in range(512):
        edge.append(EMPTY_ROOT)
    assert hashed <= 512


def test_tiles_of_the_specifications_example():
    tiles = set(grown(numbered(70_000))[1])
    expected = {Tile(0, index) for index in range(273)} | {Tile(0, 273, 112), Tile(1, 0)}
    assert tiles == expected | {Tile(1, 1, 17), Tile(2, 0, 1)}
