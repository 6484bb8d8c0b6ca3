"""Backups of the instance."""

from collections.abc import Mapping
from typing import Any

import msgspec

from sftpd.app import backups
from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb
from sftpd.ledger.outbox import Event


def _create(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    """Write a backup to the open file `output`, durably."""
    with_keys = bool(arguments.get("with_keys"))
    summary = backups.create(instance, arguments["output"], with_keys=with_keys)
    public = {"epoch": summary.epoch, "files": summary.files, "keys": with_keys, "manifest": summary.manifest}
    private = {"by": arguments["by"]}
    instance.ledger.write(lambda unit: unit.record(Event("backup.created", None, public, private)))
    told: dict[str, Any] = msgspec.to_builtins(summary)
    return told


VERBS: Mapping[str, Verb] = {"backup.create": _create}
