import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.errors import LedgerError
from sftpd.exchange.transfer import FINAL, STEPS, Outcome, TransferState, step


def reachable(start):
    seen, new = {start}, {start}
    while new:
        new = {after for (at, _), after in STEPS.items() if at in new} - seen
        seen |= new
    return seen


def test_every_state_is_reached_from_the_first():
    assert reachable(TransferState.SCREENING) == set(TransferState)


@pytest.mark.parametrize("state", sorted(set(TransferState) - FINAL))
def test_every_unfinished_state_can_come_to_an_end(state):
    assert reachable(state) & FINAL


def test_nothing_leads_out_of_a_final_state_but_what_an_operator_does():
    leading_out = {(at, outcome) for at, outcome in STEPS if at in FINAL}
    assert leading_out == {
        (TransferState.CANCELLED, Outcome.REGAINED),
        (TransferState.FAILED, Outcome.RETRIED),
        (TransferState.QUARANTINED, Outcome.RETRIED),
        (TransferState.QUARANTINED, Outcome.RELEASED),
    }


def test_what_may_have_been_renamed_is_never_cancelled():
    cancelled_from = {at for at, outcome in STEPS if outcome is Outcome.CANCELLED}
    assert cancelled_from == {TransferState.SENDING, TransferState.WAITING}
    left_from = {at for at, outcome in STEPS if outcome is Outcome.LEFT}
    assert left_from == cancelled_from | {TransferState.FAILING}


def test_what_was_cancelled_is_never_sent_unless_it_is_retried():
    within, new = set(), {TransferState.CANCELLED}
    while new:
        within |= new
        steps = {(at, outcome): after for (at, outcome), after in STEPS.items() if at in new}
        new = {after for (_, outcome), after in steps.items() if outcome is not Outcome.RETRIED} - within
    assert within == {TransferState.CANCELLED, TransferState.FAILING, TransferState.FAILED}


def test_every_outcome_happens_somewhere():
    assert {outcome for _, outcome in STEPS} == set(Outcome)


def test_a_file_that_was_placed_is_never_blocked_given_up_or_sent_again():
    assert reachable(TransferState.PLACED) == {TransferState.PLACED, TransferState.DONE}


def test_what_may_have_been_renamed_is_never_given_up():
    assert (TransferState.PLACING, Outcome.GAVE_UP) not in STEPS


def test_what_was_refused_is_given_up_like_what_waits():
    assert step(TransferState.PLACING, Outcome.REFUSED, Outcome.GAVE_UP) is TransferState.FAILING


@given(st.sampled_from(TransferState), st.lists(st.sampled_from(Outcome), max_size=4))
def test_outcomes_follow_the_table_one_after_the_other(state, outcomes):
    expected = state
    for outcome in outcomes:
        expected = None if expected is None else STEPS.get((expected, outcome))
    if expected is None:
        with pytest.raises(LedgerError):
            step(state, *outcomes)
    else:
        assert step(state, *outcomes) is expected
