"""When the watcher hands a file over, and in which order; real files, real reports of the kernel."""

import os
import threading
from contextlib import ExitStack
from datetime import timedelta

import pytest
from waiting import until
from watch_scene import Taken, watching

from sftpd.clock import SystemClock
from sftpd.watch import watcher as watcher_module
from sftpd.watch.selection import Selection
from sftpd.watch.settling import Policy
from sftpd.watch.tree import Order
from sftpd.watch.watcher import Pace, WatchedFolder, Watcher

LONG = 3600.0


class SettableClock(SystemClock):
    """The machine's clocks, and civil time can be set."""

    def __init__(self):
        self.ahead = timedelta()

    def now(self):
        return super().now() + self.ahead


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "outbound"
    path.mkdir()
    return path


@pytest.fixture
def taken():
    return Taken()


@pytest.fixture
def watch(root, taken):
    with ExitStack() as watchers:
        yield lambda **options: watchers.enter_context(watching(root, taken, **options))


def test_a_file_waits_for_its_done_file_which_is_never_handed_over(watch, root, taken):
    (root / "d").mkdir()
    for name in ("a.csv", "b.csv", "b.csv.ok", "d/c.csv", "lonely.ok"):
        (root / name).write_bytes(b"1")
    watch(selection=Selection(done_file=".ok"))
    until(lambda: taken.holds((b"b.csv",)))
    (root / "d" / "c.csv.ok").touch()
    until(lambda: taken.holds((b"b.csv",), (b"d", b"c.csv")))
    (root / "a.csv.tmp").touch()
    (root / "a.csv.tmp").rename(root / "a.csv.ok")
    until(lambda: taken.holds((b"b.csv",), (b"d", b"c.csv"), (b"a.csv",)))


def test_a_done_file_that_goes_again_speaks_for_nothing(watch, root, taken):
    watch(selection=Selection(done_file=".ok"), policy=Policy(stable_for=0.3))
    for name in ("a.csv", "a.csv.ok", "b.csv", "b.csv.ok"):
        (root / name).write_bytes(b"1")
    (root / "a.csv.ok").unlink()
    until(lambda: taken.holds((b"b.csv",)))


def test_a_file_that_is_open_for_writing_waits_until_it_is_closed(watch, root, taken, monkeypatch):
    monkeypatch.setattr(watcher_module, "_WRITTEN", 0.05)
    watch()
    with (root / "open.csv").open("wb", buffering=0) as writer:
        writer.write(b"begun")
        with (root / "read.csv").open("w+b") as other:
            other.write(b"1")
        with (root / "read.csv").open("rb"):
            for name in ("1", "2", "3"):
                (root / name).write_bytes(b"1")
                until(lambda name=name: (name.encode(),) in taken.paths)
        assert (b"read.csv",) in taken.paths
        assert (b"open.csv",) not in taken.paths
    until(lambda: (b"open.csv",) in taken.paths)
    assert len(taken.paths) == 5


def test_or_does_not_where_it_need_not(watch, root, taken):
    watch(waits_for_writers=False)
    with (root / "open.csv").open("wb", buffering=0) as writer:
        writer.write(b"begun")
        until(lambda: taken.holds((b"open.csv",)))


def test_a_file_is_not_taken_before_its_minimum_age(watch, root, taken):
    (root / "old.csv").write_bytes(b"1")
    os.utime(root / "old.csv", (0, 0))
    watcher = watch(policy=Policy(stable_for=0.0, minimum_age=LONG))
    until(lambda: (b"old.csv",) in watcher._settling)
    assert taken.paths == []


@pytest.mark.parametrize("policy", [Policy(stable_for=LONG), Policy(stable_for=0.0, minimum_age=LONG)])
def test_the_file_system_tells_how_long_a_file_has_lain_there(watch, root, taken, policy):
    """An hour later the files that lay there are ready at once, for nobody can set the time of change."""
    (root / "a").write_bytes(b"1")
    clock = SettableClock()
    clock.ahead = timedelta(seconds=LONG + 1)
    watch(policy=policy, clock=clock)
    until(lambda: taken.holds((b"a",)))


