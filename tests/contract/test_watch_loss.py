"""Reports that are lost, limits that are reached, roots that go: nothing that was dropped is missed."""

import os
from pathlib import Path

import pytest
from namespaces import run_apart, short_queue
from structlog.testing import capture_logs
from waiting import until
from watch_scene import Taken, watching

from sftpd.watch.folder import Pace

SCRIPT = """
import ctypes, os, sys
import structlog
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
from pathlib import Path
sys.path.insert(0, ".")
from waiting import until
from watch_scene import Taken, watching
from sftpd.watch.folder import Pace
libc = ctypes.CDLL(None, use_errno=True)
def mount(target, kind="tmpfs"):
    assert libc.mount(kind.encode(), os.fsencode(target), kind.encode(), 0, None) == 0, ctypes.get_errno()
def unmount(target, flags=0):
    assert libc.umount2(os.fsencode(target), flags) == 0, ctypes.get_errno()
root, taken, replaced = Path(sys.argv[1]), Taken(), []
def paths():
    return b" ".join(b"/".join(path) for path in taken.paths).decode()
"""

UNMOUNTED = (
    SCRIPT
    + """
mount(root)
(root / "a").write_bytes(b"1")
with watching(root, taken, on_replaced=lambda: replaced.append(1)) as watcher:
    until(lambda: taken.paths)
    unmount(root)
    until(lambda: replaced)
    print(paths())
    (root / "below").write_bytes(b"1")
    until(lambda: len(taken.paths) == 2)
    print(paths())
    mount(root)
    (root / "b").write_bytes(b"1")
    until(lambda: len(taken.paths) == 3)
    (root / "c").write_bytes(b"1")
    until(lambda: len(taken.paths) == 4)
    print(paths(), len(replaced))
"""
)

UNMOUNTED_FULL = (
    SCRIPT
    + """
mount(root)
for number in range(12000):
    (root / f"{number}").touch()
taken.room = 5
with watching(root, taken) as watcher:
    until(lambda: watcher._is_full() and not watcher._is_listing)
    unmount(root)
    print("unmounted")
"""
)

LIMITED = (
    SCRIPT
    + """
Path("/proc/sys/user/max_inotify_watches").write_text("3")
with watching(root, taken, pace=Pace(rescan=3600, poll=0.1)) as watcher:
    until(lambda: watcher._observation)
    for name in "abcde":
        (root / name).mkdir()
        (root / name / "x").write_bytes(b"1")
    until(lambda: len(taken.paths) == 5)
    (root / "e/y").write_bytes(b"1")
    until(lambda: len(taken.paths) == 6)
    print(watcher._refused_because)
"""
)

LIMITED_FOR_A_WHILE = (
    SCRIPT
    + """
import sftpd.watch.watcher
from structlog.testing import capture_logs
sftpd.watch.watcher._OBSERVE_AGAIN = 0.2
for name in "abcde":
    (root / name).mkdir()
Path("/proc/sys/user/max_inotify_watches").write_text("3")
with capture_logs() as said, watching(root, taken, pace=Pace(rescan=3600, poll=0.1)) as watcher:
    (root / "e/x").write_bytes(b"1")
    until(lambda: len(taken.paths) == 1)
    for again in range(3):
        before = watcher._observe_at
        until(lambda: watcher._observe_at > before)
    Path("/proc/sys/user/max_inotify_watches").write_text("100")
    until(lambda: watcher._observation)
    for name in "abcde":
        (root / name / "y").write_bytes(b"1")
    until(lambda: len(taken.paths) == 6)
    print(*[each["event"] for each in said])
"""
)


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "outbound"
    path.mkdir()
    return path


def test_an_overflow_costs_no_file_and_each_comes_once(root):
    taken = Taken()
    names = [b"%05d" % number for number in range(5000)]
    with short_queue(64), watching(root, taken) as watcher:
        until(lambda: watcher._observation is not None)
        with watcher._observation._lock:  # the reader comes no further than the first report
            for name in names[:-1]:
                (root / os.fsdecode(name)).write_bytes(name)
        until(lambda: len(taken.paths) == len(names) - 1)
        (root / os.fsdecode(names[-1])).write_bytes(b"1")
        until(lambda: len(taken.paths) == len(names))
        assert taken.holds(*((name,) for name in names))


def test_an_unmounted_root_is_watched_for_what_lies_there_and_again_when_it_is_back(root):
    assert run_apart(UNMOUNTED, root) == ["a", "a below", "a below b c 2"]


def test_a_watcher_that_waits_for_room_keeps_nobody_from_unmounting(root):
    assert run_apart(UNMOUNTED_FULL, root) == ["unmounted"]


def test_past_the_limit_of_watches_the_folder_is_polled(root):
    (why,) = run_apart(LIMITED, root)
    assert "fs.inotify.max_user_watches" in why


def test_and_observed_again_once_that_is_raised_each_of_which_is_said_once(root):
    assert run_apart(LIMITED_FOR_A_WHILE, root) == ["watched_folder_polled watched_folder_observed"]


def test_a_root_that_is_replaced_is_told_of_and_its_files_are_taken(root, tmp_path):
    taken, replaced = Taken(), []
    (root / "a").write_bytes(b"1")

    def on_replaced():
        replaced.append(sorted(os.listdir(root)))

    with watching(root, taken, on_replaced=on_replaced):
        until(lambda: taken.holds((b"a",)))
        other = tmp_path / "other"
        other.mkdir()
        (other / "b").write_bytes(b"1")
        root.rename(tmp_path / "before")
        other.rename(root)
        until(lambda: taken.holds((b"a",), (b"b",)))
        assert replaced == [["b"]]
        (root / "c").write_bytes(b"1")
        until(lambda: taken.holds((b"a",), (b"b",), (b"c",)))


def test_after_the_root_was_away_all_has_its_turn_again(root, tmp_path):
    """Whoever was to take a file may have looked for it in vain meanwhile."""
    taken, replaced = Taken(), []
    (root / "a").write_bytes(b"1")
    with watching(root, taken, on_replaced=lambda: replaced.append(1)) as watcher:
        until(lambda: taken.holds((b"a",)))
        root.rename(tmp_path / "away")
        until(lambda: watcher._identity is None)
        (tmp_path / "away").rename(root)
        until(lambda: taken.holds((b"a",), (b"a",)))
        assert replaced == [1]


def test_a_missing_root_is_said_to_be_missing_from_the_start(root):
    root.rmdir()
    taken = Taken()
    pace = Pace(rescan=3600.0, poll=3600.0)
    with capture_logs() as said, watching(root, taken, pace=pace) as watcher:
        until(lambda: watcher._identity is None)
        root.mkdir()
        (root / "a").write_bytes(b"1")
        until(lambda: taken.holds((b"a",)))
        assert watcher._observation is not None
    assert "watched_folder_missing" in [each["event"] for each in said]


def test_a_folder_can_be_polled_though_it_could_be_observed(root):
    taken = Taken()
    with watching(root, taken, polled=True, pace=Pace(rescan=3600.0, poll=0.05)) as watcher:
        (Path(root) / "a").write_bytes(b"1")
        until(lambda: taken.holds((b"a",)))
        (Path(root) / "b").write_bytes(b"1")
        until(lambda: taken.holds((b"a",), (b"b",)))
        assert watcher._observation is None
