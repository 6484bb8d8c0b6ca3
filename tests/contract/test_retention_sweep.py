import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta

import pytest
import retention_scene
import sqlalchemy as sa
from retention_scene import OLD, Scene

from sftpd.errors import NotFoundError, RefusedError
from sftpd.files.beneath import Root
from sftpd.ledger import tables
from sftpd.retention import holds
from sftpd.retention.holds import HoldRequest
from sftpd.retention.scope import OfAccount, OfQuery
from sftpd.retention.sweep import _UNSEEN


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.ledger.close()


def place(scene, glob, **values):
    return holds.place(
        scene.ledger, HoldRequest("demo", OfQuery("inbound", glob), "court case", "jan", **values)
    )


def anybody(link):
    """No second person is needed."""
    return False


def events(scene):
    """How many events of each type there are for each file."""
    with scene.ledger.read() as conn:
        leaves = [json.loads(leaf) for leaf in conn.scalars(sa.select(tables.outbox.c.leaf))]
    return Counter((leaf["type"], leaf["data"].get("file")) for leaf in leaves)


def states(scene):
    received = tables.kept_file.c
    with scene.ledger.read() as conn:
        return {row.path: row.state for row in conn.execute(sa.select(received.path, received.state))}


def test_exactly_the_due_files_go_and_a_held_one_stays(scene):
    scene.receive(b"a.csv", b"deep/b.csv", b"c.keep", b"held.csv", b"caf\xe9.csv")
    place(scene, "held.csv")
    results = scene.desk.run(scene.desk.plan().hash)
    assert {result.value for result in results.values()} == {"disposed"}
    assert scene.left() == {b"c.keep", b"held.csv"}
    assert {row.path for row in scene.desk.report()} == {b"a.csv", b"deep/b.csv", b"caf\xe9.csv"}
    assert states(scene)[b"a.csv"] == "disposed"


def test_each_file_has_one_intent_and_one_done_event(scene):
    scene.receive(*(b"%03d" % number for number in range(150)))
    done = scene.desk.run(scene.desk.plan().hash)
    assert len(done) == 150
    assert events(scene) == {
        (kind, file): 1 for kind in ("retention.intended", "retention.done") for file in done
    }


def test_a_leaf_holds_no_name(scene):
    scene.receive(b"jansen.csv")
    place(scene, "jansen*", until=OLD)
    scene.run()
    with scene.ledger.read() as conn:
        assert not any(b"jansen" in leaf for leaf in conn.scalars(sa.select(tables.outbox.c.leaf)))


def test_only_the_plan_that_was_looked_at_is_run(scene):
    scene.receive(b"a.csv")
    planned = scene.desk.plan().hash
    scene.receive(b"b.csv")
    with pytest.raises(RefusedError) as refused:
        scene.desk.run(planned)
    assert refused.value.reason == "PLAN_CHANGED"
    assert scene.left() == {b"a.csv", b"b.csv"}


def test_a_plan_of_one_link_can_be_run_too(scene):
    scene.receive(b"a.csv")
    scene.desk.run(scene.desk.plan("demo").hash)
    assert scene.left() == set()


def test_a_file_that_its_consumer_took_is_absent(scene):
    scene.receive(b"a.csv", b"b.csv")
    (scene.inbound / "a.csv").unlink()
    assert scene.run() == {"a.csv": "absent", "b.csv": "disposed"}
    assert states(scene) == {b"a.csv": "absent", b"b.csv": "disposed"}


def test_another_file_of_the_same_name_stays(scene):
    scene.receive(b"a.csv")
    (scene.inbound / "a.csv").write_bytes(b"somebody's own")
    assert scene.run() == {"a.csv": "changed"}
    assert scene.run() == {"a.csv": "changed"}
    assert scene.left() == {b"a.csv"}


def test_a_link_in_the_place_of_a_file_is_not_followed(scene, tmp_path):
    scene.receive(b"a.csv", b"d/b.csv")
    outside = tmp_path / "outside"
    (scene.inbound / "d").rename(outside)
    (scene.inbound / "d").symlink_to(outside)
    assert scene.run() == {"a.csv": "disposed", "d/b.csv": "failed"}
    assert (outside / "b.csv").exists()


def test_further_hard_links_are_noticed(scene, tmp_path):
    scene.receive(b"a.csv")
    os.link(scene.inbound / "a.csv", tmp_path / "copy")
    assert scene.run() == {"a.csv": "disposed, other hard links remain"}


def test_two_names_of_one_file_are_no_use_of_it(scene):
    firsts = [b"%03d.csv" % number for number in range(0, 400, 2)]
    seconds = [b"%03d.csv" % number for number in range(1, 400, 2)]
    for first, second in zip(firsts, seconds, strict=True):
        scene.receive(first, second)
        (scene.inbound / os.fsdecode(second)).unlink()
        os.link(scene.inbound / os.fsdecode(first), scene.inbound / os.fsdecode(second))
    file = tables.kept_file.c
    with scene.ledger.read() as conn:
        sources = {row.path: row.source for row in conn.execute(sa.select(file.path, file.source))}
    for first, second in zip(firsts, seconds, strict=True):
        to = tables.kept_file.update().where(file.path == second).values(source=sources[first])
        scene.ledger.write(lambda unit, to=to: unit.conn.execute(to))
    came = scene.run()
    assert Counter(came.values()) == {"disposed": 200, "disposed, other hard links remain": 200}
    assert not any(scene.inbound.iterdir())


