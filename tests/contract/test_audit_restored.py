"""A log that was restored from a backup: what it signed since is no other tree of an origin that it had."""

import contextlib
import json
import shutil
from datetime import UTC, datetime

import pytest

from sftpd.audit import journal, log, succession
from sftpd.audit.checkpoint import Checkpoint, SigningKey, parse_checkpoint, sign_checkpoint
from sftpd.audit.log import AuditLog
from sftpd.audit.succession import Marker, mark_all, mark_new
from sftpd.audit.verify import verify_consistency, verify_log
from sftpd.errors import AuditError

KEY = SigningKey.generate("office")
ORIGIN = "office/demo"
NOW = datetime(2026, 7, 1, tzinfo=UTC)


class Logs:
    def __init__(self, folder):
        self.folder = folder / "audit"
        self.demo = self.folder / "demo"
        self.backup = folder / "backup"

    def append(self, *leaves):
        mark_new(self.folder, ORIGIN)
        with AuditLog.open(self.demo, origin=ORIGIN, key=KEY) as log:
            log.append(leaves)
            return log.checkpoint

    def back_up(self):
        shutil.rmtree(self.backup, ignore_errors=True)
        shutil.copytree(self.folder, self.backup)

    def restore(self):
        shutil.rmtree(self.folder)
        shutil.copytree(self.backup, self.folder)
        mark_all(self.folder, "office", NOW)

    def checkpoint(self):
        return (self.demo / "public/checkpoint").read_bytes()

    def head(self):
        signed = (self.demo / "public/checkpoint").exists()
        return parse_checkpoint(self.checkpoint()) if signed else Checkpoint(ORIGIN, 0, b"")

    def leaves(self):
        with AuditLog.open(self.demo, origin=ORIGIN, key=KEY) as log:
            return list(log.leaves(0, log.size))

    def verify(self, kept=None):
        public = self.demo / "public"
        keys = [KEY.verifier]
        found = verify_log(public, keys, origin=ORIGIN, journal=self.demo / "journal")
        if kept is not None:
            verify_consistency(kept, public, keys, origin=ORIGIN, restored=found.restored)
        return found


@pytest.fixture
def logs(tmp_path):
    return Logs(tmp_path)


def restored_once(logs, before=3):
    """A log with a backup of `before` leaves, two leaves that were lost, and one since the restore."""
    logs.append(*(b"%d" % number for number in range(before)))
    early = logs.checkpoint()
    logs.back_up()
    logs.append(b"lost", b"lost too")
    late = logs.checkpoint()
    logs.restore()
    logs.append(b"since")
    return early, late


def test_no_origin_has_two_trees(logs):
    early, late = restored_once(logs)
    head = parse_checkpoint(logs.checkpoint())
    assert (parse_checkpoint(early).origin, parse_checkpoint(late).origin) == (ORIGIN, ORIGIN)
    assert head.origin.startswith(f"{ORIGIN}#")
    logs.restore()
    logs.append(b"other")
    again = parse_checkpoint(logs.checkpoint())
    assert again.size == head.size
    assert again.root != head.root
    assert len({again.origin, head.origin, ORIGIN}) == 3


@pytest.mark.parametrize("before", [1, 255, 256, 300])
def test_the_first_leaf_after_the_backup_tells_what_the_log_was(logs, before):
    early, _ = restored_once(logs, before)
    event = json.loads(logs.leaves()[before])
    kept = parse_checkpoint(early)
    said = sign_checkpoint(Checkpoint(event["data"]["origin"], event["data"]["size"], kept.root), KEY)
    assert (event["type"], event["subject"], said) == ("audit.restored", "demo", early)
    assert logs.leaves()[before + 1 :] == [b"since"]
    found = logs.verify(early)
    assert [(one.index, one.origin, one.becomes) for one in found.restored] == [
        (before, ORIGIN, found.origin)
    ]


def test_who_kept_a_later_checkpoint_is_told_what_happened(logs):
    _, late = restored_once(logs)
    with pytest.raises(AuditError, match=r"restored at 2026-07-01T00:00:00.*a backup of 3 leaves.*is lost"):
        logs.verify(late)
    logs.verify(logs.checkpoint())


