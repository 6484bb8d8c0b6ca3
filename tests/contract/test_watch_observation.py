import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from mounts import sshfs
from namespaces import run_apart, short_queue
from waiting import until

from sftpd.files.syscalls import file_system_magic
from sftpd.watch.observation import InotifyObservation, NotObservableError

AT_THE_LIMIT_OF_INSTANCES = """
import resource, sys
from pathlib import Path
from sftpd.watch.observation import InotifyObservation, NotObservableError
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    InotifyObservation(Path(sys.argv[1]), print)
except NotObservableError as error:
    print(error)
"""

AT_THE_LIMIT_OF_WATCHES = """
import sys, time
from pathlib import Path
from sftpd.watch.observation import InotifyObservation, NotObservableError
root = Path(sys.argv[1])
Path("/proc/sys/user/max_inotify_watches").write_text("3")
observation = InotifyObservation(root, lambda path, came: None)
print(observation.alive())
for name in "cd":
    (root / name).mkdir()
try:
    while observation.alive():
        time.sleep(0.01)
except NotObservableError as error:
    print("later:", error)
observation.stop()
try:
    InotifyObservation(root, lambda path, came: None)
except NotObservableError as error:
    print("at once:", error)
"""


class Hints:
    def __init__(self):
        self.all = []

    def __call__(self, path, came_or_went):
        self.all.append((path, came_or_went))

    def await_(self, path, came_or_went):
        until(lambda: (os.fsencode(path), came_or_went) in self.all)


@contextmanager
def observing(root, **options):
    hints = Hints()
    observation = InotifyObservation(root, hints, **options)
    observation.hints = hints
    try:
        yield observation
    finally:
        observation.stop()


def test_what_comes_changes_and_goes_is_hinted_at(tmp_path):
    with observing(tmp_path) as observation:
        (tmp_path / "a").write_bytes(b"1")
        observation.hints.await_(tmp_path / "a", True)
        observation.hints.await_(tmp_path / "a", False)
        (tmp_path / "a").unlink()
        until(lambda: observation.hints.all[2:] == [(os.fsencode(tmp_path / "a"), True)])


def test_folders_that_come_are_watched_and_those_that_go_no_longer(tmp_path):
    root, aside = tmp_path / "root", tmp_path / "aside"
    root.mkdir()
    (aside / "deep").mkdir(parents=True)
    with observing(root) as observation:
        aside.rename(root / "in")
        observation.hints.await_(root / "in", True)
        (root / "in/deep/x").write_bytes(b"1")
        observation.hints.await_(root / "in/deep/x", False)
        (root / "in").rename(root / "on")
        observation.hints.await_(root / "on", True)
        (root / "on/deep/y").write_bytes(b"1")
        observation.hints.await_(root / "on/deep/y", False)
        shutil.move(root / "on", aside)
        (aside / "deep/z").write_bytes(b"1")
        (root / "last").mkdir()
        observation.hints.await_(root / "last", True)
        assert not any(path.endswith(b"/z") for path, _ in observation.hints.all)
        assert sorted(observation._watches) == [os.fsencode(root), os.fsencode(root / "last")]
        shutil.rmtree(root / "last")
        until(lambda: list(observation._watches) == [os.fsencode(root)])


def test_subfolders_are_watched_only_if_wanted(tmp_path):
    (tmp_path / "a").mkdir()
    with observing(tmp_path, recursive=False) as observation:
        (tmp_path / "b").mkdir()
        observation.hints.await_(tmp_path / "b", True)
        assert list(observation._watches) == [os.fsencode(tmp_path)]


def test_an_overflow_of_the_kernels_queue_points_at_the_root_and_misses_no_folder(tmp_path):
    with short_queue(16), observing(tmp_path) as observation:
        with observation._lock:  # the reader comes no further than the first event
            for number in range(100):
                (tmp_path / f"{number}").mkdir()
        observation.hints.await_(tmp_path, False)
        hints, root = observation.hints.all, (os.fsencode(tmp_path), False)
        x, overflows = (os.fsencode(tmp_path / "99" / "x"), False), 0
        while x not in hints:
            # The end of watches is reported too, and may overflow the queue: then the root is hinted at.
            assert (overflows := overflows + 1) < 10
            before = hints.count(root)
            (tmp_path / "99" / "x").write_bytes(b"1")
            until(lambda before=before: x in hints or hints.count(root) > before)


def test_the_death_of_the_reader_shows(tmp_path):
    with observing(tmp_path) as observation:
        assert observation.alive()
        observation._reader.stop()
        observation._reader.join()
        assert not observation.alive()


def test_a_missing_folder_cannot_be_observed(tmp_path):
    with pytest.raises(NotObservableError):
        InotifyObservation(tmp_path / "absent", lambda path, came: None)


def test_a_reached_limit_of_instances_names_the_setting_to_raise(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_LIMIT_OF_INSTANCES, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "fs.inotify.max_user_instances" in done.stdout, done.stderr


def test_so_does_a_limit_of_watches_for_a_subfolder_too_and_one_that_comes_later(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    before, later, at_once = run_apart(AT_THE_LIMIT_OF_WATCHES, tmp_path)
    assert before == "True"
    for line in (later, at_once):
        assert "fs.inotify.max_user_watches" in line
        assert str(tmp_path) in line


def test_a_folder_or_a_subfolder_that_others_change_unseen_is_not_observed(tmp_path):
    root, remote, mount = tmp_path / "root", tmp_path / "remote", tmp_path / "root/sub/mount"
    remote.mkdir()
    mount.mkdir(parents=True)
    with sshfs(remote, mount):
        assert file_system_magic(os.fsencode(mount)) == 0x65735546
        for folder in (mount, root):
            with pytest.raises(NotObservableError, match=r"mount: .*FUSE"):
                InotifyObservation(folder, lambda path, came: None)
        with observing(root, recursive=False) as observation:
            assert observation.alive()
    with observing(root) as observation:
        assert observation.alive()


def test_the_file_system_of_proc_is_known():
    assert file_system_magic(b"/proc") == 0x9FA0
    with pytest.raises(FileNotFoundError):
        file_system_magic(b"/absent")


def test_nothing_stays_of_a_hundred_observations(tmp_path):
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        with observing(tmp_path):
            pass
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors
