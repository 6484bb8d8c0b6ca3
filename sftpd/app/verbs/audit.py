"""The audit logs: reading leaves, opening what may be opened, proving."""

import base64
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb
from sftpd.audit.checkpoint import parse_checkpoint
from sftpd.audit.event import id_of, parts
from sftpd.audit.proof import prove
from sftpd.audit.published import PublishedLog
from sftpd.errors import NotFoundError
from sftpd.ledger import outbox
from sftpd.ledger.outbox import SYSTEM_LOG

_TAIL, _FOUND = 20, 1000
"""How many events are shown if no other number is asked for."""
_AT_ONCE = 500
"""Events whose openings are looked up together."""


def _tail(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    log, size = _log(instance, arguments)
    count = int(arguments.get("count") or _TAIL)
    start = max(0, size - count)
    return list(_events(instance, enumerate(log.leaves(start, size, size), start)))


def _show(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    log, size = _log(instance, arguments)
    index = int(arguments["index"])
    if not 0 <= index < size:
        held = f"0 to {size - 1}" if size else "none: the log is empty"
        raise NotFoundError(f"no event {index} in this log", expected=held)
    leaf = next(iter(log.leaves(index, index + 1, size)))
    (event,) = _events(instance, [(index, leaf)])
    with instance.ledger.read() as conn:
        kept = outbox.openings(conn, event["id"])
    nonces = {name: base64.b64encode(nonce).decode() for name, (nonce, _) in kept.items()}
    return event | {"nonces": nonces, "leaf": leaf.decode()}


def _search(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    log, size = _log(instance, arguments)
    text, limit = arguments["text"], int(arguments.get("limit") or _FOUND)
    said = json.dumps(text, ensure_ascii=False)[1:-1]
    raw = said.encode(errors="surrogatepass")
    with instance.ledger.read() as conn:
        telling = outbox.telling(conn, arguments.get("link") or SYSTEM_LOG, text, limit)
    leaves = enumerate(log.leaves(0, size, size))
    may_tell = (at for at in leaves if raw in at[1] or (telling and id_of(at[1]) in telling))
    # A leaf has commitments in it too, in which a short text may occur.
    found = (e for e in _events(instance, may_tell) if said in json.dumps(e, ensure_ascii=False))
    return list(deque(found, maxlen=limit))


def _prove(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    log, _ = _log(instance, arguments)
    index = int(arguments["index"])
    proven = {"index": index, "proof": bytes(prove(log, index)).decode(), "key": str(instance.key.verifier)}
    return proven | {"event": _show(instance, arguments)} if arguments.get("show") else proven


def _log(instance: Instance, arguments: Arguments) -> tuple[PublishedLog, int]:
    """A log with everything committed so far in it, and its size."""
    name = arguments.get("link") or SYSTEM_LOG
    if name != SYSTEM_LOG:
        instance.register.require_known(name)
    instance.sequencer.drain()
    log = PublishedLog(instance.audit_folder / name / "public")
    return log, parse_checkpoint(log.checkpoint()).size


def _events(instance: Instance, leaves: Iterable[tuple[int, bytes]]) -> Iterator[dict[str, Any]]:
    """Leaves for people: their commitments opened as far as their openings are kept."""
    left = iter(leaves)
    while some := list(islice(left, _AT_ONCE)):
        told = [(index, *parts(leaf)) for index, leaf in some]
        with instance.ledger.read() as conn:
            opened = outbox.opened(conn, [event["id"] for _, event, _ in told])
        for index, event, commitments in told:
            private = opened.get(event["id"], {})
            erased = sorted(commitments.keys() - private.keys())
            yield {"index": index, **event, "private": private, "erased": erased}


VERBS: Mapping[str, Verb] = {
    "audit.tail": _tail,
    "audit.show": _show,
    "audit.search": _search,
    "audit.prove": _prove,
}
