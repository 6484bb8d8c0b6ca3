"""The review queue on a real ledger: who is asked, what each answer comes to, and when it counts no more."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from retention_scene import OLD, ZONE, At, Scene

from sftpd.errors import NotFoundError, RefusedError, UsageError
from sftpd.ledger import tables
from sftpd.periods import Period
from sftpd.retention import holds, reviews
from sftpd.retention.holds import HoldRequest
from sftpd.retention.rule import Rule, Term
from sftpd.retention.scope import OfQuery

RULE = Rule("look", 1, "demo", "inbound", "*.look", Term(Period.parse("PT5S")), "review", "agreement", ZONE)
WEEK = timedelta(days=7)


def in_a_week(now, _zone):
    return now + WEEK


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    scene.under(RULE)
    scene.receive(b"a.look", b"b.csv")
    yield scene
    scene.ledger.close()


def queue(scene):
    return {item.file.name.decode(): item.file.id for item, _ in scene.desk.waiting()}


def answer(scene, said, until=in_a_week, reason="seen", name="a.look"):
    with scene.ledger.read() as conn:
        file = tables.kept_file.c
        found = conn.scalar(sa.select(file.id).where(file.path == name.encode()))
    return scene.desk.review(found, said, None if said == "approved" else until, reason, "Ina")


def decision(scene):
    return scene.desk.explain("demo", "inbound", b"a.look").item.decision


def told(scene, start="retention.review"):
    with scene.ledger.read() as conn:
        leaves = [json.loads(leaf) for leaf in conn.scalars(sa.select(tables.outbox.c.leaf))]
    return [leaf["data"] for leaf in leaves if leaf["type"].startswith(start)]


def count(scene):
    with scene.ledger.read() as conn:
        return reviews.waiting_by_link(conn)


def test_a_due_file_waits_in_the_queue_and_is_told_of_once(scene):
    assert queue(scene).keys() == {"a.look"}
    assert count(scene) == {}
    scene.desk.run_due()
    scene.clock.time += timedelta(days=1)
    scene.desk.run_due()
    (asked,) = told(scene)
    assert (asked["rule"], asked["rule_version"], asked["file"]) == ("look", 1, queue(scene)["a.look"])
    assert [since for _, since in scene.desk.waiting()] == [OLD]
    assert count(scene) == {"demo": 1}
    assert scene.left() == {b"a.look"}


def test_an_approved_file_goes_with_the_next_run(scene):
    item = answer(scene, "approved", reason="nobody needs it")
    assert item.decision.action == "dispose"
    assert item.decision.reason.endswith("due; approved by Ina: nobody needs it")
    assert queue(scene) == {}
    assert scene.run() == {"a.look": "disposed", "b.csv": "disposed"}
    reasons = {row.path: row.reason for row in scene.desk.report()}
    assert reasons[b"a.look"].endswith("; approved by Ina: nobody needs it")


@pytest.mark.parametrize("said", ["extended", "rejected"])
def test_a_file_that_stays_is_asked_about_again(scene, said):
    scene.desk.run_due()
    item = answer(scene, said)
    assert item.decision.action == "keep"
    assert f"{said} by Ina until {(OLD + WEEK).isoformat()}: seen" in item.decision.reason
    scene.desk.run_due()
    assert count(scene) == {}
    scene.clock.time += WEEK - timedelta(seconds=1)
    assert queue(scene) == {}
    scene.clock.time += timedelta(seconds=1)
    assert queue(scene).keys() == {"a.look"}
    scene.desk.run_due()
    assert count(scene) == {"demo": 1}
    assert len(told(scene)) == 2
    assert scene.left() == {b"a.look"}


def test_an_answer_under_another_version_of_the_rule_counts_no_more(scene):
    scene.desk.run_due()
    answer(scene, "approved")
    scene.under(replace(RULE, version=2))
    assert queue(scene).keys() == {"a.look"}
    scene.desk.run_due()
    assert [asked["rule_version"] for asked in told(scene)] == [1, 2]
    assert scene.left() == {b"a.look"}


def test_an_answer_under_another_rule_counts_no_more(scene):
    answer(scene, "approved")
    scene.under(replace(RULE, id="another"))
    assert queue(scene).keys() == {"a.look"}


def test_an_approval_can_be_taken_back_until_the_run(scene):
    answer(scene, "approved")
    planned = scene.desk.plan().hash
    answer(scene, "rejected", reason="a mistake")
    with pytest.raises(RefusedError) as refused:
        scene.desk.run(planned)
    assert refused.value.reason == "PLAN_CHANGED"
    assert scene.run() == {"b.csv": "disposed"}


def test_a_hold_beats_an_approval(scene):
    answer(scene, "approved")
    holds.place(scene.ledger, HoldRequest("demo", OfQuery(glob="a.look"), "court case", "jan"))
    assert decision(scene).action == "keep"
    assert scene.run() == {"b.csv": "disposed"}


def test_an_approved_file_that_is_another_by_now_stays(scene):
    answer(scene, "approved")
    (scene.inbound / "a.look").write_bytes(b"somebody's own")
    assert scene.run() == {"a.look": "changed", "b.csv": "disposed"}


def test_only_what_is_to_be_reviewed_is_decided_on(scene):
    scene.receive(b"c.keep")
    for name in ("b.csv", "c.keep"):
        with pytest.raises(RefusedError) as refused:
            answer(scene, "approved", name=name)
        assert refused.value.reason == "NOT_IN_REVIEW"
    with pytest.raises(NotFoundError):
        scene.desk.review("nonesuch", "approved", None, "seen", "Ina")
    with pytest.raises(UsageError, match="has passed"):
        answer(scene, "extended", lambda now, zone: now)
    assert told(scene, "retention.") == []


def test_each_answer_is_an_event_that_names_nobody(scene):
    answer(scene, "extended")
    answer(scene, "rejected")
    answer(scene, "approved")
    events = [told(scene, f"retention.{said}") for said in ("extended", "rejected", "approved")]
    assert [len(found) for found in events] == [1, 1, 1]
    assert [found[0]["until"] for found in events] == [(OLD + WEEK).isoformat()] * 2 + [None]
    with scene.ledger.read() as conn:
        leaves = list(conn.scalars(sa.select(tables.outbox.c.leaf)))
    assert not any(word in leaf for leaf in leaves for word in (b"Ina", b"a.look", b"seen"))


def test_a_file_that_its_consumer_took_waits_no_more(scene):
    scene.desk.run_due()
    scene.receive(b"z.look")
    (scene.inbound / "a.look").unlink()
    answer(scene, "approved")
    scene.desk.run_due()
    assert queue(scene).keys() == {"z.look"}
    assert count(scene) == {"demo": 1}


def test_decisions_outlive_a_restart(tmp_path):
    scene = Scene(tmp_path)
    scene.under(RULE)
    scene.receive(b"a.look")
    answer(scene, "extended")
    scene = scene.again(At())
    scene.under(RULE)
    assert (queue(scene), decision(scene).action) == ({}, "keep")
    scene.ledger.close()


def test_the_explanation_tells_of_the_review(scene):
    def told_of():
        chain = scene.desk.explain("demo", "inbound", b"a.look").chain
        return [step.says for step in chain if step.step in ("review", "decision")]

    assert told_of()[0] == "nobody has decided on it under this version"
    answer(scene, "approved")
    assert told_of() == ["approved by Ina: seen", "dispose: it was approved by Ina: seen"]
