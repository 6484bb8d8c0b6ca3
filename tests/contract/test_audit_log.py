import os
import re
import resource
import signal
import stat

import pytest

from sftpd.audit.checkpoint import Checkpoint, SigningKey, sign_checkpoint, verify_checkpoint
from sftpd.audit.journal import encode_journal
from sftpd.audit.log import AuditLog
from sftpd.audit.merkle import EMPTY_ROOT, leaf_hash
from sftpd.audit.proof import parse_proof, prove, verify_proof
from sftpd.audit.published import PublishedLog
from sftpd.audit.tiles import Edge
from sftpd.audit.verify import verify_consistency, verify_log
from sftpd.errors import AuditError, NotFoundError

ORIGIN = "office/demo"
KEY = SigningKey.generate(ORIGIN)
KEYS = [KEY.verifier]
LEAVES = [b'{"number":%d}' % number for number in range(2000)]


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "log"


def opened(directory, *, origin=ORIGIN, key=KEY):
    return AuditLog.open(directory, origin=origin, key=key)


def fill(directory, *batches):
    """Append leaves in batches of these sizes, and return the log's size."""
    with opened(directory) as log:
        for count in batches:
            log.append(LEAVES[log.size : log.size + count])
        return log.size


def verified(directory):
    return verify_log(directory / "public", KEYS, origin=ORIGIN, journal=directory / "journal")


def refused(directory, match, **changes):
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    with pytest.raises(AuditError, match=match):
        opened(directory, **changes)
    after = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert before == after


def root_of(count):
    edge = Edge()
    for leaf in LEAVES[:count]:
        edge.append(leaf_hash(leaf))
    return edge.root


def test_a_new_log_is_empty_and_signed(directory):
    with opened(directory) as log:
        assert (log.size, log.root) == (0, EMPTY_ROOT)
    assert verified(directory).size == 0


def test_append_returns_indices_and_read_gives_the_leaves(directory):
    with opened(directory) as log:
        assert log.append(LEAVES[:3]) == range(3)
        assert log.append([]) == range(3, 3)
        assert log.append(LEAVES[3:700]) == range(3, 700)
        assert (log.size, log.root) == (700, root_of(700))
        assert [log.read(index) for index in (0, 255, 256, 699)] == [
            LEAVES[index] for index in (0, 255, 256, 699)
        ]
        assert list(log.leaves(250, 520)) == LEAVES[250:520]
        assert list(log.leaves(512, 512)) == []
        for index in (-1, 700):
            with pytest.raises(NotFoundError):
                log.read(index)


@pytest.mark.parametrize("batches", [[1] * 300, [255, 1, 1], [256, 256], [1000], [10, 1500, 3]])
def test_every_batching_gives_the_same_tree(directory, batches):
    size = fill(directory, *batches)
    assert (verified(directory).size, verified(directory).root) == (sum(batches), root_of(size))


def test_reopening_goes_on_where_it_ended(directory):
    for batch in (100, 200, 300, 400):
        size = fill(directory, batch)
        assert verified(directory).root == root_of(size)


def test_every_earlier_checkpoint_keeps_its_partial_tiles_until_the_next_tile_is_full(directory):
    fill(directory, 10, 20)
    entries = directory / "public" / "tile" / "entries" / "000.p"
    for grown in (226, 200):
        assert sorted(path.name for path in entries.iterdir()) == ["10", "30"]
        fill(directory, grown)
    fill(directory, 56)
    assert not entries.exists()
    assert (directory / "public" / "tile" / "entries" / "000").exists()


def test_a_copy_of_what_was_listed_before_a_tile_was_full_verifies(directory, tmp_path):
    fill(directory, 100, 150)
    public, copy = directory / "public", tmp_path / "copy"
    listed = [path.relative_to(public) for path in public.rglob("*") if path.is_file()]
    kept = (public / "checkpoint").read_bytes()
    fill(directory, 200)
    for path in listed:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes((public / path).read_bytes())
    (copy / "checkpoint").write_bytes(kept)
    assert verify_log(copy, KEYS, origin=ORIGIN).size == 250


def test_the_counterpart_may_read_what_is_public_and_only_that(directory):
    mask = os.umask(0o077)
    try:
        fill(directory, 300)
    finally:
        os.umask(mask)
    modes = {path.relative_to(directory): stat.S_IMODE(path.stat().st_mode) for path in directory.rglob("*")}
    for path, mode in modes.items():
        public = path.parts[0] == "public"
        assert mode == ((0o755 if (directory / path).is_dir() else 0o644) if public else 0o600), path


def test_the_journal_holds_only_what_is_in_no_full_tile(directory):
    fill(directory, 250, 20)
    raw = (directory / "journal").read_bytes()
    assert LEAVES[255] not in raw
    assert all(leaf in raw for leaf in LEAVES[256:270])


@pytest.mark.parametrize("leaf", [b"", bytes(65_536)])
def test_a_leaf_of_impossible_length_changes_nothing(directory, leaf):
    with opened(directory) as log:
        with pytest.raises(AuditError, match="expected 1 to 65535"):
            log.append([LEAVES[0], leaf])
        assert log.append([bytes(65_535)]) == range(1)
    assert verified(directory).size == 1


def test_only_one_may_have_it_open(directory):
    with opened(directory), pytest.raises(AuditError, match="another process"):
        opened(directory)
    with opened(directory):
        pass


def test_a_full_disk_is_an_error_and_what_was_acknowledged_stays(directory):
    size = fill(directory, 200)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            log = opened(directory)
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            limit = (directory / "journal").stat().st_size + 100
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            for _ in range(2):
                with pytest.raises(AuditError):
                    log.append(LEAVES[size:300])
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    with opened(directory) as log:
        assert log.size >= size
        assert list(log.leaves(0, log.size)) == LEAVES[: log.size]
    assert verified(directory).size >= size


