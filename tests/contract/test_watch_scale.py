"""How much memory a watcher takes for very many files, measured in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from folders import quick_folder

SCRIPT = """
import os, sys, time
from pathlib import Path
from waiting import until
from watch_scene import Taken, watching
from sftpd.watch.settling import Policy
from sftpd.watch.tree import Order

def kib(key):
    (line,) = (line for line in open("/proc/self/status") if line.startswith(key))
    return int(line.split()[1])

class Counting(Taken):
    number = 0
    def __call__(self, path):
        self.number += 1
        return True

root, count, taken = Path(sys.argv[1]), int(sys.argv[2]), Counting()
before = kib("VmRSS")
options = {"policy": Policy(stable_for=float(sys.argv[4])), "order": Order(sys.argv[3])}
with watching(root, taken, **options) as watcher:
    until(lambda: taken.number >= count and watcher._scan is None, 3600)
    began = time.process_time()
    watcher._rounds._spent = 0.0
    watcher._rounds.want()
    watcher.again((b"nothing",))
    until(lambda: watcher._scan is not None, 3600)
    until(lambda: watcher._scan is None, 3600)
    print(taken.number, (kib("VmRSS") - before) * 1024 // count, (kib("VmHWM") - before) * 1024 // count)
    print("rescan:", time.process_time() - began, "s of processor time", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("count", "order", "settle"),
    [
        (50_000, "name", 0.1),
        pytest.param(1_000_000, "name", 1.0, marks=pytest.mark.soak),
        pytest.param(1_000_000, "time", 1.0, marks=pytest.mark.soak),
    ],
)
def test_a_file_that_was_handed_over_takes_a_hundred_bytes_at_most(count, order, settle):
    with quick_folder() as folder:
        for number in range(count):
            os.close(os.open(f"{folder}/report-{number:07}.csv", os.O_CREAT | os.O_WRONLY))
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, folder, str(count), order, str(settle)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[1],
        )
    assert done.returncode == 0, done.stderr
    print(done.stdout, done.stderr[-200:])
    handed_over, bytes_a_file, bytes_at_most = map(int, done.stdout.split())
    assert handed_over == count
    fixed = 20_000_000 // count  # what waits for its turn and is read at once has bounds of its own
    assert bytes_a_file <= 100 + fixed
    assert bytes_at_most <= 100 + 5 * fixed
