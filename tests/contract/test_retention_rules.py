"""What the rules of retention count from, as the ledger has it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from retention_scene import OLD, RECEIVED, ZONE, Scene

from sftpd.ledger import tables
from sftpd.link.lifecycle import LinkState
from sftpd.periods import Period
from sftpd.retention.desk import closings
from sftpd.retention.explain import explain
from sftpd.retention.in_care import kept_files, rows
from sftpd.retention.reckoning import reckon
from sftpd.retention.rule import LastAccess, LinkClosed, Rule, Term
from sftpd.retention.schedule import Schedule

DAY = timedelta(days=1)


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.ledger.close()


def rule(trigger, name="r", **values):
    term = Term(Period.parse("P1Y"), trigger)
    return Rule(name, 1, "demo", "inbound", "*", term, "dispose", "agreement", ZONE, **values)


def schedule(scene, *rules, now=OLD):
    with scene.ledger.read() as conn:
        return Schedule(rules, [], now, closings(conn))


def only_file(scene):
    with scene.ledger.read() as conn:
        (file,) = kept_files(conn, with_peers=True)
    return file


def write(scene, *statements):
    def work(unit):
        for statement in statements:
            unit.conn.execute(statement)

    scene.ledger.write(work)


def test_the_last_access_is_read_from_the_ledger(scene):
    scene.receive(b"a.csv")
    read = RECEIVED + 300 * DAY
    write(scene, tables.kept_file.update().values(accessed_at=read))
    decision = schedule(scene, rule(LastAccess())).decide(only_file(scene))
    assert decision.due.astimezone(ZONE).date() == (read + 366 * DAY).astimezone(ZONE).date()
    assert f"last read {read.isoformat(timespec='seconds')}" in decision.reason


def test_a_link_that_is_not_closed_keeps_what_waits_for_that(scene):
    scene.receive(b"a.csv")
    for state in (LinkState.ACTIVE, LinkState.SUSPENDED):
        write(
            scene,
            tables.link.delete(),
            tables.link.insert().values(name="demo", state=state, since=RECEIVED),
        )
        decision = schedule(scene, rule(LinkClosed()), now=OLD + 9000 * DAY).decide(only_file(scene))
        assert (decision.action, decision.due) == ("keep", None)
        assert "link not closed" in decision.reason


@pytest.mark.parametrize("state", [LinkState.CLOSING, LinkState.CLOSED])
def test_a_closed_link_starts_the_period(scene, state):
    scene.receive(b"a.csv")
    closed = RECEIVED + 100 * DAY
    write(scene, tables.link.insert().values(name="demo", state=state, since=closed))
    decision = schedule(scene, rule(LinkClosed())).decide(only_file(scene))
    assert decision.action == "dispose"
    assert decision.due > closed + 365 * DAY
    assert "link closed" in decision.reason


def test_the_account_of_a_file_is_that_of_its_transfer(scene):
    scene.receive(b"a.csv")
    assert only_file(scene).peer is None or only_file(scene).peer == ""
    row = {
        "id": only_file(scene).id, "link": "demo", "direction": "inbound", "route": "upload", "peer": "anna",
        "path": b"a.csv", "source": "1:2:3", "size": 5, "sha256": "00" * 32, "state": "done",
        "began_at": RECEIVED, "changed_at": RECEIVED,
    }  # fmt: skip
    write(scene, tables.transfer.insert().values(row))
    rules = [rule(LastAccess(), "anna", account="anna"), rule(LastAccess(), "bert", account="bert")]
    assert schedule(scene, *rules).decide(only_file(scene)).rule.id == "anna"


@pytest.mark.parametrize("action", ["review", "return"])
def test_what_is_left_to_people_is_planned_and_not_deleted(scene, action):
    scene.receive(b"a.csv")
    left = Rule("left", 1, "demo", "inbound", "*.csv", Term(Period.parse("PT5S")), action, "agreement", ZONE)
    file = only_file(scene)
    assert schedule(scene, left).decide(file).action == action
    with scene.ledger.read() as conn:
        planned = reckon(rows(conn, None, with_peers=True), schedule(scene, left), {}, tables.instant)
    assert planned.by_link("dispose") == {}
    assert planned.by_action() == {action: 1}


def test_an_explanation_tells_what_was_set_aside_and_shows_the_sum(scene):
    scene.receive(b"a.csv")
    term = Term(Period.parse("P1M"), at_least=Period.parse("P2M"), at_most=Period.parse("P1Y"))
    rules = [
        Rule("invoices", 2, "demo", "inbound", "*.csv", term, "dispose", "BW 2:10", ZONE),
        rule(LastAccess(), "general"),
        rule(LastAccess(), "elsewhere", account="bert"),
    ]
    explained = explain(only_file(scene), schedule(scene, *rules)).as_json()
    chain = [(step["step"], step["says"]) for step in explained["chain"]]
    told = "\n".join(f"{step}: {says}" for step, says in chain)
    governing = "rule invoices version 2"
    start, end = "2026-01-01T00:00:00+00:00", "2026-03-01T23:00:00+00:00"
    for fact in (
        "scope: rule elsewhere version 1 does not cover it: account bert",
        f"specificity: rule general version 1 set aside: {governing} is more specific by pattern",
        f"scope: {governing} covers it: folder inbound, pattern *.csv",
        f"trigger: {governing}: received {start}, 2026-01-01T01:00:00+01:00 in Europe/Amsterdam",
        f"period: {governing}: P1M from 2026-01-01 to the end of 2026-02-01 in Europe/Amsterdam, which",
        f"min_keep: {governing}: kept at least P2M from receipt: from 2026-01-01 to the end of 2026-03-01 in",
        f"max_keep: {governing}: kept at most P1Y from receipt: from 2026-01-01 to the end of 2027-01-01",
        f"ends: {governing} ends {end}, by its min_keep; it rests on: BW 2:10",
        "hold: no hold covers it",
        f"decision: dispose: it was due {end}",
    ):
        assert fact in told, told
    assert explained["due"] == "2026-03-01T23:00:00+00:00"


def test_the_times_of_a_file_on_disk_are_nowhere_in_what_is_decided(scene):
    scene.receive(b"a.csv")
    before = schedule(scene, rule(LastAccess())).decide(only_file(scene))
    write(scene, tables.kept_file.update().values(source=sa.literal("1:5:0")))
    assert schedule(scene, rule(LastAccess())).decide(only_file(scene)) == before
