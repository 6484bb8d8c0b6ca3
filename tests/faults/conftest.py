"""Fixtures of the fault bench."""

import pytest
from faults_reckoning import Tally


@pytest.fixture
def tally(record_property):
    """What the test counts; told of at the end of the run."""
    counted = Tally()
    record_property("faults", counted.counts)
    return counted
