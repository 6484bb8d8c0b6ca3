"""A disk that is full or read-only, and is not any more: nothing is lost, doubled, partial or unrecorded."""

import contextlib

import pytest
from faults_crossing import CROSSINGS, Upload
from faults_disorder import STILL, endure, files, with_and_without_restart
from faults_mounts import full, linger, read_only
from mounts import small

LINKS, STATE = 32, 24
"""MiB of the file systems."""
BIG = 8 << 20
TOLD = {
    **{(flow, "full", "state"): "full" for flow in CROSSINGS},
    **{(flow, "read_only", "links"): "Read-only" for flow in ("remote", "download", "pull")},
    ("pull", "full", "links"): "No space",
}
"""What the daemon must have met, so that a case is one."""
CHOSEN = ["upload-full-links", "remote-full-state"]
CASES = [
    *((flow, "full", "links") for flow in CROSSINGS),
    *((flow, "full", "state") for flow in CROSSINGS),
    *((flow, "read_only", "links") for flow in CROSSINGS),
]


def marked(case):
    name = "-".join(case)
    return pytest.param(*case, id=name, marks=() if name in CHOSEN else pytest.mark.soak)


@with_and_without_restart
@pytest.mark.parametrize(("flow", "fault", "place"), [marked(case) for case in CASES])
def test_files_cross_once_though_a_disk_failed(flow, fault, place, restart, tmp_path, tally):
    with contextlib.ExitStack() as stack:
        crossing = CROSSINGS[flow](tmp_path)
        folder = crossing.daemon.root / place
        folder.mkdir(exist_ok=True)
        stack.enter_context(small(folder, {"links": LINKS, "state": STATE}[place]))
        stack.enter_context(crossing)

        @contextlib.contextmanager
        def disorder(crossing):
            with (full if fault == "full" else read_only)(folder):
                yield
                if isinstance(crossing, Upload):
                    crossing.wait()
                else:
                    linger(STILL)

        endure(crossing, files(crossing, "before"), contextlib.nullcontext, tally)
        content = files(crossing, "while", big=BIG)
        told = TOLD.get((flow, fault, place), "")
        endure(crossing, content, disorder, tally, early=True, told=told, restart=restart)
