"""Waiting until something has come about."""

import time
from collections.abc import Callable

PATIENCE = 60.0
_PAUSE = 0.02
_LOOKS = 20


def holds(condition: Callable[[], object], patience: float = PATIENCE) -> bool:
    """Whether the condition comes about in time."""
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        if waited > patience:
            return False
        # To look costs time too, which others lack on a busy machine.
        time.sleep(max(_PAUSE, waited / _LOOKS))
    return True


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until the condition holds; when it does not come about the test fails."""
    assert holds(condition, patience), "it did not come about"
