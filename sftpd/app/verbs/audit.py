"""The audit logs: reading leaves, opening what may be opened, proving."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb
from sftpd.audit.checkpoint import parse_checkpoint
from sftpd.audit.event import parts
from sftpd.audit.proof import prove
from sftpd.audit.published import PublishedLog
from sftpd.errors import NotFoundError
from sftpd.ledger import outbox
from sftpd.ledger.outbox import SYSTEM_LOG

_TAIL = 20


def _tail(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    log, size = _log(instance, arguments)
    count = int(arguments.get("count") or _TAIL)
    start = max(0, size - count)
    leaves = log.leaves(start, size, size)
    return [_event(instance, index, leaf) for index, leaf in enumerate(leaves, start)]


def _show(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    log, size = _log(instance, arguments)
    index = int(arguments["index"])
    if not 0 <= index < size:
        held = f"0 to {size - 1}" if size else "none: the log is empty"
        raise NotFoundError(f"no event {index} in this log", expected=held)
    leaf = next(iter(log.leaves(index, index + 1, size)))
    event = _event(instance, index, leaf)
    with instance.ledger.read() as conn:
        kept = outbox.openings(conn, event["id"])
    nonces = {name: base64.b64encode(nonce).decode() for name, (nonce, _) in kept.items()}
    return event | {"nonces": nonces, "leaf": leaf.decode()}


def _search(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    log, size = _log(instance, arguments)
    found = (_event(instance, index, leaf) for index, leaf in enumerate(log.leaves(0, size, size)))
    text = arguments["text"]
    return [event for event in found if text in json.dumps(event, ensure_ascii=False)]


def _prove(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    log, _ = _log(instance, arguments)
    index = int(arguments["index"])
    return {"index": index, "proof": bytes(prove(log, index)).decode(), "key": str(instance.key.verifier)}


def _log(instance: Instance, arguments: Arguments) -> tuple[PublishedLog, int]:
    """A log with everything committed so far in it, and its size."""
    name = arguments.get("link") or SYSTEM_LOG
    if name != SYSTEM_LOG:
        instance.register.get(name)
    instance.sequencer.drain()
    log = PublishedLog(instance.audit_folder / name / "public")
    return log, parse_checkpoint(log.checkpoint()).size


def _event(instance: Instance, index: int, leaf: bytes) -> dict[str, Any]:
    """A leaf for people: its commitments opened as far as their openings are kept."""
    event, commitments = parts(leaf)
    with instance.ledger.read() as conn:
        opened = {name: value for name, (_, value) in outbox.openings(conn, event["id"]).items()}
    return {"index": index, **event, "private": opened, "erased": sorted(commitments.keys() - opened.keys())}


VERBS: Mapping[str, Verb] = {
    "audit.tail": _tail,
    "audit.show": _show,
    "audit.search": _search,
    "audit.prove": _prove,
}
