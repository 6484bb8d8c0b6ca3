"""Fixtures for every test."""

from collections.abc import Iterator

import hypothesis
import leaks
import pytest

# A busy machine must not fail a test: none asserts on wall time, hypothesis included.
hypothesis.settings.register_profile("sftpd", deadline=None)
hypothesis.settings.load_profile("sftpd")


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    before = leaks.holdings()
    yield
    left = leaks.await_release(before)
    if left:
        pytest.fail("the test leaves behind:\n" + "\n".join(left))
