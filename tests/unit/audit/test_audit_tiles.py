import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftpd.audit.merkle import leaf_hash
from sftpd.audit.tiles import Edge, Tile, decode_bundle, encode_bundle, tile_at, with_partials
from sftpd.errors import AuditError

leaves_lists = st.lists(st.binary(max_size=80), max_size=20)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 999, 17), "tile/1/999.p/17"),
        (Tile(2, 1000), "tile/2/x001/000"),
        (Tile(None, 1234067), "tile/entries/x001/x234/067"),
        (Tile(None, 1234067, 255), "tile/entries/x001/x234/067.p/255"),
    ],
)
def test_paths(tile, path):
    assert tile.path == path


@given(leaves_lists)
def test_bundle_round_trip(leaves):
    assert decode_bundle(encode_bundle(leaves), "here") == leaves


@given(leaves_lists.filter(bool), st.data())
def test_a_bundle_cut_inside_an_entry_is_refused(leaves, data):
    whole = encode_bundle(leaves)
    start = len(encode_bundle(leaves[:-1]))
    cut = data.draw(st.integers(start + 1, len(whole) - 1))
    with pytest.raises(AuditError, match=f"here: entry {len(leaves) - 1} at byte {start} "):
        decode_bundle(whole[:cut], "here")


@settings(deadline=None)
@given(st.integers(0, 2000))
def test_the_tiles_with_partials_are_the_last_two_of_each_level(size):
    edge = Edge()
    for number in range(size):
        edge.append(leaf_hash(b"%d" % number))
    tiles = list(with_partials(size))
    hashes = [tile for tile in tiles if tile.level is not None]
    assert [tile for tile in hashes if not tile.full] == [tile for tile, _ in edge.partials()]
    completed = [tile for tile, _ in edge.take_completed()]
    assert [tile for tile in hashes if tile.full] == completed[-1:]
    wanted = [tile_at(None, size // 256, size)] if size % 256 else []
    wanted += [Tile(None, size // 256 - 1)] if size >= 256 else []
    assert [tile for tile in tiles if tile.level is None] == wanted


@given(leaves_lists.filter(bool), st.data())
def test_a_narrower_tile_is_a_prefix(leaves, data):
    width = data.draw(st.integers(1, len(leaves)))
    hashes = b"".join(map(leaf_hash, leaves))
    bundle = encode_bundle(leaves)
    assert Tile(0, 0, len(leaves)).narrowed(hashes, width) == b"".join(map(leaf_hash, leaves[:width]))
    assert Tile(None, 0, len(leaves)).narrowed(bundle, width) == encode_bundle(leaves[:width])