def test_a_later_restore_undoes_an_era_as_a_whole(logs):
    restored_once(logs)
    undone = logs.checkpoint()
    logs.restore()
    logs.append(b"other", b"and more")
    with pytest.raises(AuditError, match="restored at"):
        logs.verify(undone)
    logs.back_up()
    logs.restore()
    logs.append(b"third")
    assert [one.index for one in logs.verify().restored] == [3, 6]


def test_a_log_that_the_backup_does_not_know_begins_under_another_origin_too(logs):
    logs.folder.mkdir()
    logs.back_up()
    logs.append(b"lost")
    late = logs.checkpoint()
    logs.restore()
    logs.append(b"since")
    assert parse_checkpoint(logs.checkpoint()).origin != ORIGIN
    with pytest.raises(AuditError, match="a backup of 0 leaves"):
        logs.verify(late)


class Stop(BaseException):
    """The end of the process."""


@pytest.mark.parametrize(("before", "unsigned"), [(3, False), (3, True), (0, False)])
def test_a_stop_at_any_step_leaves_one_tree_an_origin(logs, monkeypatch, before, unsigned):
    replace_file = log.replace_file
    if before:
        restored_once(logs, before)
    else:
        logs.folder.mkdir()
        logs.back_up()
    logs.restore()
    beginning = logs.folder.with_name("beginning")
    shutil.copytree(logs.folder, beginning)
    trees = {}
    for stop_at in range(30):
        shutil.rmtree(logs.folder)
        shutil.copytree(beginning, logs.folder)
        if unsigned:
            path = logs.demo / "journal"
            path.write_bytes(path.read_bytes() + journal.encode_records([b"never signed"]))
        steps = 0

        def step(*words, stop_at=stop_at, **more):
            nonlocal steps
            steps += 1
            if steps > stop_at:
                raise Stop
            return replace_file(*words, **more)

        with monkeypatch.context() as patch:
            for module in (log, journal):
                patch.setattr(module, "replace_file", step)
            with contextlib.suppress(Stop):
                logs.append()
        head = logs.head()
        assert trees.setdefault((head.origin, head.size), head.root) == head.root
        logs.append(b"on")
        found = logs.verify()
        assert [one.index for one in found.restored] == [before]
        assert logs.leaves()[before + 1 :] == [b"on"]
        assert Marker.of(logs.demo) is None
        if steps <= stop_at:
            break
    assert steps > 2


def test_a_log_that_survived_is_not_mixed_with_a_restored_one(logs):
    logs.append(b"a")
    logs.back_up()
    logs.append(b"b")
    survived = logs.folder.with_name("survived")
    shutil.copytree(logs.folder, survived)
    logs.restore()
    shutil.copytree(survived, logs.folder, dirs_exist_ok=True)
    with pytest.raises(AuditError, match="restored log of 1 leaves of office/demo, and the log has 2"):
        logs.append()
    shutil.rmtree(logs.folder)
    shutil.copytree(survived, logs.folder)
    assert logs.append(b"c").origin == ORIGIN


@pytest.mark.parametrize("data", ['"x"', "{}", '{"origin":1,"size":2,"root":"","becomes":""}'])
def test_an_event_of_another_form_is_a_fault_with_its_place(logs, data):
    logs.append(b"a", f'{{"type":"audit.restored","time":"x","data":{data}}}'.encode())
    with pytest.raises(AuditError, match="leaf 1 is not an event"):
        logs.verify()


def test_another_origin_without_a_word_is_noticed(logs):
    logs.append(b"a")
    head = parse_checkpoint(logs.checkpoint())
    forged = Checkpoint(f"{ORIGIN}#x", head.size, head.root)
    (logs.demo / "public/checkpoint").write_bytes(sign_checkpoint(forged, KEY))
    with pytest.raises(AuditError, match=r"signed under the origin office/demo#x; expected office/demo,"):
        logs.verify()


def test_a_word_about_another_tree_is_noticed(logs, monkeypatch):
    logs.append(b"a", b"b")
    logs.back_up()
    size = parse_checkpoint(logs.checkpoint()).size
    other = Checkpoint(ORIGIN, size, b"\0" * 32)
    monkeypatch.setattr(succession, "parse_checkpoint", lambda *_, **__: other)
    logs.restore()
    logs.append()
    with pytest.raises(AuditError, match="leaf 2 tells of another log"):
        logs.verify()
