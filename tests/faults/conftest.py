"""Fixtures of the fault bench."""

from collections.abc import Iterator

import pytest
from daemon_stage import stage
from faults_reckoning import Tally


@pytest.fixture(scope="session", autouse=True)
def _stage() -> Iterator[None]:
    """What starts daemons."""
    with stage():
        yield


@pytest.fixture
def tally(record_property):
    """What the test counts; told of at the end of the run."""
    counted = Tally()
    record_property("faults", counted.counts)
    return counted
