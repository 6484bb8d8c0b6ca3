"""Files that wait too long: when they are told of, how often, and that it ends."""

import sys

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sftpd.exchange.waits import NAMED, Reason, Waits

HOUR, DAY = 3600.0, 86400.0
A, B = (b"a.csv",), (b"d", b"b.csv")


@pytest.fixture
def waits():
    return Waits(HOUR)


def told(waits, now):
    """What is told at a time, in short."""
    tellings = waits.tellings(now)
    waits.told(tellings, now)
    return [(each.about, each.reason.value, each.files, list(each.paths)) for each in tellings]


def test_a_file_is_told_of_once_after_an_hour_again_after_a_day_and_when_it_goes_on(waits):
    for now in range(0, 3600, 10):
        waits.see(A, Reason.OPEN, now)
        assert told(waits, now) == []
    for now in range(3600, 3600 + 86400, 600):
        waits.see(A, Reason.OPEN, now)
        assert told(waits, now) == ([("overdue", "open", 1, [A])] if now == 3600 else [])
    waits.see(A, Reason.OPEN, HOUR + DAY)
    assert told(waits, HOUR + DAY) == [("overdue", "open", 1, [A])]
    waits.end(A)
    assert told(waits, HOUR + DAY + 10) == [("ended", "open", 0, [])]
    assert told(waits, HOUR + DAY + 20) == []


def test_a_file_that_is_now_written_and_now_held_open_waits_all_the_time_and_is_told_of_once_for_each(waits):
    tellings = []
    for number in range(10_000):
        waits.see(A, (Reason.CHANGING, Reason.OPEN)[number % 2], number)
        tellings += told(waits, number)
    assert sorted(tellings) == [("overdue", "changing", 1, [A]), ("overdue", "open", 1, [A])]


def test_another_reason_is_told_of_too(waits):
    for now in (0.0, HOUR):
        waits.see(A, Reason.NO_DONE_FILE, now)
    assert told(waits, HOUR) == [("overdue", "no_done_file", 1, [A])]
    waits.see(A, Reason.EMPTY, HOUR + 10)
    assert told(waits, HOUR + 10) == [("overdue", "empty", 1, [A])]
    waits.see(A, Reason.NO_DONE_FILE, HOUR + 20)
    assert told(waits, HOUR + 20) == []


def test_those_that_come_up_shortly_after_are_told_of_together(waits):
    for number in range(100):
        path = (b"%03d" % number,)
        waits.see(path, Reason.OPEN, number)
        waits.see(path, Reason.OPEN, number + HOUR)
        told_now = told(waits, number + HOUR)
        assert [each[2] for each in told_now] == ([1] if number == 0 else [])
    ((about, _, files, paths),) = told(waits, HOUR + 900)
    assert (about, files, len(paths), paths[0]) == ("overdue", 100, 99, (b"001",))


def test_what_nobody_looks_at_does_not_become_overdue(waits):
    waits.see(A, Reason.CHANGING, 0.0)
    waits.see(A, Reason.CHANGING, HOUR - 1)
    assert told(waits, 10 * HOUR) == []


def test_the_time_that_it_lay_there_before_counts_once_it_was_seen_for_a_minute(waits):
    waits.see(A, Reason.NO_DONE_FILE, 5 * HOUR, quiet=2 * HOUR)
    assert told(waits, 5 * HOUR) == []
    waits.see(A, Reason.NO_DONE_FILE, 5 * HOUR + 60)
    (telling,) = waits.tellings(5 * HOUR + 60)
    assert (telling.since, telling.paths) == (3 * HOUR, [A])


def test_what_a_round_does_not_come_across_waits_no_more(waits):
    for path in (A, B):
        waits.see(path, Reason.EMPTY, 0.0)
        waits.see(path, Reason.EMPTY, HOUR)
    waits.begin_round()
    waits.see(A, None, HOUR + 1)
    waits.see((b"taken",), None, HOUR + 1)
    waits.end_round()
    ((reason, files, since, paths),) = waits.standing()
    assert (reason, files, since, paths) == (Reason.EMPTY, 1, 0.0, [A])
    assert len(waits) == 1


def test_a_million_files_take_bounded_memory_are_told_of_at_once_and_hide_no_other_reason():
    waits = Waits(HOUR, most=100)
    for now in (0.0, HOUR):
        for number in range(1_000_000 if now == 0.0 else 1000):
            waits.see((b"%07d" % number,), Reason.NO_DONE_FILE, now)
        waits.see(A, Reason.OPEN, now)
    assert len(waits) == 101
    (first, second) = told(waits, HOUR)
    assert (first[1:3], len(first[3])) == (("no_done_file", 100), 100)
    assert second == ("overdue", "open", 1, [A])
    assert max(len(each.paths) for each in waits.standing()) == NAMED
    waits.end((b"0000000",))
    waits.see((b"0999999",), Reason.NO_DONE_FILE, 2 * HOUR)
    assert (b"0999999",) in waits._waits


