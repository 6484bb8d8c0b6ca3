"""What starts the daemons of these tests."""

import daemon
import pytest


@pytest.fixture(scope="session", autouse=True)
def _stage(daemon_stage: None) -> None:
    """Daemons start from the stage."""


_AS_A_SERVICE = {f"test_service_{part}" for part in ("activation", "secrets", "starting", "stopping")}


@pytest.fixture(autouse=True)
def _program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How sftpd starts and ends is tested with the very program that a service manager starts."""
    if request.path.stem in _AS_A_SERVICE:
        monkeypatch.setattr(daemon, "STAGES", [])
