"""A day's mixed load in minutes: once all is warm neither memory nor descriptors nor threads grow."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from daemon import SFTPD, Daemon
from load_scene import Load, prepare
from sshd import sshd
from usage import MIB, TITLE, Sample, growth, line, sample

SOAK = float(os.environ.get("MIXED_LOAD_SECONDS", "600"))
"""Seconds of each run of `make soak`; there are two."""

PAUSE = 5.0
"""Seconds between two samples."""

MOST = {"monitor": 1, "zygote": 1, "session": 1, "sessions": 1, "courier": 5, "hook": 16, "reader": 3}
"""Processes of each role at rest: one session stays, and what is kept for the next file is bounded. A reader
is kept for searches, one for orders and one for the index."""

HELD = {"session": 2, "sessions": 2, "courier": 2, "reader": 2, "hook": 7}
"""Descriptors that the monitor has for each child: its channel and its process; and for a hook that is kept
its three pipes, its process again, to hear of its end, and what waits for all of them."""

LATE_THREADS = 8
"""Threads of the monitor's pools that start only when all others are at work."""

ALLOWED = {"monitor": 6 * MIB, "reader": 8 * MIB, "sessions": 4 * MIB}
"""Memory that a process of a role may grow by: the monitor by pages of the ledger, of which each of a dozen
connections keeps up to 2 MiB; a reader by the largest file, which one of the two may meet late; and one with
several sessions by the moment when most of them are at work."""

ALLOWED_OTHERS = 2 * MIB

ALLOWED_ROUGH = ALLOWED | {"monitor": 20 * MIB}
"""The same while all is begun anew again and again, which leaves holes in the monitor's heap."""


@pytest.mark.parametrize(
    ("values", "grown"),
    [
        ([5] * 12, 0),
        ([5, 6, 4, 5, 90, 5, 4, 6, 5, 5, 4, 6], 0),
        ([8, 7, 6, 5, 4, 4, 4, 4], -4),
        ([float(value) for value in range(12)], 9),
        ([0, 10, 3, 4, 11, 6, 7, 20, 9, 10, 11, 12], 8),
        ([3, 6], 3),
        ([3], 0),
    ],
    ids=["level", "one moment", "less", "a leak", "a leak in noise", "two", "one"],
)
def test_growth_is_told_from_noise(values: list[float], grown: float) -> None:
    assert growth(values) == pytest.approx(grown, abs=0.6)


@pytest.mark.parametrize(
    ("seconds", "warm", "rests"),
    [
        pytest.param(30, 10, 4, marks=pytest.mark.soak),
        pytest.param(SOAK, 60, 20, marks=pytest.mark.soak),
    ],
    ids=["short", "soak"],
)
@pytest.mark.parametrize("sessions_per_process", [1, 4])
def test_nothing_grows(
    tmp_path: Path, sessions_per_process: int, seconds: float, warm: float, rests: int
) -> None:
    daemon = Daemon(tmp_path / "instance", [SFTPD])  # its memory is all its own
    with sshd(tmp_path / "sshd") as server:
        metrics = prepare(daemon, server, sessions_per_process)
        with daemon, Load(daemon, server, metrics) as load:
            rested = _rested(load, warm, (seconds - warm) / rests, rests)
            log = daemon.log
    print(dict(sorted(load.done.items())))
    assert not load.faults, f"{load.faults}\n{log}"
    assert all(load.done[what] for what in ("exchange", "resumed", "browse", "guess", "drop")), load.done
    assert "Traceback" not in log
    assert "reload_refused" not in log
    assert not _grown(rested)


def _rested(load: Load, warm: float, turn: float, rests: int) -> list[Sample]:
    """Samples at rest: once all is warm, and after each turn of so many seconds; all samples are printed.

    The first half is rough; in the second one nothing is begun anew, so that what grows is not lost again.
    """
    began, taken = time.monotonic(), list[Sample]()

    def take(going_on: str) -> Sample:
        sampled = sample(load.daemon.pid)
        print(line(time.monotonic() - began, going_on, sampled), flush=True)
        return sampled

    print(TITLE)
    for number in range(rests + 1):
        load.rough = number <= rests // 2
        end = began + warm + number * turn
        while True:
            time.sleep(min(PAUSE, turn))
            take("load")
            if time.monotonic() >= end:
                break
        with load.pause():
            taken.append(take("rest"))
    return taken


def _grown(rests: Sequence[Sample]) -> list[str]:
    """What has grown over the samples at rest, of the rough half or the other, by more than it may."""
    half = len(rests) // 2
    found = _grown_in(rests[: half + 1], ALLOWED_ROUGH) + _grown_in(rests[half:], ALLOWED)
    for role in sorted(set().union(*rests)):
        most = max(sampled[role].processes for sampled in rests if role in sampled)
        if most > MOST.get(role, 0):
            found.append(f"{role}: {most} processes")
    return found


def _grown_in(rests: Sequence[Sample], allowed: Mapping[str, int]) -> list[str]:
    found = []
    for role in sorted(set().union(*rests)):
        uses = [sampled[role] for sampled in rests if role in sampled]
        threads = growth([use.threads / use.processes for use in uses])
        memory = growth([use.private / use.processes for use in uses])
        if threads > (LATE_THREADS if role == "monitor" else 0):
            found.append(f"{role}: {threads:.0f} threads more")
        if memory > allowed.get(role, ALLOWED_OTHERS):
            found.append(f"{role}: {memory / MIB:.1f} MiB more of memory in a process")
    descriptors = growth([_own_descriptors(sampled) for sampled in rests])
    if descriptors > 0:
        found.append(f"monitor: {descriptors:.0f} descriptors more")
    return found


def _own_descriptors(sampled: Sample) -> int:
    """The descriptors of the monitor that are not for its children."""
    for_children = sum(HELD[role] * use.processes for role, use in sampled.items() if role in HELD)
    return sampled["monitor"].descriptors - for_children
