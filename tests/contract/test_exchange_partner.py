import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from exchange_doubles import Crash, Fuse
from exchange_scene import Scene, contents, crash_at_every_step

from sftpd.errors import LedgerError, RefusedError
from sftpd.exchange.places import is_at
from sftpd.exchange.reads import Reads
from sftpd.files import durable
from sftpd.files.beneath import Root
from sftpd.ledger import tables
from sftpd.ledger.outbox import Event
from sftpd.names import VirtualPath
from sftpd.ssh import messages
from sftpd.ssh.login import Proven
from sftpd.ssh.monitor import Ports, SessionGuard
from sftpd.ssh.pacing import Pacing


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as scene:
        scene.upload("upload/report.csv", b"content")
        yield scene


def path(text):
    return VirtualPath.parse(text.encode())


def rows(scene):
    scene.flush()
    f = tables.kept_file.c
    with scene.ledger.read() as conn:
        return [(row.path.decode(), row.state) for row in conn.execute(sa.select(f.path, f.state))]


def test_a_removed_file_is_withdrawn(scene):
    scene.partner.remove(path("/upload/report.csv"))
    assert contents(scene.folders.inbound) == {}
    assert rows(scene) == [("report.csv", "withdrawn")]
    assert scene.events()["file.withdrawn"] == 1


def test_a_renamed_file_keeps_its_row(scene):
    scene.partner.rename(path("/upload/report.csv"), path("/upload/other.csv"), replace=False)
    assert contents(scene.folders.inbound) == {"other.csv": b"content"}
    assert rows(scene) == [("other.csv", "present")]
    assert scene.events()["file.renamed"] == 1


def test_a_rename_over_another_replaces_it(scene):
    scene.upload("upload/other.csv", b"other")
    scene.partner.rename(path("/upload/report.csv"), path("/upload/other.csv"), replace=True)
    assert contents(scene.folders.inbound) == {"other.csv": b"content"}
    assert sorted(rows(scene)) == [("other.csv", "present"), ("other.csv", "replaced")]


def test_a_rename_onto_a_taken_name_fails_and_is_recorded_nowhere(scene):
    scene.upload("upload/other.csv", b"other")
    with pytest.raises(FileExistsError):
        scene.partner.rename(path("/upload/report.csv"), path("/upload/other.csv"), replace=False)
    assert sorted(rows(scene)) == [("other.csv", "present"), ("report.csv", "present")]
    assert "file.renamed" not in scene.events()


def test_a_change_that_fails_on_disk_is_recorded_as_failed(scene):
    with pytest.raises(FileNotFoundError):
        scene.partner.rename(path("/upload/report.csv"), path("/upload/none/x"), replace=False)
    assert rows(scene) == [("report.csv", "present")]
    assert scene.leaves()[-1]["type"] == "file.change_failed"
    assert scene.leaves()[-1]["data"]["change"] == "file.renamed"


def test_what_is_not_there_cannot_be_removed_and_leaves_no_event(scene):
    with pytest.raises(FileNotFoundError):
        scene.partner.remove(path("/upload/none"))
    assert "file.withdrawn" not in scene.events()


@pytest.mark.parametrize(
    "change",
    [
        lambda partner: partner.remove(path("/upload/report.csv")),
        lambda partner: partner.rename(path("/upload/report.csv"), path("/upload/x"), replace=True),
        lambda partner: partner.rename(path("/upload/free.csv"), path("/upload/report.csv"), replace=True),
    ],
)
def test_a_held_file_stays_where_and_what_it_is(scene, change):
    scene.upload("upload/free.csv", b"free")
    scene.held.add(b"report.csv")
    with pytest.raises(RefusedError) as refusal:
        change(scene.partner)
    assert refusal.value.reason == "HELD"
    assert contents(scene.folders.inbound) == {"report.csv": b"content", "free.csv": b"free"}
    assert scene.events() == {"transfer.received": 2}


def test_under_a_hold_elsewhere_directories_can_be_made_and_removed(scene):
    scene.held.add(b"report.csv")
    scene.partner.make_directory(path("/upload/a"))
    scene.partner.rename(path("/upload/a"), path("/upload/b"), replace=False)
    scene.partner.remove_directory(path("/upload/b"))
    assert not (scene.folders.inbound / "b").exists()
    wanted = {"folder.created": 1, "file.renamed": 1, "folder.removed": 1}
    assert wanted.items() <= scene.events().items()


