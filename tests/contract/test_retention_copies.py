"""What goes with a file that is disposed of, on a real ledger and real files, wherever it is cut off."""

import json
import os
import signal
from datetime import timedelta

import pytest
import retention_scene
import sqlalchemy as sa
from retention_scene import OLD, Scene

from sftpd.ledger import tables
from sftpd.retention import holds, removal, unfinished
from sftpd.retention.holds import HoldRequest
from sftpd.retention.scope import OfFolder

PART = "alice/upload/other.tmp"


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.ledger.close()


def staged(scene, content, path=PART):
    part = scene.folder / "staging" / path
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    return part


def failed(scene, name=b"a.csv"):
    scene.receive(name, folder="failed")
    reason = scene.folder / "failed" / f"{name.decode()}.reason.txt"
    reason.write_text("it answers PERMISSION_DENIED\n")
    return reason


def note(scene):
    with scene.roots_of("staging") as area:
        unfinished.note(scene.ledger, "demo", area)


def kept(scene, folder="staging"):
    file = tables.kept_file.c
    query = sa.select(file.path, file.state, file.received_at).where(file.folder == folder)
    with scene.ledger.read() as conn:
        return sorted((row.path.decode(), row.state, row.received_at) for row in conn.execute(query))


def copies(scene):
    """What went with each file, as the report says."""
    rows = [row.as_json() for row in scene.desk.report()]
    return {row["path"]: {copy["path"]: copy["result"] for copy in row["copies"]} for row in rows}


def opened(scene, type):
    """What the events of a type only commit to."""
    with scene.ledger.read() as conn:
        leaves = [json.loads(leaf) for leaf in conn.scalars(sa.select(tables.outbox.c.leaf))]
        events = [leaf["id"] for leaf in leaves if leaf["type"] == type]
        query = sa.select(tables.opening.c.field, tables.opening.c.value)
        rows = conn.execute(query.where(tables.opening.c.event.in_(events)))
        return {row.field: json.loads(row.value) for row in rows}


def test_why_a_file_failed_goes_with_it(scene):
    reason = failed(scene)
    beside = failed(scene, b"b.keep")
    assert scene.run() == {"a.csv": "disposed"}
    assert not reason.exists()
    assert beside.exists()
    assert copies(scene) == {"a.csv": {"failed/a.csv.reason.txt": "disposed"}}


def test_an_unfinished_upload_of_the_same_bytes_goes_with_a_file(scene):
    scene.receive(b"a.csv", b"b.csv")
    same, other = staged(scene, b"a.csv"), staged(scene, b"x.csv", "bob/upload/a.csv")
    beginning = staged(scene, b"b.", "alice/upload/b.csv")
    assert scene.run() == {"a.csv": "disposed", "b.csv": "disposed"}
    assert not same.exists()
    assert other.exists()
    assert beginning.exists()
    assert copies(scene) == {"a.csv": {f"staging/{PART}": "disposed"}, "b.csv": {}}


def test_each_copy_is_named_in_the_events_and_in_no_leaf(scene):
    scene.receive(b"a.csv")
    staged(scene, b"a.csv")
    scene.run()
    assert opened(scene, "retention.intended")["copies"] == [f"staging/{PART}"]
    assert opened(scene, "retention.done")["copies"] == {f"staging/{PART}": "disposed"}
    with scene.ledger.read() as conn:
        assert not any(b"other.tmp" in leaf for leaf in conn.scalars(sa.select(tables.outbox.c.leaf)))


def test_a_copy_that_is_being_written_stays_and_is_told_of(scene):
    scene.receive(b"a.csv")
    part = staged(scene, b"a.csv")
    with part.open("ab"):
        assert scene.run() == {"a.csv": "disposed"}
    assert part.exists()
    assert copies(scene) == {"a.csv": {f"staging/{PART}": "in_use"}}


def test_a_copy_under_a_hold_stays_and_is_told_of(scene):
    scene.receive(b"a.csv")
    part = staged(scene, b"a.csv")
    holds.place(scene.ledger, HoldRequest("demo", OfFolder("staging"), "court case", "jan"))
    assert scene.run() == {"a.csv": "disposed"}
    assert part.exists()
    assert copies(scene) == {"a.csv": {f"staging/{PART}": "held"}}


