"""A process dies at a crash point, sftpd is started again: each file has crossed once, whole and logged."""

import pytest
from faults_course import COURSES, Course, Runs
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


def orders(points: dict[str, int], course: Course) -> list[Order]:
    """Each way to die at these points, which are passed so many times."""
    made = []
    for point, count in sorted(points.items()):
        for call in range(1, min(count, CALLS if course.happens == "delivered" else 1) + 1):
            made += [Order(point, "before", call), Order(point, "after", call)]
            if not point.startswith("monitor"):
                made.append(Order(point, "after", call, "stop"))
    return made


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
@pytest.mark.parametrize("course", COURSES, ids=str)
def test_each_file_crosses_once_at_every_crash_point(course, tmp_path, tally, subtests):
    with Runs(course, tmp_path / "trace") as runs:
        points = runs.points()
    passed = {state for state in TransferState if f"monitor: commit {state_point(state)}" in points}
    assert passed == course.states
    todo, tries, missed = orders(points, course), 0, set(points)
    while todo:
        tries += 1
        # What a case that went wrong left is not to spoil the next ones.
        with Runs(course, tmp_path / str(tries)) as runs:
            while todo:
                order, todo = todo[0], todo[1:]
                well = False
                with subtests.test(order=str(order)):
                    if crossed(runs, order, tally):
                        missed.discard(order.point)
                    well = True
                if not well:
                    break
    # How many requests and commits there are depends on what happens together; no point is missed for good.
    assert missed == set()


def crossed(runs: Runs, order: Order, tally: Tally) -> bool:
    """Let somebody die there, and see that all is well afterwards; False if nobody came there."""
    reckoning = runs.crash(order)
    tally.add(reckoning)
    assert reckoning is None or reckoning.faults == [], f"{order}\n{runs.daemon.log[-10000:]}"
    return reckoning is not None
