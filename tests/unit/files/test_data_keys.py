"""Data keys: durable when made, gone when destroyed, and never taken for another's."""

import os
import resource
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sftpd.errors import NotFoundError
from sftpd.files.data_keys import DataKeys, KeyFileError, WrappingKey

SECRET = bytes(range(32))


def open_keys(path, secret=SECRET, name="demo"):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    return DataKeys(fd, WrappingKey(secret), name=name, where=str(path))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "demo.keys"


@contextmanager
def keys_of(path, **options):
    with closing(open_keys(path, **options)) as keys:
        yield keys


def test_a_key_outlives_a_restart_and_not_its_destruction(path):
    keys = open_keys(path)
    made = {name: keys.make(name) for name in ("one", "two", "three")}
    assert len(set(made.values())) == 3
    keys.close()
    keys = open_keys(path)
    assert {name: keys.get(name) for name in made} == made
    assert keys.destroy("two")
    assert not keys.destroy("two")
    keys.close()
    keys = open_keys(path)
    with pytest.raises(NotFoundError, match="two: it was destroyed"):
        keys.get("two")
    assert keys.get("three") == made["three"]
    keys.close()


def test_of_a_destroyed_key_the_file_holds_no_byte(path):
    keys = open_keys(path)
    keys.make("one")
    before = path.read_bytes()
    keys.make("two")
    (two,) = [path.read_bytes()[len(before) :]]
    keys.destroy("two")
    assert two.strip(b"\0")[-32:] not in path.read_bytes()
    assert path.read_bytes()[len(before) :].strip(b"\0") == b""
    keys.make("three")
    assert path.stat().st_size == len(before) + len(two)  # in the same place
    keys.close()


def test_a_key_that_was_not_written_whole_is_none(path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with keys_of(path) as keys:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, limit[1]))
        try:
            with pytest.raises(OSError, match="No space left"):
                keys.make("a" * 32)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert keys.identifiers() == set()


def test_a_new_key_for_the_same_file_takes_the_place_of_the_old(path):
    keys = open_keys(path)
    first, second = keys.make("one"), keys.make("one")
    assert first != second == keys.get("one")
    keys.close()
    keys = open_keys(path)
    assert keys.get("one") == second
    keys.close()


def test_another_secret_or_link_unwraps_nothing(path):
    with keys_of(path) as keys:
        keys.make("one")
    for other in ({"secret": bytes(32)}, {"name": "other"}):
        with keys_of(path, **other) as keys, pytest.raises(KeyFileError):
            keys.get("one")


def test_entries_that_were_swapped_are_noticed(path):
    with keys_of(path) as keys:
        keys.make("one")
        keys.make("two")
    data = path.read_bytes()
    size = len(data) // 3
    head, one, two = data[:size], data[size : 2 * size], data[2 * size :]
    path.write_bytes(head + one[:7] + two[7:] + two[:7] + one[7:])
    with keys_of(path) as keys:
        for name in ("one", "two"):
            with pytest.raises(KeyFileError):
                keys.get(name)


@pytest.mark.parametrize("length", [1, 26, 500])
def test_no_key_lies_across_two_blocks(path, length):
    names = [f"{number:0{length}}" for number in range(60)]
    with keys_of(path) as keys:
        for name in names:
            keys.make(name)
    data, block = path.read_bytes(), 512 if length < 400 else 1024
    for name in names:
        at = data.index(name.encode())
        assert at // block == (at + length + 60 - 1) // block


def test_what_is_no_file_of_keys_is_refused(path):
    path.write_bytes(b"x" * 200)
    with pytest.raises(KeyFileError, match=r"demo\.keys: not a file of keys"):
        open_keys(path)


def test_a_slot_that_was_left_half_written_keeps_nobody_from_the_others(path):
    with keys_of(path) as keys:
        first, _ = keys.make("one"), keys.make("two")
    os.truncate(path, path.stat().st_size - 100)
    with keys_of(path) as keys:
        assert keys.damaged == [1]
        assert keys.get("one") == first
        assert keys.make("three") == keys.get("three")


def test_it_tells_of_what_there_are_keys(path):
    with keys_of(path) as keys:
        for name in ("one", "two", "three"):
            keys.make(name)
        keys.destroy("one")
        assert keys.identifiers() == {"two", "three"}


def test_another_wrapping_key_is_noticed_at_once(path):
    with keys_of(path) as keys:
        keys.require_readable()  # nothing to read yet
        keys.make("one")
        keys.require_readable()
    with keys_of(path, secret=bytes(32)) as keys, pytest.raises(KeyFileError, match="by another key"):
        keys.require_readable()


def test_a_key_is_durable_before_it_is_returned(path):
    """Killed at once, without any chance to flush."""
    made = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True, check=False
    )
    assert made.returncode == -9
    with keys_of(path) as keys:
        assert keys.get("one").hex() == made.stdout.strip()


KILLED = """
import os, signal, sys
sys.path.insert(0, "tests/unit/files")
from test_data_keys import open_keys
print(open_keys(sys.argv[1]).make("one").hex(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


class KeysModel(RuleBasedStateMachine):
    """Against a dict."""

    def __init__(self):
        super().__init__()
        self.file = os.memfd_create("keys")
        self.path = f"/proc/self/fd/{self.file}"
        self.keys, self.known = open_keys(self.path), {}

    def teardown(self):
        self.keys.close()
        os.close(self.file)

    @rule(name=st.sampled_from("abcde"))
    def make(self, name):
        self.known[name] = self.keys.make(name)

    @rule(name=st.sampled_from("abcde"))
    def destroy(self, name):
        assert self.keys.destroy(name) == (self.known.pop(name, None) is not None)

    @rule()
    def restart(self):
        self.keys.close()
        self.keys = open_keys(self.path)

    @invariant()
    def agree(self):
        assert {name: self.keys.get(name) for name in "abcde" if name in self.keys} == self.known


TestKeysModel = KeysModel.TestCase
TestKeysModel.settings = settings(max_examples=40, stateful_step_count=30)


def test_a_file_without_keys_begins_anew_with_room_for_longer_ones(path):
    class Longer(WrappingKey):
        def wrap(self, key, context):
            return super().wrap(key, context).ljust(300, b"\0")

        def unwrap(self, wrapped, context):
            return super().unwrap(wrapped[:60], context)

    def longer():
        return closing(DataKeys(os.open(path, os.O_RDWR), Longer(SECRET), name="demo", where="x"))

    with keys_of(path) as keys:
        keys.make("a" * 32)
    with longer() as keys:
        with pytest.raises(KeyFileError, match="a wrapped key takes 336 bytes"):
            keys.make("b" * 32)
        keys.destroy("a" * 32)
        made = [keys.make(name * 32) for name in "cd"]
    with longer() as keys:
        assert [keys.get(name * 32) for name in "cd"] == made
        assert keys.identifiers() == {"c" * 32, "d" * 32}
