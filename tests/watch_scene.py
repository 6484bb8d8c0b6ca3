"""A watched folder, and somebody who takes what is handed over."""

import sys
from collections import Counter
from contextlib import contextmanager

from sftpd.clock import SystemClock
from sftpd.watch.folder import Pace, WatchedFolder
from sftpd.watch.settling import Policy
from sftpd.watch.watcher import Watcher

QUICK = Policy(stable_for=0.05)
SELDOM = Pace(rescan=3600.0)


class Taken:
    """Collects what a watcher hands over."""

    def __init__(self):
        self.paths = []
        self.refusals = 0
        self.room = sys.maxsize

    def __call__(self, path):
        if self.refusals:
            self.refusals -= 1
            raise OSError("cannot take it now")
        if self.room == 0:
            return False
        self.room -= 1
        self.paths.append(path)
        return True

    def holds(self, *paths):
        return Counter(self.paths) == Counter(paths)


@contextmanager
def watching(root, taken, *, clock=None, on_replaced=lambda: None, observe=None, waits=None, **options):
    """A watcher at work on `root`."""
    folder = WatchedFolder("out", root, **{"policy": QUICK, "pace": SELDOM, **options})
    watcher = Watcher(
        folder, taken, clock=clock or SystemClock(), on_replaced=on_replaced, observe=observe, waits=waits
    )
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()