def test_and_is_not_believed_once_the_clock_was_set(watch, root, taken):
    clock = SettableClock()
    watcher = watch(policy=Policy(stable_for=LONG), clock=clock)
    until(lambda: watcher._drift is not None)
    clock.ahead = timedelta(seconds=LONG + 1)
    watcher.again((b"nothing",))  # has the watcher look up
    until(lambda: watcher._steady_since > 0)
    (root / "a").write_bytes(b"1")
    until(lambda: (b"a",) in watcher._settling)
    assert taken.paths == []


def test_nor_where_the_folder_is_polled(watch, root, taken):
    (root / "a").write_bytes(b"1")
    clock = SettableClock()
    clock.ahead = timedelta(seconds=LONG + 1)
    watcher = watch(policy=Policy(stable_for=LONG), clock=clock, polled=True)
    until(lambda: (b"a",) in watcher._settling)
    assert taken.paths == []


def test_files_that_are_ready_together_come_in_order(watch, root, taken):
    names = [b"c", b"a", b"\xff", b"d/a", b"b"]
    (root / "d").mkdir()
    for number, name in enumerate(names):
        path = os.path.join(os.fsencode(root), name)
        with open(path, "wb") as file:
            file.write(name)
        os.utime(path, ns=(0, number * 10**9))
    paths = [tuple(name.split(b"/")) for name in names]
    taken.room = 0
    watcher = watch(policy=Policy(stable_for=0.0))
    until(lambda: len(watcher._ready) == len(names))
    taken.room = len(names)
    until(lambda: len(taken.paths) == len(names))
    assert taken.paths == sorted(paths)
    taken.paths.clear()
    watcher.stop()
    taken.room = 0
    watcher = watch(policy=Policy(stable_for=0.0), order=Order.TIME)
    until(lambda: len(watcher._ready) == len(names))
    taken.room = len(names)
    until(lambda: len(taken.paths) == len(names))
    assert taken.paths == paths


def test_what_there_is_no_room_for_is_handed_over_later_and_each_once(watch, root, taken, monkeypatch):
    monkeypatch.setattr(watcher_module, "_ROOM", 0.01)
    monkeypatch.setattr(watcher_module, "_MOST_READY", 50)
    monkeypatch.setattr(watcher_module, "_SLICE", 20)
    monkeypatch.setattr(watcher_module, "_MOST_HINTS", 30)
    names = [b"%04d" % number for number in range(500)]
    for name in names[:400]:
        (root / os.fsdecode(name)).write_bytes(name)
    taken.room = 7
    watcher = watch(pace=Pace(rescan=0.2))
    until(lambda: len(taken.paths) == 7)
    for name in names[400:]:
        (root / os.fsdecode(name)).write_bytes(name)
    most = 0
    for wave in range(50):
        taken.room = 10
        until(lambda wave=wave: len(taken.paths) >= min(7 + 10 * (wave + 1), 500))
        most = max(most, len(watcher._ready), len(watcher._hints))
    assert most < 50 + 20
    assert taken.holds(*((name,) for name in names))


def test_a_file_that_changes_while_there_is_no_room_is_not_handed_over_until_it_rests(watch, root, taken):
    (root / "a").write_bytes(b"1")
    taken.room = 0
    watcher = watch(policy=Policy(stable_for=0.3))
    until(lambda: watcher._ready)
    (root / "a").write_bytes(b"22")
    taken.room = 9
    until(lambda: not watcher._ready)
    assert taken.paths == []
    until(lambda: taken.holds((b"a",)))


def test_more_files_than_can_wait_at_once_come_in_their_turn(watch, root, taken):
    names = [b"%04d" % number for number in range(60)]
    for name in names:
        (root / os.fsdecode(name)).write_bytes(name)
    watch(policy=Policy(stable_for=1.0, most_waiting=5))
    until(lambda: len(taken.paths) >= len(names))
    assert taken.holds(*((name,) for name in names))


