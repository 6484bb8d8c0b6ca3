"""A process stands still for a while (SIGSTOP), with or without a kill -9 of the monitor meanwhile."""

import leaks
import pytest
from faults_crossing import CROSSINGS
from faults_disorder import children, endure, files, sometime, with_and_without_restart

BIG = 16 << 20


def monitor(crossing):
    return sometime(lambda: [crossing.daemon.pid])


def courier(crossing):
    return sometime(lambda: children(crossing, "courier"))


def session(crossing):
    return sometime(lambda: children(crossing, "session"))


def zygote(crossing):
    return sometime(
        lambda: [pid for pid, name in leaks.processes(crossing.daemon.pid).items() if "python" in name]
    )


def remote(crossing):
    """The processes of OpenSSH that serve a connection."""
    return sometime(lambda: [*leaks.processes(crossing.server.pid)])


CASES = [
    *((flow, who) for flow in CROSSINGS for who in (monitor, zygote)),
    *((flow, who) for flow in ("remote", "pull") for who in (courier, remote)),
    ("upload", session),
]
CHOSEN = [("remote", courier), ("upload", monitor)]


@with_and_without_restart
@pytest.mark.parametrize(
    ("flow", "who"),
    [pytest.param(*case, marks=() if case in CHOSEN else pytest.mark.soak) for case in CASES],
    ids=[f"{flow}-{who.__name__}" for flow, who in CASES],
)
def test_files_cross_once_though_a_process_stood_still(flow, who, restart, tmp_path, tally):
    with CROSSINGS[flow](tmp_path) as crossing:
        endure(crossing, files(crossing, "stand", big=BIG), who, tally, restart=restart)
