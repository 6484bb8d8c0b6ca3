"""The papers of retention say what the rules say, what was planned and what was done."""

import base64
import csv
import io
import itertools
import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from retention_scene import OLD, RECEIVED, ZONE, At, Scene

from sftpd.audit.commitment import Opening, opens
from sftpd.documents import html
from sftpd.ledger import outbox, tables
from sftpd.namedates import DatePattern
from sftpd.periods import Period, YearEnd
from sftpd.retention import disposition, rulebook, timeline, yearly
from sftpd.retention.desk import RetentionDesk
from sftpd.retention.guards import Bounds
from sftpd.retention.holds import HoldRequest, place, release
from sftpd.retention.rule import BusinessDate, FileClass, Limit, Rule, Term
from sftpd.retention.schedule import short
from sftpd.retention.scope import OfFolder, OfLink, OfQuery
from sftpd.retention.timekeeper import Timekeeper

INVOICES = FileClass("invoices", ("inv-*",))
MIXED = [
    Rule("rest", 1, "demo", "inbound", "*", Term(Period.parse("P90D")), "dispose", "agreement", ZONE),
    Rule(
        "rest", 2, "demo", "inbound", "*", Term(Period.parse("P1Y")), "dispose", "agreement", ZONE,
        effective=date(2026, 1, 1),
    ),
    Rule(
        "invoices", 1, "demo", None, "*",
        Term(
            Period.parse("P1Y"), BusinessDate(DatePattern.parse("%Y-%m-%d")), YearEnd(12, 31),
            Period.parse("P1M"), Period.parse("P2Y"),
        ),
        "dispose", "law", ZONE, file_class=INVOICES,
    ),
    Rule("look", 1, "demo", "inbound", "*.review", Term(Period.parse("P1D")), "review", "policy", ZONE),
    Rule("logs", 1, "demo", "inbound", "*.log", Limit(Period.parse("P30D")), "dispose", "policy", ZONE),
    Rule("long", 1, "demo", "inbound", "keep-*", Term(Period.parse("P30Y")), "dispose", "law", ZONE),
]  # fmt: skip
KINDS = (
    "{}.csv",
    "inv-2026-02-28-{}.xml",
    "inv-{}",
    "{}.review",
    "{}.log",
    "keep-{}.csv",
    "inv-2031-01-01-{}",
)


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path, bounds=Bounds(unremarkable=10**6))
    yield scene
    scene.ledger.close()


def desk_of(scene, rules, clock):
    keeper = Timekeeper(scene.ledger, clock)
    return RetentionDesk(scene.ledger, rules, scene.roots, keeper, clock, Bounds(unremarkable=10**6))


def planned_json(desk):
    return {"items": [item.as_json() for item in desk.items()]}


@pytest.mark.parametrize("count", [350, pytest.param(10_000, marks=pytest.mark.soak)])
def test_the_explanation_and_the_report_of_every_file_agree(scene, count):
    for number in range(0, count, 100):
        scene.receive(*(KINDS[n % len(KINDS)].format(n).encode() for n in range(number, number + 100)))
    scene.receive(b"held.csv")
    place(scene.ledger, HoldRequest("demo", OfQuery("inbound", "held.csv"), "court", "jan"))
    desk = desk_of(scene, MIXED, scene.clock)
    plan = desk.plan()
    steps = [item for item in desk.items() if item.decision.action == "dispose"]
    explained = {item.file.id: desk.explain("demo", "inbound", item.file.path) for item in desk.items()}
    for item in desk.items():
        assert explained[item.file.id].item == item
        assert explained[item.file.id].chain[-1].says.startswith(f"{item.decision.action}: ")
    desk.run(plan.hash)
    report = {row.file: row for row in desk.report()}
    assert report.keys() == {item.file.id for item in steps}
    assert 0 < len(report) < count
    for file, row in report.items():
        decision = explained[file].item.decision
        assert (row.rule, row.rule_version, row.due) == (
            decision.rule.id,
            decision.rule.version,
            decision.due,
        )
        assert (row.reason, row.result) == (decision.reason, "disposed")


def test_the_schedule_lists_every_version_the_most_specific_first():
    listed = rulebook.listed(MIXED)
    assert [(rule.rule, rule.version) for rule in listed] == [
        ("invoices", 1), ("look", 1), ("long", 1), ("logs", 1), ("rest", 1), ("rest", 2),
    ]  # fmt: skip
    by_version = {(rule.rule, rule.version): rule for rule in listed}
    assert by_version["rest", 1].until == by_version["rest", 2].effective == "2026-01-01"
    invoices = by_version["invoices", 1]
    assert invoices.period == "P1Y from the end of the financial year, 12-31"
    assert invoices.trigger == "the date %Y-%m-%d in the name, else receipt"
    assert (invoices.min_keep, invoices.max_keep, invoices.mandate) == ("P1M", "P2Y", "law")
    assert by_version["logs", 1].trigger is None