def test_what_goes_with_a_file_that_stays_stays(scene):
    reason = failed(scene)
    (scene.folder / "failed" / "a.csv").write_bytes(b"somebody's own")
    assert scene.run() == {"a.csv": "changed"}
    assert reason.exists()
    assert copies(scene) == {"a.csv": {"failed/a.csv.reason.txt": None}}


def test_a_file_that_comes_back_is_not_disposed_of(scene, monkeypatch, tmp_path):
    """As a network file system does whose removal was not carried out at the server."""
    scene.receive(b"a.csv", b"b.csv")
    os.link(scene.inbound / "a.csv", tmp_path / "saved")
    synced = removal.make_durable

    def take_back(removed):
        synced(removed)
        (tmp_path / "saved").rename(scene.inbound / "a.csv")

    monkeypatch.setattr("sftpd.retention.sweep.make_durable", take_back)
    assert scene.run() == {"a.csv": "failed", "b.csv": "disposed"}
    assert {name: state for name, state, _ in kept(scene, "inbound")} == {
        "a.csv": "present",
        "b.csv": "disposed",
    }


def test_an_unfinished_upload_is_kept_since_nobody_has_written_to_it(scene):
    part = staged(scene, b"half")
    staged(scene, b"ended", "alice/upload/ended.csv")
    note(scene)
    assert kept(scene) == [("alice/upload/ended.csv", "present", OLD), (PART, "present", OLD)]
    scene.clock.time += timedelta(days=1)
    note(scene)
    assert {since for _, _, since in kept(scene)} == {OLD}
    part.write_bytes(b"half and more")
    (scene.folder / "staging/alice/upload/ended.csv").unlink()
    note(scene)
    later = OLD + timedelta(days=1)
    assert kept(scene) == [
        ("alice/upload/ended.csv", "absent", OLD),
        (PART, "present", later),
    ]


def test_the_schedule_takes_unfinished_uploads_away(scene):
    """The rule covers the account's parts alone."""
    mine, theirs = staged(scene, b"half"), staged(scene, b"half", "bob/upload/x")
    scene.desk.run_due()
    assert {path for path, _, _ in kept(scene)} == {PART, "bob/upload/x"}
    scene.clock.time += timedelta(days=1)
    with mine.open("rb"):
        scene.desk.run_due()
    assert mine.exists()
    scene.desk.run_due()
    assert not mine.exists()
    assert theirs.exists()


def killed(stage, folder, at):
    """Run everything in a process that is killed at its `at`-th step; whether it was."""
    ended = stage.play(folder, 1000, at)
    assert ended.status in (0, -signal.SIGKILL), ended.errors
    return ended.status != 0


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_every_copy_goes_wherever_a_run_is_killed(tmp_path, stage_of, every):
    stage = stage_of(retention_scene)
    at, was_killed = 0, True
    while was_killed:
        folder = tmp_path / str(at)
        folder.mkdir()
        scene = Scene(folder)
        scene.receive(b"a.csv", b"deep/b.csv")
        reason, part = failed(scene, b"c.csv"), staged(scene, b"a.csv")
        again = staged(scene, b"a.csv", "alice/upload/again.tmp")
        scene.ledger.close()

        was_killed = killed(stage, folder, at)
        scene = Scene(folder)
        scene.desk.recover()
        scene.run()
        assert [path for path in folder.rglob("*.*") if path.suffix in (".csv", ".txt", ".tmp")] == []
        assert not any(path.exists() for path in (reason, part, again))
        results = [row.result for row in scene.desk.report()]
        results += [result for told in copies(scene).values() for result in told.values()]
        assert len(results) == 6
        assert set(results) <= {"disposed", "gone"}
        done = [leaf for leaf in leaves(scene) if leaf["type"] == "retention.done"]
        assert len(done) == len({leaf["data"]["file"] for leaf in done}) == 3
        scene.ledger.close()
        at += every
    assert at > 15


def leaves(scene):
    with scene.ledger.read() as conn:
        return [json.loads(leaf) for leaf in conn.scalars(sa.select(tables.outbox.c.leaf))]
