"""The table of a request's states."""

import pytest

from sftpd.erasure.request import ANSWERED, COMMANDS, TRANSITIONS, State, Trigger, step
from sftpd.errors import RefusedError

STRAIGHT = [
    (Trigger.SEARCH, State.SCOPING),
    (Trigger.FINDINGS, State.REVIEW),
    (Trigger.APPROVE, State.APPROVED),
    (Trigger.RUN, State.EXECUTING),
    (Trigger.CARRIED_OUT, State.VERIFYING),
    (Trigger.NOTHING_LEFT, State.NOTIFYING),
    (Trigger.ALL_TOLD, State.CLOSED),
]


def test_a_request_goes_straight_through() -> None:
    state = State.RECEIVED
    for trigger, expected in STRAIGHT:
        state = step(state, trigger)
        assert state is expected


def test_what_a_crash_interrupts_can_be_done_again() -> None:
    assert step(State.SCOPING, Trigger.SEARCH) is State.SCOPING
    assert step(State.EXECUTING, Trigger.RUN) is State.EXECUTING
    assert step(State.VERIFYING, Trigger.RUN) is State.VERIFYING


def test_nothing_runs_without_approval() -> None:
    allowing = {state for state, allowed in TRANSITIONS.items() if Trigger.RUN in allowed}
    assert allowing == {State.APPROVED, State.EXECUTING, State.VERIFYING}
    assert [state for state, allowed in TRANSITIONS.items() if Trigger.APPROVE in allowed] == [State.REVIEW]


def test_a_new_search_voids_an_approval() -> None:
    assert step(State.APPROVED, Trigger.SEARCH) is State.SCOPING


def test_nothing_is_searched_while_it_is_not_certain_who_asks() -> None:
    for state in (State.RECEIVED, State.SCOPING, State.REVIEW):
        assert step(state, Trigger.ASK_IDENTITY) is State.IDENTITY_PENDING
    assert step(State.IDENTITY_PENDING, Trigger.CONFIRM_IDENTITY) is State.RECEIVED
    assert set(TRANSITIONS[State.IDENTITY_PENDING]) == {Trigger.CONFIRM_IDENTITY, Trigger.DENY}


def test_what_is_final_is_answered() -> None:
    final = {state for state, allowed in TRANSITIONS.items() if not allowed}
    assert final == {State.CLOSED, State.DENIED, State.DUPLICATE}
    assert final | {State.NOTIFYING, State.PARTIAL} == ANSWERED


@pytest.mark.parametrize("state", State)
def test_an_illegal_step_names_what_is_allowed(state: State) -> None:
    for trigger in set(Trigger) - set(TRANSITIONS[state]):
        with pytest.raises(RefusedError) as refused:
            step(state, trigger)
        assert refused.value.reason == "ERASURE_STATE"
        assert all(
            COMMANDS[trigger] in str(refused.value) for trigger in COMMANDS if trigger in TRANSITIONS[state]
        )


@pytest.mark.parametrize(
    ("state", "trigger", "what", "remedy"),
    [
        (State.RECEIVED, Trigger.RUN, "does not allow run", "it allows sftpd erasure identity, find, deny"),
        (State.EXECUTING, Trigger.SEARCH, "does not allow find", "it allows sftpd erasure run"),
        (State.NOTIFYING, Trigger.RUN, "does not allow run", "it goes on by itself"),
        (State.CLOSED, Trigger.DENY, "does not allow deny", "it is final"),
    ],
)
def test_a_refusal_names_commands(state, trigger, what, remedy) -> None:
    with pytest.raises(RefusedError) as refused:
        step(state, trigger)
    assert refused.value.what.endswith(what)
    assert refused.value.remedy == remedy
