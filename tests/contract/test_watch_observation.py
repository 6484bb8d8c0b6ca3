import os
import subprocess
import sys
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent

from sftpd.watch.observation import InotifyObservation, NotObservableError, file_system_of

AT_THE_LIMIT = """
import resource, sys
from pathlib import Path
from sftpd.watch.observation import InotifyObservation, NotObservableError
root = Path(sys.argv[1])
Path("/proc/self/mountinfo").read_text()
resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
try:
    InotifyObservation(root, print)
except NotObservableError as error:
    print(error)
"""


def test_an_overflow_of_the_kernels_queue_points_at_the_root(tmp_path):
    hints = []
    observation = InotifyObservation(tmp_path, hints.append)
    observation._reader.handle_event(InotifyEvent(-1, InotifyConstants.IN_Q_OVERFLOW, 0, b""))
    observation.stop()
    assert os.fsencode(tmp_path) in hints


def test_the_death_of_any_thread_shows(tmp_path):
    observation = InotifyObservation(tmp_path, lambda path: None)
    assert observation.alive()
    observation._end_reader()
    assert not observation.alive()
    observation.stop()


def test_a_missing_folder_cannot_be_observed(tmp_path):
    with pytest.raises(NotObservableError):
        InotifyObservation(tmp_path / "absent", lambda path: None)


def test_a_reached_limit_names_the_setting_to_raise(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_LIMIT, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert "fs.inotify.max_user_instances" in done.stdout, done.stderr


def test_the_file_system_of_proc_is_known():
    assert file_system_of(Path("/proc")) == "proc"