def test_a_file_that_was_away_when_it_was_to_be_taken_has_its_turn_again(watch, root, taken, tmp_path):
    (root / "d").mkdir()
    for name in ("a", "d/b"):
        (root / name).write_bytes(b"1")
    watch()
    until(lambda: taken.holds((b"a",), (b"d", b"b")))
    for name in ("a", "d"):
        (root / name).rename(tmp_path / name)
        (tmp_path / name).rename(root / name)
    # A look between the two halves of a move may make it three times, which harms nobody.
    until(lambda: all(taken.paths.count(path) > 1 for path in ((b"a",), (b"d", b"b"))))


def test_so_has_one_that_was_back_before_anybody_looked(root, taken):
    (root / "a").write_bytes(b"1")
    path = os.fsencode(root / "a")
    with watching(root, taken, polled=True, pace=Pace(poll=LONG)) as watcher:
        until(lambda: taken.holds((b"a",)))
        watcher._hint(path, False)
        until(lambda: not watcher._hints)
        watcher._hint(path, True)
        until(lambda: taken.holds((b"a",), (b"a",)))


def test_a_full_scan_stands_in_for_more_hints_than_are_kept(root, taken, monkeypatch):
    monkeypatch.setattr(watcher_module, "_MOST_HINTS", 10)
    with watching(root, taken, polled=True, pace=Pace(poll=LONG)) as watcher:
        until(lambda: watcher._rounds._ended > 0)
        names = [b"%03d" % number for number in range(100)]
        for name in names:
            (root / os.fsdecode(name)).write_bytes(name)
        with watcher._changed:
            for name in names:
                watcher._hint(os.fsencode(root) + b"/" + name, True)
            assert len(watcher._hints) == 11
        until(lambda: taken.holds(*((name,) for name in names)))


def test_without_recursion_the_files_of_the_folder_alone_are_taken(watch, root, taken):
    (root / "d").mkdir()
    (root / "d" / "x").write_bytes(b"1")
    watcher = watch(selection=Selection(recursive=False))
    (root / "a").write_bytes(b"1")
    until(lambda: taken.holds((b"a",)))
    (root / "e").mkdir()
    (root / "e" / "y").write_bytes(b"1")
    (root / "b").write_bytes(b"1")
    until(lambda: taken.holds((b"a",), (b"b",)))
    assert len(watcher._observation._watches) == 1


def test_a_patterns_slash_is_for_paths(watch, root, taken):
    for name in ("a.csv", "drafts/b.csv", "final/c.csv", "final/d.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"1")
    watch(selection=Selection(include=("*.csv", "final/*"), exclude=("drafts/*",)))
    until(lambda: taken.holds((b"a.csv",), (b"final", b"c.csv"), (b"final", b"d.txt")))


def test_hints_are_followed_while_a_large_folder_is_read(watch, root, taken):
    """The scan never ends here; a file that comes meanwhile is taken all the same."""
    watcher = watch()
    until(lambda: watcher._rounds._ended > 0)
    watcher._tree.files = lambda: iter(lambda: None, 1)
    watcher._rounds.want()
    until(lambda: watcher._scan is not None)
    (root / "a").write_bytes(b"1")
    until(lambda: taken.holds((b"a",)))


def test_a_thousand_entries_are_read_in_a_turn_and_no_more(root, taken):
    folder = WatchedFolder("out", root)
    watcher = Watcher(folder, taken, clock=SystemClock())
    read = []
    watcher._tree.files = lambda: iter(lambda: read.append(1), 1)
    for turn in range(1, 4):
        watcher._scan_on()
        assert len(read) == turn


def test_a_stop_ends_a_scan_of_any_length(watch, root, taken):
    watcher = watch()
    watcher._tree.files = lambda: iter(lambda: None, 1)
    watcher._rounds.want()
    until(lambda: watcher._scan is not None)
    watcher.stop()
    assert not any(thread.name.startswith("sftpd-watch") for thread in threading.enumerate())
