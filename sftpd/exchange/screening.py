"""Asking the gates about a file, and telling the observers what became of it."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sftpd.exchange.records import Direction, Transfer
from sftpd.hooks.runner import HookRunner
from sftpd.hooks.verdict import Verdict

_GATES: Mapping[Direction, str] = MappingProxyType({"inbound": "pre-receive", "outbound": "pre-send"})


class Screening:
    """Puts transfers before the hooks in the form that hooks know."""

    def __init__(self, hooks: HookRunner) -> None:
        self._hooks = hooks

    def has_gates(self, transfer: Transfer) -> bool:
        """Whether anybody is to be asked about the transfer; a gate that cannot run counts."""
        return self._hooks.has(_gate(transfer))

    def is_quick(self, direction: Direction) -> bool:
        """Whether all gates that are asked about files of a direction run already, or there are none."""
        return self._hooks.stay(_GATES[direction])

    def has_observers(self, transfer: Transfer) -> bool:
        """Whether anybody is to be told of the transfer."""
        return self._hooks.has(_observer(transfer))

    def screen(self, transfer: Transfer, file: Path, policy: Mapping[str, Any]) -> Verdict:
        """The verdict of the gates on `file`; never an exception, a gate that fails holds the file back."""
        return self._hooks.screen(_gate(transfer), _gated(transfer, policy), file)

    def screen_soon(
        self, transfer: Transfer, file: Path, policy: Mapping[str, Any], patience: float
    ) -> Verdict | None:
        """The verdict, if gates that are running already give it within `patience` seconds; else None.

        Without one `screen` asks all of them anew.
        """
        return self._hooks.screen_soon(_gate(transfer), _gated(transfer, policy), file, patience)

    def tell(self, transfer: Transfer, file: Path) -> None:
        """Tell the observers that the file is at its place."""
        self._hooks.observe(_observer(transfer), _payload(transfer), file)


def _gate(transfer: Transfer) -> str:
    return _GATES[transfer.direction]


def _observer(transfer: Transfer) -> str:
    return "post-receive" if transfer.direction == "inbound" else "post-send"


def _gated(transfer: Transfer, policy: Mapping[str, Any]) -> dict[str, Any]:
    return {**_payload(transfer), "policy": dict(policy)}


def _payload(transfer: Transfer) -> dict[str, Any]:
    folder = "/upload" if transfer.direction == "inbound" else "/download"
    path = b"/".join(transfer.path).decode("utf-8", "backslashreplace")
    return {
        "link": transfer.link,
        "route": transfer.route,
        "direction": transfer.direction,
        "path": f"{folder}/{path}",
        "size": transfer.size,
        "sha256": transfer.sha256,
        "transfer": transfer.id,
        "account": transfer.peer or None,
    }
