from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_retention import row_of

from sftpd.ledger import tables
from sftpd.periods import Period, YearEnd
from sftpd.retention.hold import Hold
from sftpd.retention.precedence import Book
from sftpd.retention.reckoning import reckon
from sftpd.retention.rule import Kept, Limit, Rule, Term
from sftpd.retention.schedule import Item, Schedule
from sftpd.retention.scope import OfFile, OfFolder, OfLink, OfQuery

ZONE = ZoneInfo("Europe/Amsterdam")
RECEIVED = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
FILE = Kept("f1", "demo", "inbound", b"reports/a.csv", "1:2:3", RECEIVED)
LATER = RECEIVED + timedelta(days=4000)


def rule(name="r", period="P1D", folder="inbound", glob="*", action="dispose", version=1):
    return Rule(name, version, "demo", folder, glob, Term(Period.parse(period)), action, "agreement", ZONE)


def hold(scope=OfLink(), **values):  # noqa: B008 (it cannot be changed)
    return Hold("h1", "demo", scope, "court case", "jan", RECEIVED, **values)


def decide(file, rules, holds, now):
    return Schedule(rules, holds, now).decide(file)


def plan(files, rules, holds, now):
    rows = sorted(map(row_of, files))
    return reckon(rows, Schedule(rules, holds, now), {}, tables.instant)


def told(planned):
    steps = [name for names in planned.steps.batches(2) for name in names]
    return planned.hash, planned.tally, steps, planned.places


moments = st.integers(-50_000, 50_000).map(lambda hours: RECEIVED + timedelta(hours=hours))
rules = st.builds(
    rule,
    st.sampled_from(["r1", "r2", "r3"]),
    st.sampled_from(["PT5S", "P1D", "P1M", "P7Y"]),
    st.sampled_from([None, "inbound", "quarantine"]),
    st.sampled_from(["*", "*.csv", "a.csv", "reports/*", "[ab].csv"]),
    st.sampled_from(["dispose", "review"]),
)
files = st.builds(
    Kept,
    st.sampled_from(["f1", "f2", "f3"]),
    st.just("demo"),
    st.sampled_from(["inbound", "quarantine"]),
    st.sampled_from([b"a.csv", b"reports/b.csv", b"\xff.txt"]),
    st.just("1:2:3"),
    moments,
)


def test_without_a_rule_a_file_is_kept():
    decision = decide(FILE, [], [], LATER)
    assert (decision.action, decision.due, decision.reason) == ("keep", None, "no rule")


def test_a_file_is_due_at_the_end_of_its_last_civil_day():
    # The day after receipt is the night the clocks go forward in Amsterdam.
    due = datetime(2026, 3, 29, 22, 0, tzinfo=UTC)
    assert decide(FILE, [rule()], [], due - timedelta(microseconds=1)).action == "keep"
    decision = decide(FILE, [rule()], [], due)
    assert (decision.action, decision.due) == ("dispose", due)


def test_the_reason_tells_rule_receipt_period_and_end():
    reason = decide(FILE, [rule("fiscal", "PT5S", version=3)], [], LATER).reason
    for fact in ("fiscal version 3", "2026-03-28T12:00:00", "PT5S", "2026-03-28T12:00:05", "due"):
        assert fact in reason


@pytest.mark.parametrize(
    ("general", "specific"),
    [
        (rule("a", folder=None, glob="*.csv"), rule("b")),
        (rule("a", glob="*"), rule("b", glob="*.csv")),
        (rule("a", glob="*.csv"), rule("b", glob="a.csv")),
    ],
)
def test_the_more_specific_rule_governs(general, specific):
    for either in ([general, specific], [specific, general]):
        assert decide(FILE, either, [], LATER).rule is specific


def test_among_equals_the_longest_period_governs_then_review():
    short, long, review = rule("a", "P1D"), rule("b", "P7Y"), rule("a2", "P7Y", action="review")
    assert decide(FILE, [short, long], [], LATER).rule is long
    assert decide(FILE, [review, long], [], LATER).action == "review"


def test_a_rule_of_another_link_says_nothing():
    assert decide(replace(FILE, link="other"), [rule()], [], LATER).reason == "no rule"


@pytest.mark.parametrize(
    "held",
    [
        hold(),
        hold(OfFolder("inbound")),
        hold(OfQuery(glob="*.csv")),
        hold(OfQuery(folder="inbound", glob="reports/a.csv")),
        hold(OfFile("f1", "inbound/reports/a.csv")),
    ],
)
def test_a_hold_beats_every_rule(held):
    decision = decide(FILE, [rule()], [held], LATER)
    assert decision.action == "keep"
    assert "hold h1: court case" in decision.reason