def test_a_journal_cut_below_the_signed_size_is_refused(directory):
    fill(directory, 300)
    journal = directory / "journal"
    os.truncate(journal, journal.stat().st_size - 1)
    refused(directory, "journal: holds leaves 256 to 299 and no whole record at byte .* 300")


def test_a_changed_journal_is_refused(directory):
    fill(directory, 300)
    journal = directory / "journal"
    journal.write_bytes(journal.read_bytes().replace(b'"number":270', b'"number":999'))
    refused(directory, "journal: holds leaves 256 to 270")


def test_a_journal_rewritten_with_sound_checksums_is_refused(directory):
    fill(directory, 300)
    journal = directory / "journal"
    journal.write_bytes(encode_journal(256, [*LEAVES[256:270], b"rewritten", *LEAVES[271:300]]))
    refused(directory, "another tree of 300 leaves than the one signed")
    with pytest.raises(AuditError, match=r"journal: record at byte \d+ is not leaf 270 as published"):
        verified(directory)


def test_a_missing_journal_is_refused(directory):
    fill(directory, 3)
    (directory / "journal").unlink()
    refused(directory, "the journal of a signed log is missing")


@pytest.mark.parametrize("size", [3, 256])
def test_a_missing_checkpoint_is_refused(directory, size):
    fill(directory, size)
    (directory / "public" / "checkpoint").unlink()
    refused(directory, "the checkpoint of a log with leaves is missing")


def test_a_checkpoint_older_than_the_journal_is_refused(directory):
    fill(directory, 3)
    old = (directory / "public" / "checkpoint").read_bytes()
    fill(directory, 300)
    (directory / "public" / "checkpoint").write_bytes(old)
    refused(directory, "holds leaves 256 to 303")


def test_tiles_that_give_another_root_are_refused(directory):
    fill(directory, 300)
    tile = directory / "public" / "tile" / "0" / "000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    refused(directory, "another tree of 300 leaves than the one signed")


def test_a_short_full_tile_is_refused(directory):
    fill(directory, 300)
    os.truncate(directory / "public" / "tile" / "0" / "000", 32)
    refused(directory, "tile/0/000: tile has 32 bytes")


def test_a_checkpoint_of_another_key_or_log_is_refused(directory):
    fill(directory, 3)
    refused(directory, "no signature by a known key", key=SigningKey.generate(ORIGIN))
    refused(directory, "checkpoint of another log", origin="office/other")


def test_inclusion_is_proven_by_text_alone(directory):
    fill(directory, 700)
    log = PublishedLog(directory / "public")
    for index in (0, 255, 256, 511, 512, 699):
        proof = bytes(prove(log, index))
        assert verify_proof(proof, LEAVES[index], KEYS, origin=ORIGIN).size == 700
        assert bytes(parse_proof(proof)) == proof
        with pytest.raises(AuditError, match="does not lead from this leaf"):
            verify_proof(proof, LEAVES[index + 1], KEYS, origin=ORIGIN)
    with pytest.raises(NotFoundError):
        prove(log, 700)


def test_no_byte_of_a_proof_can_be_changed(directory):
    fill(directory, 20)
    proof = bytes(prove(PublishedLog(directory / "public"), 7))
    for at in range(len(proof)):
        changed = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
        with pytest.raises(AuditError):
            verify_proof(changed, parse_proof(changed).leaf, KEYS, origin=ORIGIN)


def test_other_extra_data_in_a_proof_is_passed_over(directory):
    fill(directory, 2)
    proof = bytes(prove(PublishedLog(directory / "public"), 1))
    assert parse_proof(proof).leaf == LEAVES[1]
    extra = re.sub(rb"extra \S+", b"extra AAAA", proof)
    assert verify_proof(extra, LEAVES[1], KEYS, origin=ORIGIN).size == 2


@pytest.mark.parametrize("old", [0, 1, 255, 256, 300, 700])
def test_a_kept_checkpoint_is_a_prefix_of_the_log(directory, old):
    fill(directory, old)
    kept = (directory / "public" / "checkpoint").read_bytes()
    fill(directory, 700 - old)
    assert verify_consistency(kept, directory / "public", KEYS, origin=ORIGIN).size == 700


def test_a_rewritten_or_shrunk_log_does_not_continue_a_kept_checkpoint(tmp_path):
    public = tmp_path / "honest" / "public"
    fill(tmp_path / "honest", 300)
    with opened(tmp_path / "other") as log:
        log.append([b"rewritten", *LEAVES[1:400]])
    kept = (public / "checkpoint").read_bytes()
    with pytest.raises(AuditError, match="not a continuation of the checkpoint of 300 leaves"):
        verify_consistency(kept, tmp_path / "other" / "public", KEYS, origin=ORIGIN)
    larger = (tmp_path / "other" / "public" / "checkpoint").read_bytes()
    with pytest.raises(AuditError, match="the log has 300 leaves"):
        verify_consistency(larger, public, KEYS, origin=ORIGIN)


def test_a_checkpoint_signed_for_other_leaves_is_noticed(directory):
    fill(directory, 300)
    forged = sign_checkpoint(Checkpoint(ORIGIN, 300, EMPTY_ROOT), KEY)
    assert verify_checkpoint(forged, KEYS, origin=ORIGIN).root == EMPTY_ROOT
    (directory / "public" / "checkpoint").write_bytes(forged)
    with pytest.raises(AuditError, match=r"checkpoint line 3: .* the log was rewritten"):
        verified(directory)
