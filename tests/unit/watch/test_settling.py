"""Settling against a model that remembers every look and judges by its definition."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sftpd.files.fingerprint import Snapshot
from sftpd.watch.settling import EmptyFiles, Policy, Settling, State

POLICY = Policy(stable_for=2.0, minimum_age=3.0)
PATH = (b"a.csv",)
ONE, TWO, EMPTY = Snapshot(1, 1, 1), Snapshot(1, 2, 1), Snapshot(1, 0, 1)


def states(settling, *looks):
    return [settling.look(PATH, snapshot, now) for now, snapshot in looks]


def test_a_file_is_ready_once_when_it_is_stable_and_old_enough():
    looks = [(0.0, ONE), (2.0, ONE), (3.0, ONE), (4.0, ONE)]
    assert states(Settling(POLICY), *looks) == [State.WAITING, State.WAITING, State.READY, State.DONE]


def test_a_change_starts_the_wait_anew():
    looks = [(0.0, ONE), (3.0, TWO), (4.0, TWO), (5.0, TWO)]
    assert states(Settling(POLICY), *looks) == [State.WAITING, State.WAITING, State.WAITING, State.READY]


def test_a_vanished_file_is_forgotten():
    settling = Settling(POLICY)
    assert states(settling, (0.0, ONE), (1.0, None), (3.0, ONE)) == [State.WAITING, State.GONE, State.WAITING]


def test_a_file_that_changes_after_it_was_taken_is_ready_again_as_if_it_were_new():
    looks = [(0.0, ONE), (3.0, ONE), (4.0, TWO), (6.0, TWO), (7.0, TWO)]
    assert states(Settling(POLICY), *looks)[-2:] == [State.WAITING, State.READY]


def test_a_file_can_be_asked_for_again():
    settling = Settling(POLICY)
    states(settling, (0.0, ONE), (3.0, ONE))
    settling.again(PATH, 10.0)
    assert states(settling, (9.0, ONE), (10.0, ONE)) == [State.WAITING, State.READY]


@pytest.mark.parametrize(
    ("policy", "states_seen"),
    [
        (EmptyFiles.SEND, [State.WAITING, State.READY, State.DONE, State.WAITING]),
        (EmptyFiles.HOLD, [State.WAITING, State.EMPTY, State.DONE, State.WAITING]),
    ],
)
def test_an_empty_file_is_sent_or_held_as_the_policy_says(policy, states_seen):
    settling = Settling(Policy(stable_for=1.0, empty=policy))
    assert states(settling, (0.0, EMPTY), (1.0, EMPTY), (2.0, EMPTY), (3.0, ONE)) == states_seen


def test_what_the_file_system_says_of_its_last_change_counts_as_waiting():
    settling = Settling(POLICY)
    assert settling.look(PATH, ONE, 100.0, quiet=2.9) is State.WAITING
    assert settling.next_look() == pytest.approx(100.1)
    assert settling.look((b"b",), ONE, 100.0, quiet=3.0) is State.READY
    assert settling.look(PATH, TWO, 100.1, quiet=0.1) is State.WAITING
    assert settling.look(PATH, TWO, 102.0, quiet=2.0) is State.READY


def test_no_more_files_are_remembered_than_there_is_room_for():
    settling = Settling(Policy(stable_for=2.0, most_waiting=1))
    assert settling.look((b"a",), ONE, 0.0) is State.WAITING
    assert settling.look((b"b",), ONE, 0.0) is State.CROWDED
    assert settling.look((b"c",), ONE, 0.0, quiet=2.0) is State.READY
    assert (len(settling), (b"b",) in settling) == (1, False)
    assert settling.look((b"a",), ONE, 2.0) is State.READY
    assert settling.look((b"b",), ONE, 2.0) is State.WAITING


def test_a_file_that_is_asked_for_again_and_has_changed_waits_as_any_other():
    settling = Settling(POLICY)
    states(settling, (0.0, ONE), (3.0, ONE))
    settling.again(PATH, 4.0)
    assert settling.due(4.0, 10) == [PATH]
    assert states(settling, (4.0, TWO), (5.9, TWO), (6.0, TWO)) == [State.WAITING, State.WAITING, State.READY]


def test_a_file_that_was_handed_over_can_have_its_turn_again():
    settling = Settling(POLICY)
    states(settling, (0.0, ONE), (3.0, ONE))
    settling.renew(PATH)
    assert states(settling, (4.0, ONE), (7.0, ONE)) == [State.WAITING, State.READY]


def test_what_a_scan_does_not_come_across_is_forgotten_and_what_waits_is_not():
    settling = Settling(Policy(stable_for=2.0))
    for path in ((b"a",), (b"b",)):
        settling.look(path, ONE, 0.0, quiet=2.0)
    settling.look((b"c",), ONE, 0.0)
    settling.begin_scan()
    assert settling.look((b"a",), ONE, 1.0) is State.DONE
    settling.end_scan()
    assert [(name,) in settling for name in (b"a", b"b", b"c")] == [True, False, True]


def test_what_is_due_comes_in_portions_the_longest_due_first():
    settling = Settling(Policy(stable_for=1.0))
    paths = [(b"%d" % number,) for number in range(5)]
    for number, path in enumerate(paths):
        settling.look(path, ONE, number / 10)
    assert settling.due(2.0, 3) == paths[:3]
    assert settling.due(2.0, 3) == paths[3:]


def test_a_file_that_never_rests_has_one_look_planned():
    settling = Settling(Policy(stable_for=10.0))
    for number in range(1000):
        settling.look(PATH, Snapshot(1, number, 1), number / 1000)
    assert len(settling._agenda) == 1


class SettlingModel(RuleBasedStateMachine):
    """Any order of looks, at any times: ready means stable, old enough, and never twice for one content."""

    paths = st.sampled_from([(b"a",), (b"d", b"b")])
    snapshots = st.sampled_from([ONE, TWO, EMPTY])

    def __init__(self):
        super().__init__()
        self.settling = Settling(POLICY)
        self.now = 0.0
        self.files = {}
        self.looks = {}
        self.taken = {}
        self.not_before = {}

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 3.0, 50.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule(path=paths, snapshot=st.none() | snapshots)
    def change(self, path, snapshot):
        self.files[path] = snapshot

    @rule(path=paths)
    def again(self, path):
        if path in self.looks:
            self.taken.pop(path, None)
            self.not_before[path] = self.now + 1.0
        self.settling.again(path, self.now + 1.0)

    @rule(path=paths)
    def look(self, path):
        snapshot = self.files.get(path)
        state = self.settling.look(path, snapshot, self.now)
        if snapshot is None:
            assert state is State.GONE
            for memory in (self.looks, self.taken, self.not_before):
                memory.pop(path, None)
            return
        history = self.looks.setdefault(path, [])
        history.append((self.now, snapshot))
        assert state is self.expected(path, history)
        if state is State.READY:
            self.taken[path] = snapshot

    def expected(self, path, history):
        now, snapshot = history[-1]
        if self.taken.get(path) == snapshot:
            return State.DONE
        if self.taken.pop(path, None) is not None:
            del history[:-1]
        since = now
        for at, seen in reversed(history):
            if seen != snapshot:
                break
            since = at
        stable = now - since >= POLICY.stable_for
        old = now - history[0][0] >= POLICY.minimum_age
        return State.READY if stable and old and now >= self.not_before.get(path, 0) else State.WAITING

    @precondition(lambda self: self.looks)
    @rule()
    def left_alone_every_file_is_taken(self):
        for _ in range(20):
            at = self.settling.next_look()
            if at is None:
                break
            self.now = max(self.now, at)
            for path in self.settling.due(self.now, 100):
                self.look(path)
        assert self.settling.next_look() is None
        assert all(self.taken.get(path) == looks[-1][1] for path, looks in self.looks.items())

    @invariant()
    def what_is_known_is_what_was_seen(self):
        for path in ((b"a",), (b"d", b"b")):
            assert (path in self.settling) == (path in self.looks)


SettlingModel.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestSettlingModel = SettlingModel.TestCase
