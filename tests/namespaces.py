"""What tests do to the kernel: scripts run apart, where they may mount, and limits set for a moment."""

import ctypes
import fcntl
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
_ALONE = Path(tempfile.gettempdir(), "sftpd-tests-short-queue.lock")


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
    # Of two at once the later would find the other's limit, and leave that for ever.
    with _ALONE.open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        usual = _QUEUE.read_text()
        try:
            _QUEUE.write_text(str(events))
        except OSError:
            pytest.skip("fs.inotify.max_queued_events may not be set here")
        try:
            yield
        finally:
            _QUEUE.write_text(usual)


@contextmanager
def bound_by_modes() -> Iterator[None]:
    """Have modes bind this thread, and those that it starts within, as they bind who is not root."""
    override = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    usual = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, usual) == 0
    without = (ctypes.c_uint32 * 6)(usual[0] & ~override, *usual[1:])
    if libc.capset(header, without) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield
    finally:
        libc.capset(header, usual)
