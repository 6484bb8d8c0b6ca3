"""Fixtures for every test."""

from collections.abc import Iterator

import leaks
import pytest


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    before = leaks.holdings()
    yield
    left = leaks.await_release(before)
    if left:
        pytest.fail("the test leaves behind:\n" + "\n".join(left))