def test_a_directory_with_files_is_not_renamed(scene):
    scene.upload("upload/a/report.csv")
    with pytest.raises(OSError, match="not empty"):
        scene.partner.rename(path("/upload/a"), path("/upload/b"), replace=False)


def test_a_directory_that_cannot_be_recorded_is_not_made(scene, monkeypatch):
    def fail(work):
        raise LedgerError("disk full")

    monkeypatch.setattr(scene.ledger, "write", fail)
    with pytest.raises(LedgerError):
        scene.partner.make_directory(path("/upload/a"))
    assert not (scene.folders.inbound / "a").exists()


@pytest.mark.parametrize("place", ["/receipts/x", "/audit/x", "/upload", "/", "/other/x"])
def test_other_places_are_read_only(scene, place):
    for change in (scene.partner.remove, scene.partner.make_directory, scene.partner.begin):
        with pytest.raises(RefusedError):
            change(path(place))


def test_a_published_file_stays_in_its_folder(scene):
    with pytest.raises(RefusedError) as refusal:
        scene.partner.rename(path("/upload/report.csv"), path("/download/x"), replace=True)
    assert refusal.value.reason == "OTHER_FOLDER"


def test_a_new_time_does_not_make_the_ledger_lose_sight_of_the_file(scene):
    """Clients set the time of what they have uploaded; retention must still know the file."""
    scene.partner.set_attributes(path("/upload/report.csv"), mode=0o600, atime=1, mtime=1_000_000_000)
    status = (scene.folders.inbound / "report.csv").stat()
    assert status.st_mtime == 1_000_000_000
    assert status.st_mode & 0o777 == 0o640
    f = tables.kept_file.c
    with scene.ledger.read() as conn:
        source = conn.scalar(sa.select(f.source))
    assert is_at(scene.places["inbound"], (b"report.csv",), source)


def test_to_read_a_file_is_its_last_access_and_nothing_else_is(scene):
    scene.upload("upload/other.csv", b"other")
    scene.partner.fetched(path("/download/report.csv"), 7, [(0, 7)], "1")
    scene.partner.set_attributes(path("/upload/report.csv"), mode=None, atime=4_102_444_800, mtime=1)
    assert accesses(scene) == {b"report.csv": None, b"other.csv": None}
    before = scene.clock.now()
    scene.partner.fetched(path("/upload/report.csv"), 3, [(1, 2)], "1")
    read = accesses(scene)
    assert before <= read[b"report.csv"] <= scene.clock.now()
    assert read[b"other.csv"] is None


def test_what_is_read_at_the_same_time_is_recorded_together(scene):
    """Each with an event of its own, and as the last access to its file."""
    for number in range(3):
        scene.upload(f"upload/{number}.csv", b"x")
    recorded = []
    reads = Reads("demo", SimpleNamespace(defer=lambda work: recorded.append(work) or Future()))
    before = scene.clock.now()
    for number in range(3):
        event = Event(
            "file.fetched", "demo", {"size": 1, "complete": True}, {"path": f"/upload/{number}.csv"}
        )
        reads.note(event, "inbound", (b"%d.csv" % number,), whole=True)
    reads.note(Event("file.fetched", "demo", {"size": 9}), None, (b"receipt",), whole=True)
    assert len(recorded) == 1
    scene.ledger.write(recorded[0])
    assert scene.events()["file.fetched"] == 4
    read = accesses(scene)
    assert [read[b"%d.csv" % number] >= before for number in range(3)] == [True] * 3
    reads.note(Event("file.fetched", "demo"), None, (b"receipt",), whole=True)
    assert len(recorded) == 2


def accesses(scene):
    scene.flush()
    f = tables.kept_file.c
    with scene.ledger.read() as conn:
        return {row.path: row.accessed_at for row in conn.execute(sa.select(f.path, f.accessed_at))}


def test_attributes_of_what_is_not_there_leave_no_event(scene):
    with pytest.raises(FileNotFoundError):
        scene.partner.set_attributes(path("/upload/none"), mode=0o600, atime=None, mtime=None)
    assert "file.attributes_set" not in scene.events()


