"""Marks against a dict that remembers everything."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sftpd.files.fingerprint import Snapshot
from sftpd.watch.marks import Marks


def snapshot(number):
    return Snapshot(number, number * 1000, number * 10**9)


def test_a_hundred_thousand_files_take_64_bytes_each_at_most_and_most_of_it_is_given_back():
    marks = Marks()
    for number in range(100_000):
        marks.put((b"folder", b"%06d.csv" % number), snapshot(number))
        assert taken(marks) <= 64 * len(marks) or len(marks) < 1000
    assert all(marks.holds((b"folder", b"%06d.csv" % n), snapshot(n)) for n in range(100_000))
    marks.begin_round()
    assert marks.holds((b"folder", b"000007.csv"), snapshot(7))
    marks.end_round()
    assert len(marks) == 1
    assert marks.holds((b"folder", b"000007.csv"), snapshot(7))
    assert taken(marks) < 100_000


def test_files_that_come_and_go_for_ever_take_no_more_room():
    marks = Marks()
    for number in range(50_000):
        marks.put((b"%d" % number,), snapshot(number))
        if number >= 100:
            marks.drop((b"%d" % (number - 100),))
    assert len(marks) == 100
    assert taken(marks) < 100_000


def taken(marks):
    return sum(slots.itemsize * len(slots) for slots in (marks._paths, marks._marks))


class MarksModel(RuleBasedStateMachine):
    paths = st.integers(0, 3000).map(lambda number: (b"d", b"%d" % number))
    numbers = st.integers(0, 2)

    def __init__(self):
        super().__init__()
        self.marks = Marks()
        self.known = {}
        self.seen = set()
        self.is_open = False

    @rule(path=paths, number=numbers)
    def put(self, path, number):
        self.marks.put(path, snapshot(number))
        self.known[path] = number
        self.seen.add(path)

    @rule(start=st.integers(0, 2000), number=numbers)
    def put_many(self, start, number):
        for at in range(start, start + 1000):
            self.put((b"d", b"%d" % at), number)

    @rule(path=paths)
    def drop(self, path):
        self.marks.drop(path)
        self.known.pop(path, None)

    @rule(path=paths, number=numbers)
    def ask(self, path, number):
        holds = self.known.get(path) == number
        assert self.marks.holds(path, snapshot(number)) is holds
        if holds:
            self.seen.add(path)

    @precondition(lambda self: not self.is_open)
    @rule()
    def begin_round(self):
        self.is_open = True
        self.marks.begin_round()
        self.seen = set()

    @precondition(lambda self: self.is_open)
    @rule()
    def end_round(self):
        self.is_open = False
        self.marks.end_round()
        self.known = {path: number for path, number in self.known.items() if path in self.seen}

    @invariant()
    def the_same_paths_are_known(self):
        assert len(self.marks) == len(self.known)
        for number in range(0, 3000, 97):
            path = (b"d", b"%d" % number)
            assert (path in self.marks) == (path in self.known)


MarksModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMarksModel = MarksModel.TestCase
