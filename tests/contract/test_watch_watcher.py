import os
import threading
from contextlib import ExitStack

import pytest
from waiting import until
from watch_scene import Taken, watching

from sftpd.watch import watcher as watcher_module
from sftpd.watch.folder import Pace
from sftpd.watch.observation import NotObservableError
from sftpd.watch.selection import Selection
from sftpd.watch.settling import EmptyFiles, Policy


@pytest.fixture
def taken():
    return Taken()


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "outbound"
    path.mkdir()
    return path


@pytest.fixture
def watch(root, taken):
    with ExitStack() as watchers:
        yield lambda **options: watchers.enter_context(watching(root, taken, **options))


class Deaf:
    """An observation that reports nothing, as when the kernel's queue overflowed."""

    def __init__(self, root, hint):
        self.hint = hint
        self.dead = False

    def alive(self):
        return not self.dead

    def stop(self):
        pass


def watching_already(watch, taken, root, **options):
    """Start a watcher and wait until it watches: what comes now comes by reports, not by the first scan."""
    watcher = watch(**options)
    (root / "first").write_bytes(b"1")
    until(lambda: taken.holds((b"first",)))
    taken.paths.clear()
    return watcher


def test_files_that_were_there_before_are_found(watch, root, taken):
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "c.csv").write_bytes(b"1")
    (root / os.fsdecode(b"\xff\xfe.csv")).write_bytes(b"2")
    watch()
    until(lambda: taken.holds((b"a", b"b", b"c.csv"), (b"\xff\xfe.csv",)))


def test_a_new_file_is_handed_over_once(watch, root, taken):
    watching_already(watch, taken, root)
    (root / "a.csv").write_bytes(b"1")
    until(lambda: taken.paths)
    (root / "b.csv").write_bytes(b"2")
    until(lambda: taken.holds((b"a.csv",), (b"b.csv",)))


def test_names_that_are_not_utf8_are_reported_too(watch, root, taken):
    watching_already(watch, taken, root)
    name = b"caf\xe9.csv"
    (root / os.fsdecode(name)).write_bytes(b"1")
    until(lambda: taken.holds((name,)))


def test_a_file_and_a_tree_moved_in_are_found(watch, root, taken, tmp_path):
    watching_already(watch, taken, root)
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "x").write_bytes(b"1")
    (tree / "y").write_bytes(b"2")
    (tmp_path / "z").write_bytes(b"3")
    tree.rename(root / "tree")
    (tmp_path / "z").rename(root / "z")
    until(lambda: taken.holds((b"tree", b"deep", b"x"), (b"tree", b"y"), (b"z",)))
    (root / "tree" / "deep" / "later").write_bytes(b"4")
    until(lambda: (b"tree", b"deep", b"later") in taken.paths)


def test_a_temporary_name_waits_for_its_rename(watch, root, taken):
    watching_already(watch, taken, root)
    (root / "a.csv.part").write_bytes(b"1")
    (root / "b.csv").write_bytes(b"1")
    until(lambda: taken.holds((b"b.csv",)))
    (root / "a.csv.part").rename(root / "a.csv")
    until(lambda: taken.holds((b"b.csv",), (b"a.csv",)))


def test_what_is_not_selected_and_what_is_no_file_stays(watch, root, taken, tmp_path):
    watch(selection=Selection(include=("*.csv",), exclude=("x*",)))
    for name in ("x.csv", "a.txt", ".hidden.csv", "a.csv"):
        (root / name).write_bytes(b"1")
    (root / "link.csv").symlink_to(tmp_path / "a.csv")
    os.mkfifo(root / "pipe.csv")
    (root / "b.csv").write_bytes(b"1")
    until(lambda: taken.holds((b"a.csv",), (b"b.csv",)))


def test_an_empty_file_is_held_until_it_has_content(watch, root, taken):
    watch(policy=Policy(stable_for=0.05, empty=EmptyFiles.HOLD))
    (root / "a.csv").touch()
    (root / "b.csv").write_bytes(b"1")
    until(lambda: taken.holds((b"b.csv",)))
    (root / "a.csv").write_bytes(b"1")
    until(lambda: taken.holds((b"a.csv",), (b"b.csv",)))


def test_a_file_left_there_comes_again_when_it_changes_or_is_asked_for(watch, root, taken):
    watcher = watch(pace=Pace(rescan=0.1))
    (root / "a").write_bytes(b"1")
    until(lambda: taken.holds((b"a",)))
    watcher.again((b"a",))
    until(lambda: taken.holds((b"a",), (b"a",)))
    (root / "a").write_bytes(b"22")
    until(lambda: taken.holds((b"a",), (b"a",), (b"a",)))


def test_a_file_that_could_not_be_taken_has_its_turn_again(watch, root, taken, monkeypatch):
    monkeypatch.setattr(watcher_module, "_RETRY", 0.1)
    taken.refusals = 2
    watch()
    (root / "a").write_bytes(b"1")
    until(lambda: taken.holds((b"a",)))


def test_a_rescan_finds_what_no_report_told_of(watch, root, taken):
    watch(observe=Deaf, pace=Pace(rescan=0.1))
    (root / "a").write_bytes(b"1")
    until(lambda: taken.holds((b"a",)))


def test_a_folder_that_cannot_be_observed_is_polled(watch, root, taken):
    def refuse(root, hint):
        raise NotObservableError("inotify watch limit reached", where=str(root))

    watch(observe=refuse, pace=Pace(rescan=3600.0, poll=0.1))
    (root / "a").write_bytes(b"1")
    until(lambda: taken.holds((b"a",)))
    (root / "b").write_bytes(b"1")
    until(lambda: taken.holds((b"a",), (b"b",)))


def test_a_dead_observer_is_replaced_and_the_folder_scanned(watch, root, taken):
    observations = []

    def observe(root, hint):
        observations.append(Deaf(root, hint))
        return observations[-1]

    watch(observe=observe)
    until(lambda: observations)
    (root / "a").write_bytes(b"1")
    observations[0].dead = True
    until(lambda: taken.holds((b"a",)))
    assert len(observations) == 2


def test_a_folder_that_goes_and_comes_back_is_watched_again(watch, root, taken, tmp_path):
    watcher = watching_already(watch, taken, root)
    root.rename(tmp_path / "elsewhere")
    until(lambda: watcher._identity is None)
    root.mkdir()
    (root / "a").write_bytes(b"1")
    until(lambda: (b"a",) in taken.paths)
    (root / "b").write_bytes(b"1")
    until(lambda: (b"b",) in taken.paths)


def test_a_folder_that_is_not_there_yet_is_waited_for(watch, root, taken):
    root.rmdir()
    watch()
    root.mkdir()
    (root / "a").write_bytes(b"1")
    until(lambda: taken.holds((b"a",)))


def test_stopping_ends_every_thread_and_descriptor(watch, root, taken):
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    watching_already(watch, taken, root).stop()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_thousand_files_are_each_handed_over_once(watch, root, taken):
    watch(pace=Pace(rescan=0.2))
    names = [b"%04d" % number for number in range(1000)]
    for name in names:
        (root / os.fsdecode(name)).write_bytes(name)
    until(lambda: len(taken.paths) >= len(names))
    assert taken.holds(*((name,) for name in names))