def test_the_schedule_as_a_document_has_each_rule_and_its_grounds():
    about = rulebook.LinkAbout("demo", "Partner B.V.", True, "work orders", "GDPR 6(1)(b)")
    book = rulebook.Rulebook("test", "2026-01-01T00:00:00+00:00", "00ff", (about,), rulebook.listed(MIXED))
    page = html.page(rulebook.document(book))
    for text in ("invoices v1", "at most P30D", "law", "Partner B.V.", "GDPR 6(1)(b)", "retain beats delete"):
        assert text in page


def test_the_timeline_counts_every_file_that_has_an_end(scene):
    scene.receive(*(KINDS[n % len(KINDS)].format(n).encode() for n in range(70)), b"=cmd|' /C calc'!A0.csv")
    items = planned_json(desk_of(scene, MIXED, At(RECEIVED + timedelta(days=100))))["items"]
    bars = timeline.timeline(items)
    assert sum(itertools.chain(*(bar.amounts for bar in bars.bars))) == 71
    assert [bar.label for bar in bars.bars][:2] == ["2026", "2027"]  # keep-* is due in 30 years
    soon = timeline.timeline([item for item in items if not item["path"].startswith("inbound/keep")])
    assert [bar.label for bar in soon.bars][:2] == ["2026-01", "2026-02"]
    assert timeline.timeline([]).bars == []


def test_nothing_in_a_plan_as_csv_steers_a_terminal_or_turns_a_name_around():
    path = "inbound/\u202egnp.exe\x1b[2J\r\n.csv"
    item = {"link": "demo", "path": path, "action": "keep", "due": None, "reason": "a\u200bb"}
    assert timeline.spreadsheet([item]).splitlines()[1:] == [
        r"demo,inbound/\u202egnp.exe\x1b[2J\r\n.csv,keep,,a\u200bb"
    ]


def test_a_plan_as_csv_has_a_row_a_file_and_no_formula(scene):
    scene.receive(b'a,"b".csv', b"c.csv")
    items = planned_json(scene.desk)["items"]
    items.append({**items[0], "path": "=HYPERLINK(1)"})
    rows = list(csv.DictReader(io.StringIO(timeline.spreadsheet(items))))
    assert [row["path"] for row in rows] == ['inbound/a,"b".csv', "inbound/c.csv", "'=HYPERLINK(1)"]
    assert [row["action"] for row in rows] == ["dispose"] * 3


def leaves(scene):
    with scene.ledger.read() as conn:
        return [event.leaf for event in outbox.pending(conn, 10_000)]


def told_by_file(plan, log):
    told = {}
    for file, leaf in disposition.told_of(plan, log):
        told.setdefault(file, []).append(leaf)
    return told


def test_a_disposition_points_at_the_leaf_of_each_file_and_opens_it_only_when_asked(scene):
    scene.receive(b"a.csv", b"b.csv")
    plan = scene.desk.plan().hash
    scene.desk.run(plan)
    log = leaves(scene)
    rows = list(scene.desk.report())
    found = disposition.paired(rows, told_by_file(plan, log))
    closed = [disposition.entry(row, leaf, {}) for row, leaf in zip(rows, found, strict=True)]
    assert [json.loads(log[one.audit_index])["data"]["result"] for one in closed] == ["disposed"] * 2
    assert (
        "a.csv"
        not in disposition.content(disposition.Disposition("f", "i", plan, "t", tuple(closed))).decode()
    )
    with scene.ledger.read() as conn:
        opened = disposition.open_paths(conn, [leaf.event for leaf in found])
    for row, leaf in zip(rows, found, strict=True):
        one = disposition.entry(row, leaf, opened)
        commitment = json.loads(log[one.audit_index])["data"]["commitments"]["path"]
        nonce = base64.b64decode(one.opened.nonce)
        assert one.opened.path == f"inbound/{row.path.decode()}"
        assert opens(Opening("path", nonce, one.opened.path), base64.b64decode(commitment))


