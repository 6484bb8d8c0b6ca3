"""A disorder while files cross: begun, ended, and the account of it drawn up."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import leaks
import pytest
from faults_crossing import PATIENCE, Crossing
from faults_reckoning import Tally, reckon
from waiting import holds

Disorder = Callable[[Crossing], contextlib.AbstractContextManager[object]]
"""What is wrong for as long as it is entered."""

with_and_without_restart = pytest.mark.parametrize(
    "restart", [pytest.param(False, id="goes on"), pytest.param(True, id="restart", marks=pytest.mark.soak)]
)
STILL = 1.0
"""Seconds for which what stands still does so: long enough for others to run into it."""


def files(crossing: Crossing, prefix: str, *, count: int = 10, big: int = 0) -> dict[str, bytes]:
    """Small files, and one of `big` bytes that takes a while."""
    chance = random.Random(prefix)
    join = "/" if crossing.nested else "-"
    made = {f"{prefix}{join}{n:03}.csv": chance.randbytes(chance.randrange(0, 60_000)) for n in range(count)}
    if big:
        made[f"{prefix}{join}big.bin"] = random.Random(prefix).randbytes(1 << 20) * (big >> 20)
    return made


def endure(
    crossing: Crossing,
    content: dict[str, bytes],
    disorder: Disorder,
    tally: Tally,
    *,
    early: bool = False,
    told: str | Callable[[], object] = "",
    restart: bool = False,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Let files cross while something is wrong, then see that all is well once it is over.

    `early`: it is wrong before sftpd sees the first of them. `told`: a word that the daemon logs of it, or
    what holds then, which is waited for. `restart`: the daemon is killed meanwhile, and started when it is
    over; between the two `meanwhile` is done.
    """
    daemon = crossing.daemon
    if not daemon.runs:
        daemon.start()
    before = len(daemon.log)
    with contextlib.ExitStack() as wrong:
        with frozen(daemon.pid):
            crossing.put(content)
            if early:
                wrong.enter_context(disorder(crossing))
        crossing.begin()
        if not early:
            wrong.enter_context(disorder(crossing))
        met = told if callable(told) else lambda: told in daemon.log[before:]
        assert holds(met, PATIENCE), daemon.log[-5000:]
        below = leaks.processes(daemon.pid)
        if restart:
            os.kill(daemon.pid, signal.SIGKILL)
    if restart:
        daemon.kill()
        # One that stood still could not end before; the next monitor has its files.
        assert holds(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below)), below
        daemon.start()
    crossing.wait()
    crossing.again()
    crossing.settle()
    reckoning = reckon(crossing, sorted(content))
    tally.add(reckoning)
    assert reckoning.faults == [], daemon.log[-20000:]


@contextlib.contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Processes that stand still (SIGSTOP)."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def sometime(pids: Callable[[], list[int]]) -> Iterator[None]:
    """Wait for the first of these processes, and have all of them stand still for a while."""
    assert holds(pids, PATIENCE)
    with frozen(*pids()):
        time.sleep(STILL)
        yield


def children(crossing: Crossing, kind: str) -> list[int]:
    """The children of that kind that live."""
    found = leaks.processes(crossing.daemon.pid)
    return [pid for pid, name in found.items() if name.startswith(f"sftpd-{kind}") and "(Z)" not in name]
