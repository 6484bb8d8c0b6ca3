"""A process dies at a crash point, sftpd is started again: each file has crossed once, whole and logged."""

from collections import Counter

import pytest
from faults_course import COURSES, Runs
from faults_points import Order, state_point
from faults_reckoning import Tally

from sftpd.exchange.transfer import TransferState

CALLS = 2
"""How often a point is passed at most before somebody dies there: each run has two files."""

CHOSEN = {
    "remote-delivered": (
        Order("monitor: commit transfer sending"),
        Order("courier: request WRITE", "after", 2),
        Order("monitor: commit transfer placing"),
        Order("courier: request posix-rename", "after", 1, "stop"),
        Order("monitor: commit transfer placed", "before"),
        Order("monitor: rename outbound to sent"),
    ),
    "download-delivered": (
        Order("monitor: commit transfer placing"),
        Order("monitor: rename outbound to download"),
    ),
    "upload-delivered": (
        Order("session: write a part", "after", 2),
        Order("monitor: rename staging to screening"),
        Order("monitor: commit transfer placing"),
        Order("monitor: rename screening to inbound"),
    ),
    "pull-delivered": (
        Order("monitor: commit transfer placing"),
        Order("courier: request REMOVE", "after", 1, "stop"),
    ),
}
"""What `make test` runs; `make soak` runs all."""


def deaths(points: Counter[str]) -> list[Order]:
    """Each way to die at these points, which are passed so many times."""
    made = []
    for point, count in sorted(points.items()):
        for call in range(1, min(count, CALLS) + 1):
            made += [Order(point, "before", call), Order(point, "after", call)]
            if not point.startswith("monitor"):
                made.append(Order(point, "after", call, "stop"))
    return made


def cases(runs: Runs) -> list[tuple[Order, bool]]:
    """Each death while it runs, and those at points that it passes only, or more often, as it starts."""
    live, cold = runs.points(live=True), runs.points(live=False)
    if runs.course.happens != "delivered":
        live, cold = Counter(dict.fromkeys(live, 1)), Counter(dict.fromkeys(cold, 1))
    return [(order, True) for order in deaths(live)] + [(order, False) for order in deaths(cold - live)]


def test_every_state_of_a_transfer_has_crash_points():
    assert set().union(*(course.states for course in COURSES)) == set(TransferState)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_each_file_crosses_once_wherever_a_process_dies(name, tmp_path, tally):
    course = next(course for course in COURSES if str(course) == name)
    with Runs(course, tmp_path) as runs:
        for order in CHOSEN[name]:
            assert crossed(runs, order, tally), f"nobody came to {order}\n{runs.daemon.log[-5000:]}"


@pytest.mark.soak
@pytest.mark.parametrize("course", [course for course in COURSES if course.happens == "delivered"], ids=str)
def test_each_file_crosses_once_though_recovery_dies_too(course, tmp_path, tally, subtests):
    with Runs(course, tmp_path) as runs:
        for point in sorted(runs.points(live=True)):
            if point.startswith("monitor"):
                order = Order(point)
                with subtests.test(order=str(order)):
                    crossed(runs, order, tally, twice=True)


@pytest.mark.soak
@pytest.mark.parametrize("course", COURSES, ids=str)
def test_each_file_crosses_once_at_every_crash_point(course, tmp_path, tally, subtests):
    with Runs(course, tmp_path / "trace") as runs:
        todo = cases(runs)
    missed = {order.point for order, _ in todo}
    assert {
        state for state in TransferState if f"monitor: commit {state_point(state)}" in missed
    } == course.states
    tries = 0
    while todo:
        tries += 1
        # What a case that went wrong left is not to spoil the next ones.
        with Runs(course, tmp_path / str(tries)) as runs:
            while todo:
                (order, live), todo = todo[0], todo[1:]
                well = False
                with subtests.test(order=str(order), live=live):
                    if crossed(runs, order, tally, live=live):
                        missed.discard(order.point)
                    elif live:
                        todo.append((order, False))  # with a connection that stands there is less to do
                    well = True
                if not well:
                    break
    # How many requests and commits there are depends on what happens together; no point is missed for good.
    assert missed == set()


def crossed(runs: Runs, order: Order, tally: Tally, **how: bool) -> bool:
    """Let somebody die there, and see that all is well afterwards; False if nobody came there."""
    reckoning = runs.crash(order, **how)
    tally.add(reckoning)
    assert reckoning is None or reckoning.faults == [], f"{order}\n{runs.daemon.log[-10000:]}"
    return reckoning is not None
