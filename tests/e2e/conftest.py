"""What starts the daemons of these tests."""

from collections.abc import Iterator

import daemon
import pytest
from daemon_stage import stage


@pytest.fixture(scope="session", autouse=True)
def _stage() -> Iterator[None]:
    with stage():
        yield


@pytest.fixture(autouse=True)
def _program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How sftpd serves as a service is tested with the very program that a service manager starts."""
    if request.path.name.startswith("test_service_"):
        monkeypatch.setattr(daemon, "STAGES", [])
