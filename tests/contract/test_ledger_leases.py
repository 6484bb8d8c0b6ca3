from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from exchange_scene import open_ledger

from sftpd.clock import SystemClock
from sftpd.ledger.leases import acquire, release

PERIOD = timedelta(seconds=30)


class At(SystemClock):
    time = datetime(2026, 7, 1, tzinfo=UTC)

    def now(self):
        return self.time


@pytest.fixture
def clock():
    return At()


@pytest.fixture
def take(tmp_path, clock):
    ledger = open_ledger(tmp_path / "ledger.db", clock)

    def take(owner, name="sequencer"):
        return ledger.write(partial(acquire, name=name, owner=owner, period=PERIOD))

    take.give_back = lambda owner: ledger.write(partial(release, name="sequencer", owner=owner))
    yield take
    ledger.close()


def test_one_has_it_and_others_do_not(take):
    assert take("a")
    assert not take("b")
    assert take("b", "another lease")


def test_its_owner_may_renew_it(take, clock):
    take("a")
    clock.time += PERIOD - timedelta(microseconds=1)
    assert take("a")
    clock.time += PERIOD - timedelta(microseconds=1)
    assert not take("b")


def test_it_ends_when_its_period_is_over(take, clock):
    take("a")
    clock.time += PERIOD
    assert take("b")
    assert not take("a")


def test_a_clock_that_was_set_back_keeps_nobody_out_for_longer_than_two_periods(take, clock):
    take("a")
    clock.time -= timedelta(days=1)
    assert take("b")
    clock.time -= PERIOD
    assert not take("a"), "it may be another machine's clock that is somewhat ahead"


def test_given_back_it_is_free(take):
    take("a")
    take.give_back("a")
    assert take("b")


def test_only_its_owner_can_give_it_back(take):
    take("a")
    take.give_back("b")
    assert not take("b")
