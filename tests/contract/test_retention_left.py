"""Files that are due and stay: told of once, tried again while that may help, and seen until they go."""

import json
import os
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa
from namespaces import run_apart
from retention_scene import RULES, Scene

from sftpd.ledger import tables
from sftpd.periods import Period
from sftpd.retention import left
from sftpd.retention.guards import Bounds
from sftpd.retention.rule import Rule, Term

NIGHT = timedelta(days=1)
COVERED = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, "contract")
from retention_scene import Scene
from test_retention_left import nights, results, standing

scene = Scene(Path(sys.argv[1]))
for folder in ("staging", "staging of the other link"):
    (scene.folder / folder).mkdir()
scene.receive(b"a.keep", b"deep/b.csv")
empty = scene.folder / "empty"
empty.mkdir()
subprocess.run(["mount", "--bind", empty, scene.inbound / "deep"], check=True)
print(nights(scene, 5), standing(scene))
subprocess.run(["umount", scene.inbound / "deep"], check=True)
print(nights(scene, 5), results(scene))
"""


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.ledger.close()


def nights(scene, number):
    """Let the schedule run in so many nights; returns how many rows and events that added."""
    before = counted(scene)
    for _ in range(number):
        scene.desk.run_due()
        scene.clock.time += NIGHT
    return dict(sorted((counted(scene) - before).items()))


def counted(scene):
    """How many rows of disposals there are, and events of retention by their types."""
    with scene.ledger.read() as conn:
        leaves = [json.loads(leaf) for leaf in conn.scalars(sa.select(tables.outbox.c.leaf))]
        rows = conn.scalar(sa.select(sa.func.count()).select_from(tables.disposal))
    types = (leaf["type"].removeprefix("retention.") for leaf in leaves)
    return Counter(kind for kind in types if kind in ("intended", "done")) + Counter(rows=rows)


def results(scene):
    """What came of each file, oldest first."""
    return [(row.path.decode(), row.result) for row in scene.desk.report()]


def standing(scene):
    with scene.ledger.read() as conn:
        return left.counted(conn)


def changed(scene, name):
    (scene.inbound / name).write_bytes(b"somebody's own")


ONCE = {"done": 1, "intended": 1, "rows": 1}


def test_a_file_that_its_consumer_changed_is_told_of_once(scene):
    scene.receive(b"a.csv")
    changed(scene, "a.csv")
    assert nights(scene, 30) == ONCE
    assert results(scene) == [("a.csv", "changed")]
    assert standing(scene) == {"demo changed": 1}
    assert scene.left() == {b"a.csv"}


def test_other_files_of_other_nights_tell_of_it_no_more(scene):
    scene.receive(b"a.csv")
    changed(scene, "a.csv")
    for number in range(5):
        scene.receive(b"%d.csv" % number)
        nights(scene, 1)
    assert Counter(results(scene)) == {
        ("a.csv", "changed"): 1,
        **{(f"{number}.csv", "disposed"): 1 for number in range(5)},
    }


def test_the_report_of_each_run_has_what_that_run_did(scene):
    scene.receive(b"a.csv", b"b.csv")
    changed(scene, "a.csv")
    nights(scene, 1)
    scene.receive(b"c.csv")
    nights(scene, 1)
    plans = list(dict.fromkeys(row.plan for row in scene.desk.report()))
    told = [{row.path: row.result for row in scene.desk.report(plan_hash=plan)} for plan in plans]
    assert told == [{b"a.csv": "changed", b"b.csv": "disposed"}, {b"c.csv": "disposed"}]


def test_the_report_of_what_is_left_has_the_last_try_of_each_file(scene):
    scene.receive(b"a.csv", b"b.csv", b"c.csv")
    changed(scene, "a.csv")
    with (scene.inbound / "b.csv").open("rb"):
        nights(scene, 2)
        changed(scene, "b.csv")
        nights(scene, 2)
        told = [(row.path, row.result) for row in scene.desk.report_left()]
    assert told == [(b"a.csv", "changed"), (b"b.csv", "changed")]
    assert list(scene.desk.report_left("other")) == []
    assert [row.path for row in scene.desk.report_left(newest=1)] == [b"b.csv"]
    (scene.inbound / "a.csv").unlink()
    nights(scene, 1)
    assert [row.path for row in scene.desk.report_left()] == [b"b.csv"]


def test_a_changed_file_that_goes_is_told_of_again(scene):
    scene.receive(b"a.csv", b"b.keep")
    changed(scene, "a.csv")
    nights(scene, 3)
    (scene.inbound / "a.csv").unlink()
    assert nights(scene, 3) == ONCE
    assert results(scene) == [("a.csv", "changed"), ("a.csv", "absent")]
    assert standing(scene) == {}


def test_a_changed_file_that_is_what_was_received_once_more_goes(scene):
    scene.receive(b"a.csv")
    path = scene.inbound / "a.csv"
    was = path.stat()
    os.utime(path, (1, 1))
    nights(scene, 3)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert nights(scene, 3) == ONCE
    assert results(scene) == [("a.csv", "changed"), ("a.csv", "disposed")]


def test_a_file_in_use_is_told_of_once_and_goes_when_it_is_closed(scene):
    scene.receive(b"a.csv")
    with (scene.inbound / "a.csv").open("rb"):
        assert nights(scene, 10) == ONCE
        assert standing(scene) == {"demo in_use": 1}
    assert nights(scene, 3) == ONCE
    assert results(scene) == [("a.csv", "in_use"), ("a.csv", "disposed")]


def test_a_file_in_use_that_is_changed_is_told_of_as_that(scene):
    scene.receive(b"a.csv")
    with (scene.inbound / "a.csv").open("rb"):
        nights(scene, 2)
        changed(scene, "a.csv")
        nights(scene, 2)
    assert results(scene) == [("a.csv", "in_use"), ("a.csv", "changed")]
    assert standing(scene) == {"demo changed": 1}


def test_a_file_that_is_mounted_over_is_told_of_once_and_goes_when_it_is_seen(tmp_path):
    first, last = [line for line in run_apart(COVERED, tmp_path) if line.startswith("{")]
    assert first == f"{ONCE} {{'demo covered': 1}}"
    assert last == f"{ONCE} {[('deep/b.csv', 'covered'), ('deep/b.csv', 'disposed')]}"


def test_a_copy_in_a_vault_that_cannot_be_opened_is_tried_ever_more_rarely(scene):
    scene.receive(b"a.csv", folder="vault")
    copies = Rule("copies", 1, "demo", "vault", "*", RULES[0].term, "dispose", "order 9", RULES[0].zone)
    scene.under(copies)
    assert nights(scene, 10) == {"rows": 5, "intended": 5, "done": 5}
    assert standing(scene) == {"demo failed": 1}


def test_what_a_crash_interrupted_is_ended_before_files_that_stay_are_looked_at(scene):
    scene.receive(b"a.csv", b"b.csv")
    changed(scene, "a.csv")
    nights(scene, 2)
    plan = scene.desk.plan()
    scene.desk._sweep._intend(plan.hash, scene.steps())
    scene.receive(b"c.csv")
    assert nights(scene, 2) == {"rows": 1, "intended": 1, "done": 2}
    assert Counter(results(scene)) == {
        ("a.csv", "changed"): 2,
        ("b.csv", "disposed"): 1,
        ("c.csv", "disposed"): 1,
    }


def test_a_file_that_fails_is_tried_ever_more_rarely(scene, tmp_path):
    scene.receive(b"d/a.csv")
    (scene.inbound / "d").rename(tmp_path / "outside")
    (scene.inbound / "d").symlink_to(tmp_path / "outside")
    assert nights(scene, 40) == {"rows": 7, "intended": 7, "done": 7}
    tried = [row.intended_at for row in scene.desk.report()]
    assert [(each - tried[0]).days for each in tried] == [0, 1, 2, 4, 8, 16, 32]
    (scene.inbound / "d").unlink()
    (tmp_path / "outside").rename(scene.inbound / "d")
    nights(scene, 32)
    assert results(scene)[-1] == ("d/a.csv", "disposed")


def test_a_run_by_hand_tries_each_file_and_tells_of_it(scene):
    scene.receive(b"a.csv")
    changed(scene, "a.csv")
    nights(scene, 3)
    assert scene.run() == {"a.csv": "changed"}
    assert nights(scene, 3) == {}
    assert results(scene) == [("a.csv", "changed")] * 2


def test_under_another_version_of_its_rule_it_is_told_of_anew(scene):
    scene.receive(b"a.csv")
    changed(scene, "a.csv")
    nights(scene, 3)
    short = RULES[0]
    scene.under(Rule("short", 2, "demo", "inbound", "a*", short.term, "dispose", "order 9", short.zone))
    assert nights(scene, 3) == ONCE
    assert [row.rule_version for row in scene.desk.report()] == [1, 2]


def test_a_file_that_is_to_be_reviewed_now_waits_for_that(scene):
    scene.receive(b"a.csv")
    changed(scene, "a.csv")
    nights(scene, 2)
    term = Term(Period.parse("PT5S"))
    scene.under(Rule("ask", 1, "demo", "inbound", "a*", term, "review", "order 9", RULES[0].zone))
    nights(scene, 2)
    assert [item.file.path for item, since in scene.desk.waiting() if since is not None] == [b"a.csv"]


def test_what_stays_does_not_count_for_the_volume_of_a_run(scene):
    scene.bounds = Bounds(unremarkable=3)
    scene.under()
    for number in range(6):
        scene.receive(b"%d.csv" % number)
        changed(scene, f"{number}.csv")
        nights(scene, 1)
    assert scene.desk.frozen() == []
    assert standing(scene) == {"demo changed": 6}
