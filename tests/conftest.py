"""Fixtures for every test."""

import gc
from collections import Counter
from collections.abc import Iterator

import hypothesis
import leaks
import pytest
import structlog
from daemon_stage import stage

# A busy machine must not fail a test: none asserts on wall time, hypothesis included.
hypothesis.settings.register_profile("sftpd", deadline=None)
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("sftpd")


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    before = leaks.holdings()
    yield
    left = leaks.await_release(before)
    if left:
        pytest.fail("the test leaves behind:\n" + "\n".join(left))


_LOGS = structlog.get_config()


@pytest.fixture(autouse=True)
def _logs_as_at_first() -> None:
    """A command of the CLI that a test or fixture calls logs in its own way; the next test must not."""
    structlog.configure(**_LOGS)


@pytest.fixture(scope="session")
def daemon_stage() -> Iterator[None]:
    """What starts daemons; one for all folders that start many, for to load it takes seconds."""
    with stage():
        yield


_LONGEST = ("faults", "e2e", "clients", "system")
"""Folders whose files take long: the sooner they begin, the less the last of them is waited for."""


def pytest_collection() -> None:
    """Load without the garbage collector, as commands do."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Tests stay; to go through them time and again takes a part of each."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let what takes long come first."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(config.rootpath / "tests").parts[0]
        return _LONGEST.index(folder) if folder in _LONGEST else len(_LONGEST)

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what the fault bench counted: the property `faults` of its tests, name → number."""
    counts: Counter[str] = Counter()
    for outcome in ("passed", "failed", "xfailed"):
        for report in terminalreporter.getreports(outcome):
            if not isinstance(report, pytest.SubtestReport):  # its test has counted on
                counts.update(dict(report.user_properties).get("faults", {}))
    if counts:
        line = ", ".join(f"{name} {count}" for name, count in counts.items())
        terminalreporter.write_line(f"fault bench: {line}")
