"""What a reload can change, and those that were refused.

The daemon goes on as it was then, which nobody would see if it were not told.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from sftpd.app.instance import Instance
from sftpd.app.links import most_handles
from sftpd.app.vaults import key_file
from sftpd.config.load import Config
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


def require_same(old: Config, new: Config) -> None:
    """Pass if the new configuration differs only in what a reload can change. Raises SftpdError."""
    fixed: Mapping[str, Callable[[Config], object]] = {
        "instance.name": lambda c: c.instance.about.name,
        "instance.state": lambda c: c.instance.about.state,
        "instance.links": lambda c: c.instance.about.links,
        "instance.ledger": lambda c: c.instance.about.ledger,
        "instance.ledger_password": lambda c: c.instance.about.ledger_password,
        "server": lambda c: c.instance.server,
        "the most handles of any account": most_handles,
        "metrics": lambda c: c.instance.metrics,
        "audit": lambda c: c.instance.audit,
        "control": lambda c: c.instance.control,
        "erasure": lambda c: c.instance.erasure,
        "log": lambda c: c.instance.log,
    }
    changed = [key for key, value in fixed.items() if value(old) != value(new)]
    vaults = _vaults(new)
    changed += [f"vault of link {link}" for link, known in _vaults(old).items() if vaults.get(link) != known]
    if changed:
        raise SftpdError(f"{', '.join(changed)} changed", remedy="restart the daemon for that")


def _vaults(config: Config) -> dict[str, tuple[Path, object]]:
    """Where the keys of each vault are, and what they are wrapped with."""
    found = ((file.name, file.vault) for file in config.links)
    return {
        link: (key_file(config, link, vault.keys), vault.key) for link, vault in found if vault is not None
    }
