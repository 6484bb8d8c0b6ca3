"""Settling against a model that remembers every look and judges by its definition."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sftpd.files.fingerprint import Snapshot
from sftpd.watch.settling import EmptyFiles, Policy, Settling, State, is_temporary

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


def test_a_file_that_changes_after_it_was_taken_is_ready_again():
    looks = [(0.0, ONE), (3.0, ONE), (4.0, TWO), (6.0, TWO)]
    assert states(Settling(POLICY), *looks)[-1] is State.READY


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


@pytest.mark.parametrize(
    "path",
    [b".hidden", b"a.part", b"a.filepart", b"a.PARTIAL", b"a.tmp", b"a~", b".in.a.", b".d/a.csv"],
)
def test_temporary_and_hidden_names_are_never_ready(path):
    settling = Settling(Policy(stable_for=0.0))
    assert settling.look(tuple(path.split(b"/")), ONE, 100.0) is State.TEMPORARY
    assert settling.next_look() is None


def test_ordinary_names_are_not_temporary():
    assert not any(is_temporary((name,)) for name in (b"part", b"a.part1", b"\xff.csv", b"tmp.csv"))


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
        self.taken.pop(path, None)
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
            for path in self.settling.due(self.now):
                self.look(path)
        assert self.settling.next_look() is None
        assert all(self.taken.get(path) == looks[-1][1] for path, looks in self.looks.items())

    @invariant()
    def what_is_known_is_what_was_seen(self):
        assert self.settling.known() == self.looks.keys()


SettlingModel.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestSettlingModel = SettlingModel.TestCase
