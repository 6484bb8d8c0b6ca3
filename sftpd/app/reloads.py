"""Reloads that were refused: the daemon goes on as it was, which nobody would see if it were not told."""

import structlog

from sftpd.app.instance import Instance
from sftpd.errors import ConfigError, SftpdError
from sftpd.ledger.outbox import Event

_RECORDED = 20
"""How many faults an event has at most."""
_log = structlog.get_logger()


class Reloads:
    """What is wrong with the configuration that was refused last, until one is taken over."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.faults: list[str] = []

    def refused(self, error: Exception) -> None:
        """Tell of a reload that was refused: in the log, in the audit log, and to whoever asks how it is."""
        self.faults = error.faults if isinstance(error, ConfigError) else [str(error)]
        for fault in self.faults:
            _log.error("reload_refused", fault=fault)
        public = {"config": self._instance.config.digest, "faults": len(self.faults)}
        event = Event("daemon.reload_refused", None, public, {"text": "\n".join(self.faults[:_RECORDED])})
        try:
            self._instance.ledger.write(lambda unit: unit.record(event))
        except SftpdError as failure:
            # It changes nothing, so it may go on without.
            _log.error("reload_refusal_not_recorded", error=str(failure))

    def succeeded(self) -> None:
        """Forget what was refused before."""
        self.faults = []

    def __str__(self) -> str:
        return ", reload refused: see sftpd status" if self.faults else ""
