"""Plans of many files at once against the decision on each file by itself."""

import hashlib
import json
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import random_retention
from random_retention import ZONES, microseconds, row_of

from sftpd.ledger import tables
from sftpd.periods import Period
from sftpd.retention.reckoning import Ids, _Days, reckon
from sftpd.retention.rule import Kept, Returned, Review, Rule, Term
from sftpd.retention.schedule import Schedule, is_step

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def plainly(files, schedule):
    """The tally, the ids of steps and of reviews, and the hash, each file decided by itself."""
    tally, steps, reviews, digest = Counter(), [], [], hashlib.sha256()
    for file in files:
        decision = schedule.decide(file)
        tally[file.link, file.folder, decision.action] += 1
        if is_step(decision.action, file.folder):
            steps.append(file.id)
            told = {
                "action": decision.action, "due": decision.due.isoformat(), "file": file.id,
                "path": file.place, "rule": decision.rule.id, "version": decision.rule.version,
            }  # fmt: skip
            line = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            digest.update(line.encode())
        elif decision.action == "review":
            reviews.append(file.id)
    return tally, steps, reviews, digest.hexdigest()


def at_once(files, schedule):
    rows = [row_of(file) for file in files]
    special = {file.id: file for file in files if file.returned is not None}
    plan = reckon(rows, schedule, special, tables.instant)
    ids = [[name for names in ids.batches(7) for name in names] for ids in (plan.steps, plan.reviews)]
    return plan.tally, *ids, plan.hash


def some_files(pick, count):
    """Files that differ in little, as those of a folder do, and some of two links."""
    base = random_retention.kept(pick)
    for number in range(count):
        other = random_retention.kept(pick)
        near = timedelta(minutes=pick(range(3000)) / pick([1, 200]))
        received = pick([base.received_at + near, other.received_at])
        file = replace(
            pick([base, other]), id=f"f{number}", received_at=received, link=pick(["one", "one", "two"])
        )
        if pick([False] * 9 + [True]):
            fetched = pick([None, received + timedelta(days=1)])
            file = replace(file, returned=Returned("download", b"returned/x", received, fetched))
        yield file


def some_reviews(pick, files, rules):
    for file in files:
        if pick([False, False, False, True]) and rules:
            rule = pick(rules)
            answer, until = pick(
                [("approved", None), ("extended", NOW), ("rejected", NOW + timedelta(days=99))]
            )
            yield file.id, Review(file.id, rule.id, rule.version, answer, until, "why", "jan")


@pytest.mark.parametrize("seed", range(4))
def test_many_at_once_come_to_what_each_comes_to_by_itself(seed):
    pick = random.Random(seed).choice
    for number in range(150):
        rules = random_retention.rule_set(pick)
        files = list(some_files(pick, 25))
        holds = [random_retention.hold(pick, f"h{n}") for n in range(pick([0, 0, 1, 3]))]
        now = random_retention.moment(pick)
        closings = pick([{}, {"one": random_retention.moment(pick)}])
        if pick([False, True]):  # when one of them is due and others are about to be
            now = Schedule(rules, [], now, closings).unheld(pick(files)).due or now
        schedule = Schedule(rules, holds, now, closings, dict(some_reviews(pick, files, rules)))
        assert at_once(files, schedule) == plainly(files, schedule), (seed, number)


@pytest.mark.parametrize("zone", [*ZONES, ZoneInfo("Africa/Monrovia"), ZoneInfo("America/St_Johns")], ids=str)
def test_the_day_of_a_moment_is_that_of_the_calendar(zone):
    pick = random.Random(1)
    days = _Days(zone, tables.instant)
    begin = datetime(1970, 1, 1, tzinfo=UTC)
    moments = [begin + timedelta(seconds=pick.randrange(80 * 366 * 86400)) for _ in range(3000)]
    moments += [
        datetime(2011, 12, 30, tzinfo=UTC) + timedelta(minutes=n) for n in range(-3000, 3000, 7)
    ]  # when Samoa went over the date line
    for moment in moments:
        assert days.all_of([microseconds(moment)]) == [moment.astimezone(zone).date()]


@pytest.mark.parametrize(
    ("period", "most"), [("P90D", lambda due: 15), ("PT2160H", lambda due: due + 20_000 // 15 + 16)]
)
def test_few_decisions_are_made_of_very_many_files(monkeypatch, period, most):
    made = []
    monkeypatch.setattr(
        Schedule, "unheld", lambda self, file, real=Schedule.unheld: made.append(1) or real(self, file)
    )
    rules = [Rule("r", 1, "one", None, "*", Term(Period.parse(period)), "dispose", "law", ZONES[0])]
    rows = [
        (f"f{n}", "one", "inbound", b"a", microseconds(NOW) - n * 60_000_000, None, "") for n in range(20_000)
    ]
    plan = reckon(rows, Schedule(rules, [], NOW + timedelta(days=85)), {}, tables.instant)
    gone = plan.by_link("dispose")["one"]
    assert gone + plan.by_link("keep")["one"] == 20_000
    assert 0 < gone == len(plan.steps) < 20_000
    assert len(made) <= most(gone)


def test_a_file_that_came_later_may_be_due_earlier():
    # On that night the clocks in St. John's went from 00:01 to 01:01, so that 01:00:30 was after 01:05.
    zone = ZoneInfo("America/St_Johns")
    rules = [Rule("r", 1, "one", None, "*", Term(Period.parse("P1DT1S")), "dispose", "law", zone)]
    came = [datetime(2010, 3, 13, 1, minute, 30, tzinfo=zone).astimezone(UTC) for minute in (0, 5)]
    files = [Kept(f"f{n}", "one", "inbound", b"a", "", at) for n, at in enumerate(came)]
    schedule = Schedule(rules, [], datetime(2010, 3, 14, 4, tzinfo=UTC))
    assert schedule.unheld(files[0]).due > schedule.unheld(files[1]).due
    assert at_once(files, schedule) == plainly(files, schedule)


def test_a_quarter_of_an_hour_may_have_two_days():
    zone = ZoneInfo("Africa/Monrovia")  # where the day began at 00:44:30 UTC
    long, short = Term(Period.parse("P1Y")), Term(Period.parse("PT1H"))
    rules = [
        Rule("r", 1, "one", None, "*", long, "dispose", "law", zone),
        Rule("r", 2, "one", None, "*", short, "dispose", "law", zone, effective=date(1970, 6, 2)),
    ]
    came = [datetime(1970, 6, 2, 0, 44, second, tzinfo=UTC) for second in (0, 40)]
    files = [Kept(f"f{n}", "one", "inbound", b"a", "", at) for n, at in enumerate(came)]
    schedule = Schedule(rules, [], datetime(1970, 6, 2, 3, tzinfo=UTC))
    assert at_once(files, schedule) == plainly(files, schedule)
    assert [schedule.decide(file).action for file in files] == ["keep", "dispose"]


def test_packed_ids_come_back_in_their_order():
    ids, names = Ids(), [f"id-{n}" for n in range(10_000)]
    for name in names:
        ids.add(name)
    batches = list(ids.batches(64))
    assert [name for batch in batches for name in batch] == names
    assert max(map(len, batches)) == 64
    assert list(Ids().batches(3)) == []
