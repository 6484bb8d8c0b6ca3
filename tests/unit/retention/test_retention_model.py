"""The schedule against a slow model of its own, on rule sets, files and clocks made at random."""

import random
from datetime import timedelta

import pytest
import random_retention
import slow_retention
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftpd.retention.explain import explain
from sftpd.retention.rule import Review
from sftpd.retention.schedule import Schedule

MICROSECOND = timedelta(microseconds=1)
SETS = 100_000


def quick(file, rules, holds, now, closings):
    decision = Schedule(rules, holds, now, closings).decide(file)
    rule = decision.rule
    return decision.action, decision.due, None if rule is None else (rule.id, rule.version)


def agree(file, rules, holds, now, closings):
    """Compare at the clock given, and at the last instant before the due one and at that."""
    wanted = slow_retention.decide(file, rules, holds, now, closings)
    moments = [now] if wanted[1] is None else [now, wanted[1] - MICROSECOND, wanted[1]]
    for moment in moments:
        case = file, rules, holds, moment, closings
        assert quick(*case) == slow_retention.decide(*case)


@settings(deadline=None, max_examples=1500, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_schedule_decides_as_the_slow_model(data):
    agree(*random_retention.case(random_retention.drawn(data)))


@pytest.mark.parametrize("seed", range(3))
def test_the_schedule_decides_as_the_slow_model_on_thousands(seed):
    some(seed, 2000)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1010))
def test_the_schedule_decides_as_the_slow_model_on_very_many(seed):
    some(seed, SETS // 10)


def some(seed, count):
    pick = random.Random(seed).choice
    for number in range(count):
        case = random_retention.case(pick)
        try:
            agree(*case)
        except AssertionError as error:
            error.add_note(f"case {number} of seed {seed}: {case}")
            raise


@pytest.mark.parametrize("seed", range(3))
def test_a_review_counts_for_its_file_and_rule_version_as_long_as_it_says(seed):
    pick = random.Random(seed).choice
    seen = set()
    for _ in range(3000):
        file, rules, holds, now, closings = random_retention.case(pick)
        base = slow_retention.decide(file, rules, holds, now, closings)
        about = base[2] if base[2] is not None and pick([True, True, False]) else ("r1", pick([1, 2, 3]))
        until = pick([None, now - MICROSECOND, now, now + MICROSECOND])
        review = Review(pick(["f1", "f1", "f2"]), *about, pick(["approved", "rejected"]), until, "why", "Ina")
        wanted = base[0]
        if (
            base[0] == "review"
            and review.file == file.id
            and about == base[2]
            and until in (None, now + MICROSECOND)
        ):
            wanted = {"approved": "dispose", "rejected": "keep"}[review.answer]
        decision = Schedule(rules, holds, now, closings, {review.file: review}).decide(file)
        assert (decision.action, decision.due) == (wanted, base[1])
        seen.add((base[0], wanted))
    assert {("review", "review"), ("review", "dispose"), ("review", "keep"), ("dispose", "dispose")} <= seen


@pytest.mark.parametrize("seed", range(3))
def test_an_explanation_ends_with_what_was_decided_and_names_every_rule_of_the_link(seed):
    pick = random.Random(seed).choice
    for _ in range(300):
        file, rules, holds, now, closings = random_retention.case(pick)
        schedule = Schedule(rules, holds, now, closings)
        explained = explain(file, schedule)
        decision = schedule.decide(file)
        assert explained.item.decision == decision
        assert explained.chain[-1].step == "decision"
        assert explained.chain[-1].says.startswith(decision.action + ": ")
        told = "\n".join(step.says for step in explained.chain)
        for rule in rules:
            assert (str(rule) in told) == (rule.link == file.link)
