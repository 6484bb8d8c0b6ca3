import pytest

from sftpd.errors import RefusedError
from sftpd.link.lifecycle import STEPS, LinkState, LinkStep, take


def reachable(start):
    seen, new = {start}, {start}
    while new:
        new = {after for (at, _), after in STEPS.items() if at in new} - seen
        seen |= new
    return seen


def test_every_state_is_reached_from_the_first():
    assert reachable(LinkState.DRAFT) == set(LinkState)


@pytest.mark.parametrize("state", LinkState)
def test_from_every_state_the_end_is_reached(state):
    assert LinkState.CLOSED in reachable(state)


def test_nothing_leads_out_of_the_end():
    assert reachable(LinkState.CLOSED) == {LinkState.CLOSED}


def test_closing_leads_to_the_end_alone():
    assert reachable(LinkState.CLOSING) == {LinkState.CLOSING, LinkState.CLOSED}


@pytest.mark.parametrize(("state", "step"), [(s, p) for s in LinkState for p in LinkStep])
def test_a_step_is_taken_or_refused_with_what_is_possible(state, step):
    possible = {p for (s, p) in STEPS if s is state}
    if step in possible:
        assert take(state, step, "demo") is STEPS[state, step]
        return
    with pytest.raises(RefusedError) as refusal:
        take(state, step, "demo")
    assert refusal.value.reason == "LINK_STEP"
    named = refusal.value.remedy.removeprefix("possible steps: ").split(", ")
    commands = [f"sftpd link {p} demo" for p in sorted(possible, key=list(LinkStep).index)]
    assert [name.removesuffix(" --reason TEXT") for name in named] == (commands or ["none"])
    assert state is not LinkState.CLOSING or named == ["sftpd link finish demo --reason TEXT"]