def test_nor_do_files_take_more_that_wait_for_another_reason_at_first():
    waits = Waits(HOUR, most=100)
    for number in range(1000):
        for reason in (Reason.CHANGING, Reason.EMPTY):
            waits.see((b"%04d" % number,), reason, number)
    assert len(waits) == 100
    assert waits._counts.total() == 100


def test_what_another_file_goes_on_waiting_for_has_not_ended(waits):
    for path, now in ((A, 0.0), (A, HOUR)):
        waits.see(path, Reason.EMPTY, now)
    assert told(waits, HOUR) == [("overdue", "empty", 1, [A])]
    waits.see(B, Reason.EMPTY, HOUR)
    waits.end(A)
    assert told(waits, HOUR) == [("ended", "empty", 0, [])]
    waits.see(B, Reason.EMPTY, 2 * HOUR)
    assert told(waits, 2 * HOUR) == [("overdue", "empty", 1, [B])]
    waits.see(A, Reason.EMPTY, 2 * HOUR)
    waits.see(A, Reason.EMPTY, 3 * HOUR)
    waits.end(B)
    assert told(waits, 3 * HOUR) == [("overdue", "empty", 1, [A])]
    waits.end(A)
    assert told(waits, 3 * HOUR) == [("ended", "empty", 0, [])]


def test_it_says_whether_a_file_has_not_waited_for_that_before():
    waits = Waits(HOUR, most=1)
    assert waits.see(A, Reason.OPEN, 0.0)
    assert not waits.see(A, Reason.OPEN, 1.0)
    assert not waits.see(A, None, 1.0)
    assert waits.see(A, Reason.UNREADABLE, 2.0)
    assert not waits.see(B, Reason.UNREADABLE, 3.0), "it is not known, for others are"
    waits.end(A, Reason.OPEN)
    assert len(waits) == 1
    waits.end(A, Reason.UNREADABLE)
    assert len(waits) == 0


def test_one_that_waits_only_while_it_rests_waits_anew_once_it_has_changed(waits):
    for number in range(10):
        waits.see(A, Reason.UNFINISHED, number * HOUR / 2, mark=number)
        assert told(waits, number * HOUR / 2) == []
    waits.see(A, Reason.UNFINISHED, 6 * HOUR, mark=9)
    assert told(waits, 6 * HOUR) == [("overdue", "unfinished", 1, [A])]
    waits.see(A, Reason.UNFINISHED, 7 * HOUR, mark=10)
    assert told(waits, 7 * HOUR) == [("ended", "unfinished", 0, [])]
    assert len(waits) == 1


def test_what_could_not_be_told_is_told_later(waits):
    for now in (0.0, HOUR):
        waits.see(A, Reason.OPEN, now)
    assert waits.tellings(HOUR) == waits.tellings(HOUR) != []


class WaitsModel(RuleBasedStateMachine):
    """In any order: nothing is told twice a day for one reason, no end without a beginning, counts agree."""

    paths = st.sampled_from([A, B, (b"c",)])
    reasons = st.sampled_from([Reason.OPEN, Reason.CHANGING, Reason.EMPTY])

    def __init__(self):
        super().__init__()
        self.waits = Waits(HOUR, most=2)
        self.now = 0.0
        self.since = {}
        self.told = {}
        self.standing = set()

    @rule(path=paths, reason=reasons, wait=st.sampled_from([0.0, 61.0, HOUR, DAY]))
    def see(self, path, reason, wait):
        self.now += wait
        self.waits.see(path, reason, self.now)
        if path in self.waits._waits:
            self.since.setdefault(path, self.now)
        else:
            self._forget(path)

    @rule(path=paths)
    def end(self, path):
        self.waits.end(path)
        self._forget(path)

    def _forget(self, path):
        self.since.pop(path, None)
        for key in [key for key in self.told if key[0] == path]:
            del self.told[key]

    @rule()
    def tell(self):
        for telling in (tellings := self.waits.tellings(self.now)):
            if telling.about == "ended":
                assert telling.reason in self.standing
                assert not any(reason is telling.reason for _, reason in self.told)
                self.standing.discard(telling.reason)
                continue
            self.standing.add(telling.reason)
            for path in telling.paths:
                assert self.now - self.since[path] >= HOUR
                assert self.now - self.told.get((path, telling.reason), -sys.maxsize) >= DAY
                self.told[path, telling.reason] = self.now
        self.waits.told(tellings, self.now)
        assert self.standing >= {reason for _, reason in self.told}
        late = {each.reason for each in self.waits.standing()}
        assert self.standing <= late | {reason for _, reason in self.told}

    @invariant()
    def counts_are_of_what_is_known(self):
        assert self.waits._counts.total() == len(self.waits) == len(self.since)
        assert all(0 <= count <= 2 for count in self.waits._counts.values())


WaitsModel.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestWaitsModel = WaitsModel.TestCase
