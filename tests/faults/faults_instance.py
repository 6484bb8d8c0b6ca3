"""An instance whose daemon is started from the stage, for a bench of faults starts it thousands of times."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from daemon import Daemon
from faults_stage import Stage

_STAGES: list[Stage] = []


@contextmanager
def stage() -> Iterator[None]:
    """Have a stage for every instance that is made within."""
    _STAGES.append(Stage())
    try:
        yield
    finally:
        _STAGES.pop().close()


class StagedDaemon(Daemon):
    """As any, but that it starts sooner."""

    def launch(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> None:
        """Begin to serve; returns at once."""
        assert not command, "only sftpd itself is on the stage"
        with self._log.open("ab") as log:
            words = ("serve", "--config", str(self.config))
            self._process = _STAGES[-1].start(words, log.fileno(), {**os.environ, **(environment or {})})