def test_a_plan_that_is_run_again_leaves_what_came_of_it_before_as_it_was(scene):
    scene.receive(b"a.csv")
    (scene.inbound / "a.csv").write_bytes(b"somebody's own")
    plan = scene.desk.plan().hash

    def found():
        rows = [row.as_json() for row in scene.desk.report(plan_hash=plan)]
        with scene.ledger.read() as conn:
            return rows, yearly.summary(conn, 2028, "test", {"demo": ZONE}, OLD)

    scene.clock.time = datetime(2028, 12, 30, 12, tzinfo=UTC)
    assert scene.run() == {"a.csv": "changed"}
    first, year = found()
    assert [(row["plan"], row["result"]) for row in first] == [(plan, "changed")]
    for day in (3, 4):
        scene.clock.time = datetime(2029, 1, day, 12, tzinfo=UTC)
        assert scene.desk.plan().hash == plan
        assert scene.run() == {"a.csv": "changed"}
    again, same_year = found()
    assert again[:1] == first
    assert [row["done_at"][:10] for row in again] == ["2028-12-30", "2029-01-03", "2029-01-04"]
    assert {row["plan"] for row in again} == {plan}
    assert list(scene.desk.report(plan_hash=plan)) == list(scene.desk.report())
    assert same_year == year
    log = leaves(scene)
    rows = list(scene.desk.report())
    told = told_by_file(plan, log)
    at = [json.loads(log[leaf.at])["time"][:10] for leaf in disposition.paired(rows, told)]
    assert at == ["2028-12-30", "2029-01-03", "2029-01-04"]
    # Before disposals were set aside, the latest alone was kept, and the log tells of all.
    assert disposition.paired(rows[2:], told) == told[rows[0].file][2:]
    scene.ledger.write(lambda unit: unit.conn.execute(tables.disposal.update().values(done_at=None)))
    assert disposition.paired(list(scene.desk.report()), told) == [None] * 3


def test_of_an_erased_file_nothing_is_opened(scene):
    scene.receive(b"a.csv")
    plan = scene.desk.plan().hash
    scene.desk.run(plan)
    scene.ledger.write(lambda unit: unit.conn.execute(tables.opening.delete()))
    told = list(disposition.told_of(plan, leaves(scene)))
    with scene.ledger.read() as conn:
        assert disposition.open_paths(conn, [leaf.event for _, leaf in told]) == {}


def test_a_year_is_that_of_the_links_time_zone(scene):
    scene.receive(b"a.csv", b"b.csv", b"c.csv")
    (scene.inbound / "c.csv").write_bytes(b"somebody's own")
    scene.clock.time = datetime(2028, 12, 31, 23, 30, tzinfo=UTC)  # 2029 in Amsterdam
    scene.run()
    place(scene.ledger, HoldRequest("demo", OfLink(), "court", "jan"))

    def found(year, zone):
        with scene.ledger.read() as conn:
            return yearly.summary(conn, year, "test", {"demo": ZoneInfo(zone)}, scene.clock.now())

    assert found(2028, "Europe/Amsterdam").groups == ()
    there = found(2029, "Europe/Amsterdam")
    assert [(group.rule, group.month, group.result, group.files) for group in there.groups] == [
        ("short", 1, "changed", 1),
        ("short", 1, "disposed", 2),
    ]
    assert found(2028, "UTC").groups[0].month == 12
    assert there.runs == 1
    (late,) = there.lateness
    assert late.files == 2
    assert (
        late.median == late.longest == (scene.clock.now() - (RECEIVED + timedelta(seconds=5))).total_seconds()
    )
    assert [held.ended for held in found(2028, "UTC").holds] == [None]
    assert found(2027, "UTC").holds == ()
    assert found(2028, "Europe/Amsterdam").holds == ()
    soon = scene.clock.now() + timedelta(hours=1)
    place(scene.ledger, HoldRequest("demo", OfFolder("sent"), "court", "jan", soon))
    later = place(scene.ledger, HoldRequest("demo", OfFolder("sent"), "court", "jan", soon))
    assert {held.ended for held in found(2029, "Europe/Amsterdam").holds} == {None}
    scene.clock.time += timedelta(days=370)
    release(scene.ledger, later, "jan", lambda link: False)
    ended = sorted(held.ended or "" for held in found(2029, "Europe/Amsterdam").holds)
    assert ended == ["", short(soon), short(soon)]
    assert [held.ended for held in found(2030, "Europe/Amsterdam").holds] == [None]
    page = html.page(yearly.document(there))
    assert "Runs: 1, over 3 files, of which 2 were disposed of." in page
    assert "Disposals a month, by result" in page
    assert scene.clock.now() > OLD
