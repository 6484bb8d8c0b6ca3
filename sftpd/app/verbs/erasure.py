"""Deletion requests."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb, as_text
from sftpd.erasure.index import reached
from sftpd.erasure.indexing import standing
from sftpd.erasure.records import Item, Request
from sftpd.errors import NotFoundError


def _open(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    link = instance.register.get(arguments["link"]).name
    return {
        "id": instance.erasure.open(link, arguments["identifiers"], instance.clock.now(), arguments["by"])
    }


def _list(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    return [_request(request) for request in instance.erasure.requests(arguments.get("link"))]


def _find(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    items = instance.erasure.find(arguments["id"])
    files, looked_up = instance.erasure.searched(arguments["id"])
    searched = {"files": files, "looked_up": looked_up, "read": files - looked_up}
    request = _request(instance.erasure.show(arguments["id"]))
    return request | {"searched": searched, "items": [_item(item) for item in items]}


def _approve(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    instance.erasure.approve(arguments["id"], arguments["by"])
    return _request(instance.erasure.show(arguments["id"]))


def _deny(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    instance.erasure.deny(arguments["id"], arguments["by"], arguments["reason"])
    return _request(instance.erasure.show(arguments["id"]))


def _run(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    instance.erasure.run(arguments["id"])
    return _show(instance, arguments)


def _show(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    request = instance.erasure.show(arguments["id"])
    items = instance.erasure.items(arguments["id"])
    certificate = None if request.certificate is None else json.loads(request.certificate)
    return _request(request) | {"items": [_item(item) for item in items], "certificate": certificate}


def _certificate(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    request = instance.erasure.show(arguments["id"])
    if request.certificate is None:
        raise NotFoundError(
            f"request {request.id} has no certificate yet", remedy="it gets one when it has run"
        )
    return {"id": request.id, "certificate": request.certificate, "key": str(instance.key.verifier)}


def _index(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    wanted = arguments.get("link")
    if wanted is not None:
        instance.register.get(wanted)
    return [_index_of(instance, name) for name in instance.indexes.names() if wanted in (None, name)]


def _index_of(instance: Instance, link: str) -> dict[str, Any]:
    with reached(link):
        index = instance.indexes.index(link)
        assert index is not None
        now = standing(instance.ledger, link, index)
    return {
        "link": link,
        "files": now.files,
        "indexed": now.counts.indexed,
        "pending": now.pending,
        "unsearchable": now.counts.unsearchable,
        "reasons": now.counts.reasons,
    }


def _request(request: Request) -> dict[str, Any]:
    return {
        "id": request.id,
        "link": request.link,
        "state": request.state,
        "received": request.received_at.isoformat(),
        "due": request.due_at.isoformat(),
        "identifiers": sorted({identifier.kind for identifier in request.identifiers}),
        "opened_by": request.opened_by,
        "approved_by": request.approved_by,
        "closed": _time(request.closed_at),
    }


def _item(item: Item) -> dict[str, Any]:
    step = item.step
    return {
        "folder": step.folder,
        "path": as_text(b"/".join(step.path)) or None,
        "action": step.action,
        "format": step.format,
        "records": step.records,
        "state": item.state,
        "reason": step.reason,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


VERBS: Mapping[str, Verb] = {
    "erasure.open": _open,
    "erasure.list": _list,
    "erasure.find": _find,
    "erasure.approve": _approve,
    "erasure.deny": _deny,
    "erasure.run": _run,
    "erasure.show": _show,
    "erasure.certificate": _certificate,
    "erasure.index": _index,
}
