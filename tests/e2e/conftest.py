"""What starts the daemons of these tests."""

import daemon
import pytest


@pytest.fixture(scope="session", autouse=True)
def _stage(daemon_stage: None) -> None:
    """Daemons start from the stage."""


@pytest.fixture(autouse=True)
def _program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How sftpd serves as a service is tested with the very program that a service manager starts."""
    if request.path.name.startswith("test_service_"):
        monkeypatch.setattr(daemon, "STAGES", [])
