"""Standing approvals on a real ledger and real files: what the schedule may run without anybody looking."""

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from retention_scene import RULES, ZONE, Scene

from sftpd.errors import NotFoundError, RefusedError, UsageError
from sftpd.ledger import tables
from sftpd.periods import Period
from sftpd.retention import versions
from sftpd.retention.guards import Bounds
from sftpd.retention.rule import Rule, Term

NEEDED = Bounds(unremarkable=1000, standing_approval=True)
OTHER = Rule("other", 1, "demo", "inbound", "*.other", Term(Period.parse("PT5S")), "dispose", "order 8", ZONE)
RULE = next(rule for rule in RULES if rule.link == "demo" and rule.action == "dispose")


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path, bounds=NEEDED)
    scene.receive(b"a.csv", b"b.csv")
    yield scene
    scene.ledger.close()


def give(scene, *rules, files=None, until=None):
    return scene.desk.approve("demo", rules, files, until, "authority 7", "Ina")


def frozen(scene):
    return [(str(freeze.scope), freeze.reason.code) for freeze in scene.desk.frozen()]


def told(scene, *types):
    with scene.ledger.read() as conn:
        leaves = [json.loads(leaf) for leaf in conn.scalars(sa.select(tables.outbox.c.leaf))]
    return [leaf["data"] for leaf in leaves if leaf["type"].removeprefix("retention.") in types]


def test_the_schedule_runs_nothing_that_nobody_approved(scene):
    scene.desk.run_due()
    scene.desk.run_due()
    assert scene.left() == {b"a.csv", b"b.csv"}
    assert frozen(scene) == [("demo", "APPROVAL_MISSING")]
    assert [event["reasons"] for event in told(scene, "frozen")] == [["APPROVAL_MISSING"]]
    give(scene)
    scene.desk.run_due()
    assert scene.left() == set()
    assert frozen(scene) == []


def test_each_run_names_the_approval_that_it_rests_on(scene):
    approval = give(scene)
    planned = scene.desk.plan("demo").hash
    scene.desk.run_due()
    (event,) = told(scene, "run_approved")
    assert (event["approval"], event["plan"], event["files"]) == (approval.id, planned, 2)


def test_who_has_seen_the_plan_may_run_it_without_an_approval(scene):
    scene.desk.run_due()
    assert scene.desk.against(scene.desk.plan()) == []
    assert scene.run() == {"a.csv": "disposed", "b.csv": "disposed"}
    scene.desk.run_due()
    assert frozen(scene) == [("demo", "APPROVAL_MISSING")]


def test_a_run_beyond_the_limits_takes_nothing(scene):
    give(scene, files=1)
    scene.desk.run_due()
    assert scene.left() == {b"a.csv", b"b.csv"}
    assert frozen(scene) == [("demo", "APPROVAL_EXCEEDED")]
    give(scene, files=2)
    scene.desk.run_due()
    assert scene.left() == set()


def test_an_approval_ends(scene):
    give(scene, until=scene.clock.now() + timedelta(hours=1))
    scene.clock.time += timedelta(hours=1)
    scene.desk.run_due()
    assert frozen(scene) == [("demo", "APPROVAL_ENDED")]
    assert scene.left() == {b"a.csv", b"b.csv"}


def test_a_rule_that_is_new_is_not_approved(scene):
    give(scene)
    scene.receive(b"c.other")
    scene.under(OTHER)
    scene.desk.run_due()
    assert scene.left() == {b"a.csv", b"b.csv", b"c.other"}
    give(scene, RULE.id)
    scene.desk.run_due()
    assert frozen(scene) == [("demo", "APPROVAL_EXCEEDED")]
    give(scene, RULE.id, "other")
    scene.desk.run_due()
    assert scene.left() == set()


def test_the_limits_hold_also_where_no_approval_is_needed(tmp_path):
    scene = Scene(tmp_path)
    scene.receive(b"a.csv")
    give(scene, until=scene.clock.now() + timedelta(seconds=1))
    scene.clock.time += timedelta(seconds=1)
    scene.desk.run_due()
    assert scene.left() == {b"a.csv"}
    assert scene.desk.withdraw("demo", "revoked", "Joop").by == "Ina"
    scene.desk.run_due()
    assert (scene.left(), frozen(scene)) == (set(), [])
    scene.ledger.close()


def test_one_approval_stands_and_is_withdrawn_once(scene):
    first, second = give(scene), give(scene, RULE.id, files=7)
    assert scene.desk.approvals() == [second]
    assert scene.desk.approvals("other") == []
    scene.desk.withdraw("demo", "revoked", "Joop")
    assert scene.desk.approvals() == []
    with pytest.raises(NotFoundError, match="no standing approval"):
        scene.desk.withdraw("demo", "revoked", "Joop")
    given = told(scene, "approval_given", "approval_withdrawn")
    assert [event["approval"] for event in given] == [first.id, second.id, second.id]


def test_what_an_approval_lacks_cannot_be_confirmed(scene):
    scene.desk.run_due()
    with pytest.raises(RefusedError, match="nobody has approved") as caught:
        scene.desk.unfreeze("demo", "Ina", "because")
    assert caught.value.reason == "APPROVAL_MISSING"
    assert frozen(scene) == [("demo", "APPROVAL_MISSING")]


def test_only_rules_of_the_link_and_times_to_come_can_be_approved(scene):
    with pytest.raises(UsageError, match="no rule nothing"):
        give(scene, "nothing")
    with pytest.raises(UsageError, match="no retention rules"):
        scene.desk.approve("elsewhere", (), None, None, "authority 7", "Ina")
    with pytest.raises(UsageError, match="has passed"):
        give(scene, until=scene.clock.now())
    assert scene.desk.approvals() == []


def test_a_version_stays_what_it_was_when_it_was_first_used(scene):
    later = replace(RULE, version=4, effective=date(2026, 1, 1))
    shorter = replace(RULE, glob="*.csv")
    scene.ledger.write(lambda unit: versions.enter(unit, [*RULES, later]))
    scene.ledger.write(lambda unit: versions.enter(unit, [*RULES, shorter]))

    def changed(*rules):
        with scene.ledger.read() as conn:
            return versions.changed(conn, rules)

    assert changed(*RULES, later, OTHER) == []
    assert changed(shorter) == [(shorter, 5)]
    assert changed(shorter, later) == [(shorter, None)]
    assert changed(replace(shorter, version=5), replace(shorter, link="elsewhere")) == []
