"""What tests do to the kernel: scripts run apart, where they may mount, and limits set for a moment."""

import functools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@functools.cache
def _can_unshare() -> bool:
    return subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0


def run_apart(script: str, *arguments: str | Path) -> list[str]:
    """Run a Python script in a mount and user namespace of its own; returns the lines it printed."""
    if not _can_unshare():
        pytest.skip("user namespaces are not permitted here")
    done = subprocess.run(
        [*_UNSHARE, sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.splitlines()


@contextmanager
def short_queue(events: int) -> Iterator[None]:
    """Inotify instances made within have a queue of so many events; for root of the machine only."""
    usual = _QUEUE.read_text()
    try:
        _QUEUE.write_text(str(events))
    except OSError:
        pytest.skip("fs.inotify.max_queued_events may not be set here")
    try:
        yield
    finally:
        _QUEUE.write_text(usual)