@pytest.mark.parametrize(
    "past",
    [
        hold(OfFolder("quarantine")),
        hold(OfQuery(glob="*.xml")),
        hold(OfFile("f2", "inbound/reports/a.csv")),
        hold(released_by="jan", released_at=RECEIVED),
        hold(until=LATER),
    ],
)
def test_a_hold_on_other_files_or_one_that_is_over_stops_nothing(past):
    assert decide(FILE, [rule()], [past], LATER).action == "dispose"


@given(files, st.lists(rules), moments)
def test_nothing_is_disposed_of_before_its_rule_says(file, rules, now):
    decision = decide(file, rules, [], now)
    if decision.action != "keep":
        assert decision.rule is not None
        assert [entry.rule for entry in Book([decision.rule]).governing(file)] == [decision.rule]
        assert decision.rule.term.period.due(file.received_at, ZONE) == decision.due <= now


@given(st.lists(files, unique_by=lambda f: f.id), st.lists(rules, unique_by=lambda r: r.id), moments)
def test_held_files_are_never_planned_for_disposal(files, rules, now):
    planned = plan(files, rules, [hold()], now)
    assert (len(planned.steps), planned.by_action()) == (0, {"keep": len(files)} if files else {})


@given(st.lists(files, unique_by=lambda f: f.id), st.lists(rules, unique_by=lambda r: r.id), moments)
def test_a_plan_does_not_depend_on_order(files, rules, now):
    assert told(plan(files, rules, [], now)) == told(plan(files[::-1], rules[::-1], [], now))


def test_the_hash_depends_on_the_disposals_and_not_on_the_moment():
    files = [FILE, replace(FILE, id="f2", path=b"b.csv")]
    first = plan(files, [rule()], [], LATER)
    assert plan(files, [rule()], [], LATER + timedelta(days=1)).hash == first.hash
    assert plan(files[:1], [rule()], [], LATER).hash != first.hash
    assert plan(files, [rule(version=2)], [], LATER).hash != first.hash
    assert plan(files, [rule()], [hold(OfQuery(glob="b.csv"))], LATER).hash != first.hash


def test_an_item_as_json_has_the_keys_scripts_rely_on():
    rules = [rule(period="PT5S")]
    shown = [
        Item(file, decide(file, rules, [], LATER)).as_json()
        for file in (FILE, replace(FILE, id="f2", folder="quarantine"))
    ]
    assert [(item["path"], item["action"], item["due"]) for item in shown] == [
        ("inbound/reports/a.csv", "dispose", "2026-03-28T12:00:05+00:00"),
        ("quarantine/reports/a.csv", "keep", None),
    ]
    assert all(item["reason"] for item in shown)


@pytest.mark.parametrize(
    ("term", "told"),
    [
        (Term(Period(days=1)), "P1D ends 2026-03-29T22:00:00"),
        (Term(Period(days=1), at_least=Period(days=3)), "min_keep P3D ends 2026-03-31T22:00:00"),
        (Term(Period(days=9), at_most=Period(days=3)), "max_keep P3D ends 2026-03-31T22:00:00"),
        (Limit(Period(days=3)), "max_keep P3D ends 2026-03-31T22:00:00"),
        (
            Term(Period(years=7), year_end=YearEnd(12, 31)),
            "P7Y from the year's end, 12-31, ends 2033-12",
        ),
    ],
)
def test_the_reason_names_what_set_the_end(term, told):
    assert told in decide(FILE, [replace(rule(), term=term)], [], LATER).reason


def test_a_limit_does_not_cut_a_period_short():
    limit, period = replace(rule("a"), term=Limit(Period(days=1))), rule("b", "P1Y")
    assert decide(FILE, [limit, period], [], LATER).rule is period


def test_of_two_limits_the_shorter_one_decides():
    short, long = (replace(rule(name), term=Limit(Period(days=days))) for name, days in (("a", 1), ("b", 9)))
    assert decide(FILE, [short, long], [], LATER).rule is short


def test_a_version_governs_what_was_received_from_its_day_on():
    first = replace(rule("r", "P1Y"), effective=None)
    second = replace(rule("r", "P7Y", version=2), effective=RECEIVED.date())
    assert decide(FILE, [first, second], [], LATER).rule is second
    before = replace(FILE, received_at=RECEIVED - timedelta(days=1))
    assert decide(before, [first, second], [], LATER).rule is first
