"""Files that are given back: moved once to where the partner finds them, and gone when it has them."""

import json
import signal
from dataclasses import replace
from datetime import timedelta

import pytest
import retention_scene
import sqlalchemy as sa
from retention_scene import OLD, RULES, Scene

from sftpd.exchange import records
from sftpd.ledger import tables
from sftpd.retention import holds
from sftpd.retention.holds import HoldRequest
from sftpd.retention.scope import OfQuery

BACK = next(rule for rule in RULES if rule.id == "back")
MONTH = timedelta(days=31)
"""More than the 30 civil days that a file waits to be fetched."""


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    (tmp_path / "download").mkdir()
    yield scene
    scene.ledger.close()


def offered(scene):
    root = scene.folder / "download/returned"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def fetch(scene, path=b"a.back", *, whole=True):
    parts = (b"returned", *path.split(b"/"))
    scene.ledger.write(lambda unit: records.accessed(unit, "demo", [("download", parts, whole)]))


def decision(scene, path=b"a.back"):
    return scene.desk.explain("demo", "inbound", path).item.decision


def done(scene):
    """The results in the events, in their order."""
    with scene.ledger.read() as conn:
        leaves = [json.loads(leaf) for leaf in conn.scalars(sa.select(tables.outbox.c.leaf))]
    return [(leaf["data"]["action"], leaf["data"]["result"]) for leaf in leaves if "result" in leaf["data"]]


def test_a_due_file_is_offered_to_the_partner(scene):
    scene.receive(b"deep/a.back", b"b.keep")
    assert scene.run() == {"deep/a.back": "returned"}
    assert offered(scene) == {"deep/a.back": b"deep/a.back"}
    assert scene.left() == {b"b.keep"}
    kept = decision(scene, b"deep/a.back")
    assert kept.action == "keep"
    assert kept.reason.endswith(
        f"given back as /download/returned/deep/a.back {OLD.isoformat()}, not fetched"
    )
    assert scene.run() == {}
    (row,) = (row.as_json() for row in scene.desk.report())
    assert (row["action"], row["folder"], row["result"]) == ("return", "inbound", "returned")


def test_once_it_was_fetched_whole_it_is_disposed_of(scene):
    scene.receive(b"a.back")
    scene.run()
    fetch(scene, whole=False)
    assert decision(scene).action == "keep"
    fetch(scene)
    assert decision(scene).action == "dispose"
    assert set(scene.run().values()) == {"disposed"}
    assert offered(scene) == {}
    assert done(scene) == [("return", "returned"), ("dispose", "disposed")]
    assert list(scene.desk.items()) == []


def test_what_nobody_fetches_waits_for_as_long_as_the_rule_says(scene):
    scene.receive(b"a.back")
    scene.run()
    scene.clock.time += timedelta(days=30)
    scene.run()
    assert offered(scene).keys() == {"a.back"}
    scene.clock.time += timedelta(days=1)
    scene.run()
    assert offered(scene) == {}


def test_a_name_that_is_taken_is_numbered(scene):
    scene.receive(b"a.back")
    taken = scene.folder / "download/returned/a.back"
    taken.parent.mkdir()
    taken.write_bytes(b"another")
    scene.run()
    assert offered(scene) == {"a.back": b"another", "a.1.back": b"a.back"}


@pytest.mark.parametrize("folder", ["inbound", "download", None])
def test_a_hold_keeps_a_file_here_and_in_download(scene, folder):
    scene.receive(b"a.back", b"b.back")
    held = HoldRequest("demo", OfQuery("inbound", "b.back"), "court case", "jan")
    holds.place(scene.ledger, held)
    assert scene.run() == {"a.back": "returned"}
    holds.place(scene.ledger, HoldRequest("demo", OfQuery(folder, "a.back"), "court case", "jan"))
    fetch(scene)
    assert decision(scene).action == "keep"
    scene.clock.time += MONTH
    assert scene.run() == {}
    assert offered(scene).keys() == {"a.back"}
    assert scene.left() == {b"b.back"}


def test_only_what_the_partner_sent_is_given_back(scene):
    scene.under(replace(BACK, folder=None))
    scene.receive(b"x.back", folder="quarantine")
    assert [item.decision.action for item in scene.desk.items()] == ["return"]
    assert scene.run() == {}
    assert (scene.folder / "quarantine/x.back").exists()


def test_another_file_of_the_name_is_not_given_back(scene):
    scene.receive(b"a.back", b"b.back")
    (scene.inbound / "a.back").write_bytes(b"somebody's own")
    (scene.inbound / "b.back").unlink()
    assert scene.run() == {"a.back": "changed", "b.back": "absent"}
    assert scene.left() == {b"a.back"}


def test_a_newer_file_of_the_name_is_another_one(scene):
    scene.receive(b"a.back")
    scene.run()
    scene.receive(b"a.back")
    assert sorted(item.decision.action for item in scene.desk.items()) == ["keep", "return"]
    assert decision(scene).action == "return"
    scene.run()
    assert offered(scene).keys() == {"a.back", "a.1.back"}


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_a_file_is_given_back_once_wherever_a_run_is_killed(tmp_path, stage_of, every):
    stage = stage_of(retention_scene)
    at, was_killed = 0, True
    while was_killed:
        folder = tmp_path / str(at)
        (folder / "download").mkdir(parents=True)
        scene = Scene(folder)
        scene.receive(b"a.back", b"deep/b.back")
        scene.ledger.close()

        ended = stage.play(folder, 1000, at)
        was_killed = ended.status == -signal.SIGKILL
        assert was_killed or ended.status == 0, ended.errors
        scene = Scene(folder)
        scene.desk.recover()
        scene.run()
        assert offered(scene) == {"a.back": b"a.back", "deep/b.back": b"deep/b.back"}
        assert scene.left() == set()
        assert done(scene) == [("return", "returned")] * 2
        fetch(scene)
        fetch(scene, b"deep/b.back")
        scene.run()
        assert offered(scene) == {}
        scene.ledger.close()
        at += every
    assert at > 8
