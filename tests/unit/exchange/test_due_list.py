from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from sftpd.exchange import due as module
from sftpd.exchange.due import FIRST, HERE, LIMIT, USUAL, Due, DueList

START = datetime(2027, 1, 1, tzinfo=UTC)


def due(number, rank=USUAL):
    return Due(rank, START + timedelta(seconds=number), f"{number:08}", b"%d" % number, 0)


def drain(listed):
    while found := listed.take_here():
        yield found
    while found := listed.take((), 1):
        yield from found


def test_the_order_is_by_rank_then_by_time():
    listed = DueList()
    listed.replace([due(3), due(1), due(2, FIRST), due(4, HERE)], whole=True)
    assert list(drain(listed)) == [due(4, HERE), due(2, FIRST), due(1), due(3)]


def test_what_may_not_be_taken_keeps_its_turn():
    listed = DueList()
    listed.replace([due(1), due(2)], whole=True)
    assert listed.take({due(1).path}, 1) == (due(2),)
    assert listed.head() == due(1)


def test_it_never_holds_more_than_its_limit_and_says_when_there_is_more():
    listed = DueList()
    listed.replace([], whole=True)
    for number in range(LIMIT):
        listed.add(due(number))
    assert (len(listed), listed.whole) == (LIMIT, True)
    listed.add(due(LIMIT))
    assert (len(listed), listed.whole) == (LIMIT, False)
    listed.add(due(LIMIT + 1, FIRST))
    assert len(listed) == LIMIT
    assert listed.head() == due(LIMIT + 1, FIRST)


@given(
    st.lists(st.tuples(st.integers(0, 999), st.sampled_from([HERE, FIRST, USUAL])), unique=True),
    st.integers(0, 20),
)
def test_it_is_always_a_beginning_of_all_that_is_due(entries, known):
    """What is not in the list comes after what is: else a file would be overtaken."""
    with patch.object(module, "LIMIT", 5):
        check_it_is_a_beginning([due(*entry) for entry in entries], known)


def check_it_is_a_beginning(everything, known):
    listed = DueList()
    listed.replace(sorted(everything[:known])[:5], whole=min(known, len(everything)) <= 5)
    for number, one in enumerate(everything[known:]):
        listed.add(one)
        there = sorted(everything[: known + number + 1])
        held = list(listed._entries)
        assert held == there[: len(held)]
        assert len(held) == len(there) if listed.whole else len(held) <= 5
