"""Asking the gates about a file, and telling the observers what became of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftpd.exchange.records import Transfer
from sftpd.hooks.runner import HookRunner
from sftpd.hooks.verdict import Verdict


class Screening:
    """Puts transfers before the hooks in the form that hooks know."""

    def __init__(self, hooks: HookRunner) -> None:
        self._hooks = hooks

    def screen(self, transfer: Transfer, file: Path, policy: Mapping[str, Any]) -> Verdict:
        """The verdict of the gates on `file`; never an exception, a gate that fails holds the file back."""
        event = "pre-receive" if transfer.direction == "inbound" else "pre-send"
        return self._hooks.screen(event, {**_payload(transfer), "policy": dict(policy)}, file)

    def tell(self, transfer: Transfer, file: Path) -> None:
        """Tell the observers that the file is at its place."""
        event = "post-receive" if transfer.direction == "inbound" else "post-send"
        self._hooks.observe(event, _payload(transfer), file)


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
