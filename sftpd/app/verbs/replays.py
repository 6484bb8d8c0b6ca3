"""The erasure ledger of an instance that was restored from a backup, or that has lost it."""

from collections.abc import Mapping
from typing import Any

from sftpd.app.erasure_links import ErasureLinks
from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb, as_text
from sftpd.erasure.replay import Outcome, Replay, Result
from sftpd.errors import UsageError


def _replay(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    replay = Replay(
        instance.ledger, instance.readers, instance.erasures, ErasureLinks(instance, restored=True)
    )
    outcomes = replay.run(arguments["by"])
    return {
        "standing": instance.erasures.compare().standing,
        "items": [_outcome(outcome) for outcome in outcomes],
        "left": sum(outcome.result is Result.LEFT for outcome in outcomes),
    }


def _ledger_lost(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    if not arguments["reason"].strip():
        raise UsageError("a lost ledger is gone on without for a reason", where="reason")
    after = instance.erasures.go_on_without(arguments["by"], arguments["reason"])
    return {"standing": after.standing, "epoch": after.epoch}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    path = None if outcome.path is None else as_text(b"/".join(outcome.path)) or None
    return {**outcome.public, "link": outcome.link, "path": path, "reason": outcome.reason}


VERBS: Mapping[str, Verb] = {"erasure.replay": _replay, "erasure.ledger_lost": _ledger_lost}