def test_a_missing_folder_stops_everything(scene, tmp_path):
    scene.receive(b"a.csv")
    scene.inbound.rename(tmp_path / "unmounted")
    with pytest.raises(RefusedError) as refused:
        scene.run()
    assert refused.value.reason == "FOLDER_MISSING"
    assert events(scene) == {("retention.frozen", None): 1}


def test_an_empty_folder_is_not_taken_for_consumed(scene, tmp_path):
    scene.receive(b"a.csv")
    scene.inbound.rename(tmp_path / "unmounted")
    scene.inbound.mkdir()
    assert scene.run() == {}
    assert states(scene) == {b"a.csv": "present"}


def test_a_hold_placed_after_an_intent_still_holds(scene):
    scene.receive(b"a.csv")
    plan = scene.desk.plan()
    scene.desk._sweep._intend(plan.hash, scene.steps())
    place(scene, "*")
    assert [result.value for result in scene.desk.recover().values()] == ["held"]
    assert scene.left() == {b"a.csv"}


def test_a_hold_placed_amid_a_batch_spares_what_is_not_gone_by_the_next_look(scene, monkeypatch):
    scene.receive(*(b"%03d" % number for number in range(3 * _UNSEEN)))
    placed = []

    def unlink(root, parts, real=Root.unlink):
        real(root, parts)
        if not placed:
            placed.append(place(scene, "*"))

    monkeypatch.setattr(Root, "unlink", unlink)
    assert Counter(scene.run().values()) == {"disposed": _UNSEEN, "held": 2 * _UNSEEN}
    assert len(scene.left()) == 2 * _UNSEEN


def test_intents_wait_for_a_folder_that_is_missing(scene, tmp_path):
    scene.receive(b"a.csv")
    scene.desk._sweep._intend(scene.desk.plan().hash, scene.steps())
    scene.inbound.rename(tmp_path / "unmounted")
    assert scene.desk.recover() == {}
    (tmp_path / "unmounted").rename(scene.inbound)
    assert [result.value for result in scene.desk.recover().values()] == ["disposed"]


def test_a_hold_on_an_account_placed_after_an_intent_still_holds(scene):
    scene.receive(b"a.csv", b"b.csv")
    plan = scene.desk.plan()
    a = next(item.file.id for item in scene.desk.items() if item.file.path == b"a.csv")
    scene.sent_by("anna", a)
    scene.desk._sweep._intend(plan.hash, scene.steps())
    holds.place(scene.ledger, HoldRequest("demo", OfAccount("anna"), "court case", "jan"))
    assert sorted(result.value for result in scene.desk.recover().values()) == ["disposed", "held"]
    assert scene.left() == {b"a.csv"}


def test_holds_are_listed_and_released_once(scene):
    scene.receive(b"a.csv")
    hold = place(scene, None)
    assert scene.run() == {}
    holds.release(scene.ledger, hold, "piet", anybody)
    with scene.ledger.read() as conn:
        (listed,) = holds.listed(conn, "demo")
        assert holds.listed(conn, "other") == []
    assert (listed.id, listed.released_by, listed.stands(OLD)) == (hold, "piet", False)
    with pytest.raises(RefusedError):
        holds.release(scene.ledger, hold, "piet", anybody)
    with pytest.raises(NotFoundError):
        holds.release(scene.ledger, "none", "piet", anybody)
    assert scene.run() == {"a.csv": "disposed"}


def test_a_hold_runs_out(scene):
    scene.receive(b"a.csv")
    place(scene, "*", until=OLD + timedelta(days=1))
    assert scene.run() == {}
    scene.clock.time += timedelta(days=1)
    assert scene.run() == {"a.csv": "disposed"}


def test_one_file_can_be_explained(scene):
    scene.receive(b"a.keep")
    item = scene.desk.explain("demo", "inbound", b"a.keep").item
    assert (item.decision.action, item.decision.rule.id) == ("keep", "long")
    assert "not yet due" in item.decision.reason
    with pytest.raises(NotFoundError):
        scene.desk.explain("demo", "inbound", b"none")


def test_a_report_row_says_why_when_and_what(scene):
    scene.receive(b"a.csv")
    scene.run()
    (row,) = (row.as_json() for row in scene.desk.report("demo"))
    assert (row["path"], row["rule"], row["rule_version"], row["result"]) == ("a.csv", "short", 1, "disposed")
    assert row["due"] == "2026-01-01T00:00:05+00:00"
    assert row["reason"].startswith("rule short version 1: received 2026-01-01")
    assert list(scene.desk.report("other")) == []


@pytest.mark.parametrize("when_left", [499, 420, 300, 130])
def test_after_a_kill_recovery_ends_what_was_begun_and_no_more(tmp_path, when_left):
    scene = Scene(tmp_path)
    scene.receive(*(b"%03d" % number for number in range(500)), b"held.csv", b"a.keep")
    place(scene, "held.csv")
    planned = {item.file.id for item in scene.steps()}
    scene.ledger.close()

    child = subprocess.Popen([sys.executable, retention_scene.__file__, str(tmp_path), "1000"])
    while len(os.listdir(scene.inbound)) > when_left + 2 and child.poll() is None:
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()

    scene = Scene(tmp_path)
    scene.desk.recover()
    assert scene.desk.recover() == {}
    scene.run()
    assert scene.left() == {b"held.csv", b"a.keep"}
    expected = {(kind, file): 1 for kind in ("retention.intended", "retention.done") for file in planned}
    assert {key: n for key, n in events(scene).items() if key[1]} == expected
    assert all(row.result in ("disposed", "gone") for row in scene.desk.report())
    scene.ledger.close()
