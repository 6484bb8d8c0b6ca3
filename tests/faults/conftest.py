"""Fixtures of the fault bench."""

import pytest
from faults_reckoning import Tally


@pytest.fixture(scope="session", autouse=True)
def _stage(daemon_stage: None) -> None:
    """Daemons start from the stage."""


@pytest.fixture
def tally(record_property):
    """What the test counts; told of at the end of the run."""
    counted = Tally()
    record_property("faults", counted.counts)
    return counted