def test_of_many_that_remove_one_file_one_succeeds(scene):
    outcomes = []

    def remove():
        try:
            scene.partner.remove(path("/upload/report.csv"))
        except FileNotFoundError:
            outcomes.append("not there")
        else:
            outcomes.append("removed")

    threads = [threading.Thread(target=remove) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["not there"] * 7 + ["removed"]
    assert rows(scene) == [("report.csv", "withdrawn")]
    assert scene.events()["file.withdrawn"] == 1


@pytest.mark.parametrize("replace", [False, True])
def test_a_rename_that_was_cut_off_leaves_one_file_and_its_row_at_one_place(tmp_path, monkeypatch, replace):
    def act(scene):
        scene.upload("upload/report.csv", b"content")
        scene.partner.rename(path("/upload/report.csv"), path("/upload/other.csv"), replace=replace)

    def check(folder, crashed):
        with Scene(folder) as scene:
            scene.recovery.run(scene.queue, {})
            published = contents(scene.folders.inbound)
            assert len(published) <= 1
            assert [("inbound", name) for name in published] == scene.received()
            assert crashed or published == {"other.csv": b"content"}

    assert crash_at_every_step(tmp_path, monkeypatch, act, check) > 8


def test_recovery_replaces_nothing_with_a_rename_that_had_not_happened(tmp_path, monkeypatch):
    with Scene(tmp_path) as scene:
        scene.upload("upload/a", b"a")
        with monkeypatch.context() as patched:
            patched.setattr(durable, "rename", _never(scene.fuse))
            with pytest.raises(Crash):
                scene.partner.rename(path("/upload/a"), path("/upload/b"), replace=False)
        scene.fuse.blown = False
        (scene.folders.inbound / "b").write_bytes(b"b")
    with Scene(tmp_path) as scene:
        assert rows(scene) == [("a", "renaming")]
        scene.recovery.run(scene.queue, {})
        assert contents(scene.folders.inbound) == {"a": b"a", "b": b"b"}
        assert rows(scene) == [("a", "present")]


def test_a_removal_that_was_cut_off_is_done(tmp_path, monkeypatch):
    def act(scene):
        scene.upload("upload/report.csv", b"content")
        scene.partner.remove(path("/upload/report.csv"))

    def check(folder, crashed):
        with Scene(folder) as scene:
            scene.recovery.run(scene.queue, {})
            assert [("inbound", name) for name in contents(scene.folders.inbound)] == scene.received()
            if scene.events()["file.withdrawn"]:
                assert contents(scene.folders.inbound) == {}

    assert crash_at_every_step(tmp_path, monkeypatch, act, check) > 8


def test_one_change_that_cannot_be_ended_does_not_keep_the_next_from_it(scene, monkeypatch):
    scene.upload("upload/other.csv")
    scene.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.update().values(state="withdrawing")))
    refused = []

    def unlink(self, parts):
        if parts == (b"report.csv",):
            refused.append(parts)
            raise PermissionError
        real(self, parts)

    real = Root.unlink
    monkeypatch.setattr(Root, "unlink", unlink)
    scene.recovery.run(scene.queue, {})
    assert refused
    assert sorted(rows(scene)) == [("other.csv", "withdrawn"), ("report.csv", "withdrawing")]


def _never(fuse: Fuse):
    def rename(*args, **options):
        fuse.blown = True
        raise Crash

    return rename


def test_whose_account_is_taken_out_at_its_login_is_denied(scene):
    """A reload ends the sessions that have a partner by then, and this one has it just after."""

    def gone(account):
        assert guard.partner is not None
        raise RefusedError("gone", reason="ACCOUNT_CHANGED")

    pacing = Pacing(scene.clock)
    ports = Ports({}, {}, None, lambda account: scene.partner, gone, scene.ledger, scene.clock, pacing)
    guard = SessionGuard("127.0.0.1", ports, lambda: True)
    answer = guard._decide(Proven(scene.partner.account, "key"))
    assert isinstance(answer, messages.Denied)
    assert guard.partner is None
    assert scene.events()["session.refused"] == 1


@pytest.mark.parametrize(("name", "mode"), [("report.csv", 0o641), ("folder", 0o751)])
def test_modes_leave_the_service_and_its_group_their_access(scene, name, mode):
    scene.partner.make_directory(path("/upload/folder"))
    scene.partner.set_attributes(path(f"/upload/{name}"), mode=0o001, atime=None, mtime=None)
    assert (scene.folders.inbound / name).stat().st_mode & 0o777 == mode
