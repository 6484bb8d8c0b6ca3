"""What a lane says is to be done, step by step and without threads."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from sftpd.exchange.due import FIRST, HERE, LIMIT, TOGETHER, TOGETHER_SIZE, USUAL, Due
from sftpd.exchange.lane import OFFERS, Claim, Lane, Refill, Send
from sftpd.link.model import Turns

START = datetime(2027, 1, 1, tzinfo=UTC)
NEVER = float("inf")


def due(number, rank=USUAL, path=None, size=TOGETHER_SIZE):
    return Due(rank, START + timedelta(seconds=number), f"{number:08}", path or b"%d" % number, size)


class Bench:
    """A lane whose guard and halt are set by hand."""

    def __init__(self, *found, whole=True, together=False, **turns):
        self.together = together
        self.ready_at, self.halted, self.now = 0.0, False, 100.0
        guard = SimpleNamespace(ready_at=lambda: self.ready_at)
        route = SimpleNamespace(turns=Turns(**turns))
        sender = SimpleNamespace(route=route, guard=guard, claims_together=lambda: self.together)
        self.lane = Lane(sender, lambda: self.halted)
        assert self.next() == Refill(LIMIT)
        self.refilled(*found, whole=whole)

    def next(self):
        return self.lane.next(self.now, START)

    def refilled(self, *found, whole=True, next_turn=None):
        self.lane.refilled(list(found), whole=whole, next_turn=next_turn, now=self.now)


def test_an_idle_lane_asks_for_nothing_until_it_is_told():
    bench = Bench()
    assert bench.next() == NEVER
    bench.lane.look()
    assert bench.next() == Refill(LIMIT)


def test_it_looks_again_when_the_next_turn_comes():
    bench = Bench()
    bench.lane.look()
    bench.next()
    bench.refilled(next_turn=130.0)
    assert bench.next() == 130.0
    bench.now = 130.0
    assert isinstance(bench.next(), Refill)


def test_it_looks_again_once_what_it_has_is_used_up_and_there_is_more():
    bench = Bench(due(1), whole=False)
    assert bench.next() == Send((due(1),))
    assert bench.next() == Refill(LIMIT + 1)  # the one under way is in the ledger too
    bench.refilled(due(1), due(2))
    assert bench.next() == Send((due(2),))


def test_what_moved_on_while_the_ledger_was_read_is_looked_up_once_more():
    bench = Bench(due(1))
    assert bench.next() == Send((due(1),))
    bench.lane.look()
    assert isinstance(bench.next(), Refill)
    bench.lane.ended(due(1), bench.now)
    bench.refilled(due(1))  # read before it ended
    assert isinstance(bench.next(), Refill)
    bench.refilled()
    assert bench.next() == NEVER


def test_what_changed_while_the_ledger_was_read_is_looked_up_once_more():
    bench = Bench()
    bench.lane.look()
    assert isinstance(bench.next(), Refill)
    bench.lane.look()
    bench.refilled()  # read before it changed
    assert isinstance(bench.next(), Refill)
    bench.refilled()
    assert bench.next() == NEVER


@pytest.mark.parametrize("hold", ["halted", "guard", "closed"])
def test_what_is_held_back_waits_but_for_what_is_finished_here(hold):
    bench = Bench(due(1), due(2, HERE))
    match hold:
        case "halted":
            bench.halted = True
        case "guard":
            bench.ready_at = 150.0
        case "closed":
            bench.next()  # HERE
            bench.lane.put_back(due(2, HERE), closed_until=150.0)
    assert bench.next() == Send((due(2, HERE),))
    assert bench.next() == (NEVER if hold == "halted" else 150.0)
    bench.halted, bench.now = False, 150.0
    assert bench.next() == Send((due(1),))


def test_two_of_one_path_go_one_after_the_other_and_others_meanwhile():
    bench = Bench(due(1, path=b"a"), due(2, path=b"a"), due(3))
    assert [bench.next(), bench.next()] == [Send((due(1, path=b"a"),)), Send((due(3),))]
    assert bench.next() == NEVER
    bench.lane.ended(due(1, path=b"a"), bench.now)
    assert bench.next() == Send((due(2, path=b"a"),))


def test_a_strict_lane_waits_for_its_head_to_have_ended():
    bench = Bench(due(1), due(2), strict=True)
    assert bench.next() == Send((due(1),))
    assert bench.next() == NEVER
    bench.lane.ended(due(1), bench.now, wait=20.0)
    assert bench.next() == 120.0
    bench.lane.look()
    assert isinstance(bench.next(), Refill)
    bench.refilled(due(1), due(2))
    assert bench.next() == 120.0
    bench.now = 120.0
    assert bench.next() == Send((due(1),))
    bench.lane.ended(due(1), bench.now)
    assert bench.next() == Send((due(2),))


def test_a_strict_lane_sends_nothing_while_the_ledger_is_read():
    """The head that was put off is not in the list then, and must not be overtaken."""
    bench = Bench(due(1), due(2), strict=True)
    bench.next()
    bench.lane.ended(due(1), bench.now, wait=20.0)
    bench.now = 120.0
    assert isinstance(bench.next(), Refill)
    assert not isinstance(bench.next(), Send)
    bench.refilled(due(1), due(2))
    assert bench.next() == Send((due(1),))


def test_what_failed_for_a_reason_of_our_own_rests_and_others_go_on():
    bench = Bench(due(1), due(2))
    bench.next()
    bench.lane.rest(due(1), until=130.0)
    assert bench.next() == Send((due(2),))
    bench.lane.look()
    assert isinstance(bench.next(), Refill)
    bench.refilled(due(1))
    assert bench.next() == 130.0
    bench.now = 130.0
    assert isinstance(bench.next(), Refill)
    bench.refilled(due(1))
    assert bench.next() == Send((due(1),))


def test_many_that_rest_close_the_lane_so_that_memory_is_bounded():
    bench = Bench(*(due(number) for number in range(LIMIT)), whole=False, concurrency=LIMIT)
    for number in range(LIMIT):
        assert bench.next() == Send((due(number),))
        bench.lane.rest(due(number), until=130.0)
    assert isinstance(bench.next(), Refill)
    bench.refilled(due(LIMIT))
    assert bench.next() == 130.0
    assert bench.lane.held == LIMIT + 1


def test_an_offer_is_claimed_once_and_again_if_it_came_during_the_claim():
    bench = Bench()
    assert bench.lane.offer((b"a",))
    assert bench.lane.offer((b"a",))
    assert bench.next() == Claim(((b"a",),))
    assert bench.next() == NEVER
    assert bench.lane.offer((b"a",))
    bench.lane.claimed((b"a",), due(1))
    assert [bench.next(), bench.next()] == [Send((due(1),)), Claim(((b"a",),))]


def test_sending_comes_before_claiming():
    bench = Bench(due(1))
    bench.lane.offer((b"a",))
    assert [bench.next(), bench.next()] == [Send((due(1),)), Claim(((b"a",),))]


def test_a_claim_that_failed_rests_and_others_go_on():
    bench = Bench()
    for name in (b"a", b"b"):
        bench.lane.offer((name,))
    bench.next()
    bench.lane.claim_failed((b"a",), until=130.0)
    assert bench.next() == Claim(((b"b",),))
    assert bench.next() == 130.0
    bench.now = 130.0
    assert bench.next() == Claim(((b"a",),))


def test_in_a_strict_lane_the_next_claim_waits_for_it():
    bench = Bench(strict=True)
    for name in (b"a", b"b"):
        bench.lane.offer((name,))
    assert bench.next() == Claim(((b"a",),))
    assert bench.next() == NEVER
    bench.lane.claim_failed((b"a",), until=130.0)
    assert bench.next() == 130.0
    bench.now = 130.0
    assert bench.next() == Claim(((b"a",),))


def test_there_is_room_for_so_many_offers_and_no_more():
    bench = Bench()
    assert all(bench.lane.offer((b"%d" % number,)) for number in range(OFFERS))
    assert not bench.lane.offer((b"another",))
    assert bench.lane.offer((b"0",))  # it is there already


def test_what_goes_first_does():
    bench = Bench(due(1), due(2, FIRST))
    assert bench.next() == Send((due(2, FIRST),))


def small(*numbers, **changes):
    return [due(number, size=4096, **changes) for number in numbers]


def test_small_files_go_together_as_many_and_as_large_as_one_step_takes():
    many = small(*range(TOGETHER + 2))
    bench = Bench(*many, due(50, size=TOGETHER_SIZE - 4096), *small(51, 52))
    assert bench.next() == Send(tuple(many[:TOGETHER]))
    assert bench.next() == Send(tuple(many[TOGETHER:]))
    assert bench.next() == Send((due(50, size=TOGETHER_SIZE - 4096), *small(51)))
    assert bench.next() == Send(tuple(small(52)))


def test_those_that_go_first_wait_for_no_others_and_of_one_path_none_go_together():
    first, twice = small(1, rank=FIRST), small(2, 3, path=b"a")
    bench = Bench(*first, *twice, *small(4))
    assert bench.next() == Send(tuple(first))
    assert bench.next() == Send((twice[0], *small(4)))
    assert bench.next() == NEVER
    bench.lane.ended(twice[0], bench.now)
    assert bench.next() == Send((twice[1],))


def test_a_lane_has_so_many_groups_under_way_and_another_once_all_of_one_have_ended():
    many = small(*range(3 * TOGETHER))
    bench = Bench(*many, concurrency=2)
    assert [bench.next(), bench.next()] == [
        Send(tuple(many[:TOGETHER])),
        Send(tuple(many[TOGETHER : 2 * TOGETHER])),
    ]
    for each in many[: TOGETHER - 1]:
        bench.lane.ended(each, bench.now)
    assert bench.next() == NEVER
    bench.lane.put_back(many[TOGETHER - 1])
    assert bench.next() == Send((many[TOGETHER - 1], *many[2 * TOGETHER : 3 * TOGETHER - 1]))


def test_in_a_strict_lane_none_go_together():
    bench = Bench(*small(1, 2), strict=True, together=True)
    bench.lane.offer((b"a",))
    bench.lane.offer((b"b",))
    assert [bench.next(), bench.next()] == [Send(tuple(small(1))), Claim(((b"a",),))]


def test_offers_are_claimed_together_where_gates_are_quick():
    names = [(b"%02d" % number,) for number in range(TOGETHER + 1)]
    bench = Bench(together=True)
    for name in names:
        bench.lane.offer(name)
    assert bench.next() == Claim(tuple(names[:TOGETHER]))
    bench.together = False
    bench.lane.offer((b"last",))
    bench.lane.claimed(names[0], None)
    bench.lane.unclaimed(names[1:TOGETHER])
    assert [bench.next() for _ in names[1:]] == [Claim((name,)) for name in names[1:]]
    assert bench.next() == Claim(((b"last",),))
