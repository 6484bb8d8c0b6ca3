from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftpd.exchange.circuit import Circuit, Phase, Room
from sftpd.link.model import Backoff

BACKOFF = Backoff(timedelta(seconds=1), timedelta(minutes=10))
THREE_DAYS = 72 * 3600.0


def unreachable(circuit, now, jitter=0.0):
    return circuit.begin().unreachable(now, BACKOFF, jitter)


def test_nothing_is_known_at_first_and_one_alone_tries():
    circuit = Circuit()
    assert circuit.ready_at() == 0
    assert circuit.begin().ready_at() == float("inf")
    assert circuit.begin().reached().ready_at() == 0


def test_what_is_up_is_used_by_all():
    circuit = Circuit(Phase.UP)
    assert circuit.begin() is circuit


def test_each_failure_doubles_the_wait_up_to_the_cap():
    circuit, now, waits = Circuit(), 0.0, []
    for _ in range(14):
        circuit = unreachable(circuit, now, jitter=1.0)
        waits.append(circuit.ready_at() - now)
        now = circuit.ready_at()
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600, 600]


@pytest.mark.parametrize(("jitter", "most"), [(0.0, 875), (1.0, 443)])
def test_three_days_down_cost_a_bounded_number_of_connects(jitter, most):
    circuit, now, connects = Circuit(), 0.0, 0
    while now < THREE_DAYS:
        circuit = unreachable(circuit, now, jitter)
        connects += 1
        now = circuit.ready_at()
    assert connects <= most


def test_connections_that_fail_together_count_once():
    circuit = Circuit(Phase.UP)
    first = circuit.unreachable(5.0, BACKOFF, 1.0)
    assert first.unreachable(5.1, BACKOFF, 1.0) == first
    assert first.lost(5.2, BACKOFF, 1.0) == first


def test_a_few_lost_connections_are_tolerated_and_one_more_is_not():
    circuit = Circuit(Phase.UP)
    for _ in range(4):
        circuit = circuit.lost(0.0, BACKOFF, 1.0)
        assert circuit.phase is Phase.UP
    assert circuit.lost(0.0, BACKOFF, 1.0).ready_at() == 1.0


def test_a_remote_that_lets_us_in_and_fails_at_all_it_is_asked_is_tried_ever_less():
    circuit, now, waits = Circuit(Phase.UP, failures=4), 0.0, []
    for _ in range(3):
        circuit = circuit.begin().reached().lost(now, BACKOFF, 1.0)
        waits.append(circuit.ready_at() - now)
        now = circuit.ready_at()
    assert waits == [1, 2, 4]
    assert circuit.begin().reached().served() == Circuit(Phase.UP)


def test_refusals_are_counted_until_a_login_succeeds():
    circuit = Circuit()
    for count in (1, 2, 3):
        circuit = circuit.begin().refused(0.0, BACKOFF, 0.0)
        assert circuit.refusals == count
    assert unreachable(circuit, 0.0).refusals == 3
    assert circuit.begin().reached().refusals == 0


@pytest.mark.parametrize("before", [Circuit(), Circuit(Phase.DOWN, 7, retry_at=3.0)])
def test_a_try_that_tells_nothing_leaves_things_as_they_were(before):
    assert before.begin().abandoned() == before


STEPS = {
    "begin": lambda circuit, now: circuit.begin() if circuit.ready_at() <= now else circuit,
    "reached": lambda circuit, now: circuit.reached() if circuit.phase is Phase.PROBING else circuit,
    "served": lambda circuit, now: circuit.served(),
    "lost": lambda circuit, now: circuit.lost(now, BACKOFF, 0.5),
    "unreachable": lambda circuit, now: circuit.unreachable(now, BACKOFF, 0.5),
    "abandoned": lambda circuit, now: circuit.abandoned(),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.floats(0, 1000))))
def test_whatever_happens_somebody_can_try_again_in_time(steps):
    circuit, now = Circuit(), 0.0
    for name, passed in steps:
        now += passed
        circuit = STEPS[name](circuit, now)
        assert circuit.phase is Phase.PROBING or circuit.ready_at() <= now + 600


def test_one_more_is_tried_ever_less_while_there_is_no_room():
    room, now, waits = Room(), 0.0, []
    for _ in range(3):
        room = room.begin(2).full(2, now, BACKOFF, 1.0)
        assert room.ready_at(1) == 0
        waits.append(room.ready_at(2) - now)
        now = room.ready_at(2)
    assert waits == [1, 2, 4]
    assert room.begin(2).ready_at(2) == float("inf")
    assert room.begin(2).reached(3) == Room()


IN_ROOM = {
    "begin": lambda room, lent, now: room.begin(lent) if room.ready_at(lent) <= now else room,
    "reached": lambda room, lent, now: room.reached(lent),
    "full": lambda room, lent, now: room.full(lent, now, BACKOFF, 0.5),
    "abandoned": lambda room, lent, now: room.abandoned(),
}


@given(
    st.lists(st.tuples(st.sampled_from(sorted(IN_ROOM)), st.integers(0, 4), st.floats(0, 1000))),
    st.integers(0, 4),
)
def test_whatever_happens_one_more_can_be_tried_in_time_once_a_try_has_ended(steps, lent):
    room, now = Room(), 0.0
    for name, before, passed in steps:
        now += passed
        room = IN_ROOM[name](room, before, now)
        assert room.most >= 1
        if name != "begin":
            assert room.ready_at(lent) <= now + 600


def test_one_more_that_was_made_while_others_were_given_back_is_tried_again():
    probing = Room().full(2, 0.0, BACKOFF, 1.0).begin(2)
    assert probing.ready_at(2) == float("inf")
    assert probing.reached(1).ready_at(2) == 0
