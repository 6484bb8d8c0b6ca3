"""Deletion requests."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb, as_text, day_or_instant
from sftpd.config.requests_model import PARTNER
from sftpd.erasure import answers, notices
from sftpd.erasure.answers import Shelf
from sftpd.erasure.finder import Why
from sftpd.erasure.grounds import Ground
from sftpd.erasure.index import reached
from sftpd.erasure.indexing import standing
from sftpd.erasure.notices import Notice
from sftpd.erasure.notifier import acknowledge
from sftpd.erasure.records import Item, Request
from sftpd.errors import NotFoundError, UsageError
from sftpd.files.beneath import Root


def _open(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    link, now, told = (
        instance.register.get(arguments["link"]),
        instance.clock.now(),
        arguments.get("received"),
    )
    received = now if told is None else day_or_instant(told, "received", link.zone)
    if received > now:
        raise UsageError(
            f"{received.isoformat()} is to come", where="received", expected="a time that has passed"
        )
    intake = instance.erasure.intake
    opened = intake.open(intake.made(link.name, arguments["identifiers"], received, arguments["by"]))
    return {"id": opened.id, "state": opened.state, "duplicate_of": opened.duplicate_of}


def _list(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    now = instance.clock.now()
    requests = instance.erasure.requests(arguments.get("link"))
    return [_request(request) | {"overdue": request.is_overdue(now)} for request in requests]


def _find(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    items = instance.erasure.find(arguments["id"])
    files, looked_up = instance.erasure.searched(arguments["id"])
    searched = {"files": files, "looked_up": looked_up, "read": files - looked_up}
    request = _request(instance.erasure.show(arguments["id"]))
    return request | {"searched": searched, "items": [_item(item) for item in items]}


def _approve(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    instance.erasure.approve(arguments["id"], arguments["by"])
    return _request(instance.erasure.show(arguments["id"]))


def _identity(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    intake = instance.erasure.intake
    step = {"ask": intake.ask_identity, "confirm": intake.confirm_identity}[arguments["step"]]
    step(arguments["id"], arguments["by"])
    return _request(instance.erasure.show(arguments["id"]))


def _extend(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    instance.erasure.intake.extend(arguments["id"], arguments["by"], arguments["reason"])
    return _request(instance.erasure.show(arguments["id"]))


def _forward(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    request = instance.erasure.intake.forward(arguments["id"], arguments["by"])
    document = answers.forwarded(request, instance.name)
    controller = instance.erasure_settings(request.link).controller
    if controller == PARTNER:
        with _shelf(instance, request.link) as shelf:
            answers.post(shelf, answers.forwarded_name(request.id), document, instance.key)
    return {"id": request.id, "controller": controller, "document": document.decode()}


def _instruct(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    instance.erasure.intake.instruct(arguments["id"], arguments["by"], arguments["reference"])
    _take_back(instance, arguments["id"])
    return _request(instance.erasure.show(arguments["id"]))


def _deny(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    instance.erasure.deny(arguments["id"], arguments["by"], arguments["reason"])
    _take_back(instance, arguments["id"])
    return _request(instance.erasure.show(arguments["id"]))


def _take_back(instance: Instance, request_id: str) -> None:
    """Remove what a controller was asked, which says who the person is, now that it is decided."""
    request = instance.erasure.show(request_id)
    if request.forwarded_at is not None:
        with _shelf(instance, request.link) as shelf:
            answers.withdraw(shelf, [answers.forwarded_name(request_id)])


@contextmanager
def _shelf(instance: Instance, link: str) -> Iterator[Shelf]:
    receipts, drafts = (Root.at(instance.folder(link, name)) for name in ("receipts", "drafts"))
    with receipts, drafts:
        yield Shelf(receipts, drafts, instance.receipting)


def _review(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    matches = instance.erasure.reviewer.matches(arguments["id"])
    return {"id": arguments["id"], "matches": [_match(item) for item in matches]}


def _look(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    wanted = (arguments["id"], arguments["seq"])
    text = instance.erasure.reviewer.look(*wanted, arguments["by"], arguments["reason"])
    return {"id": arguments["id"], "seq": arguments["seq"], "text": text}


def _decide(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    instance.erasure.reviewer.decide(
        arguments["id"],
        arguments["seqs"],
        [Why(form) for form in arguments["forms"]],
        remove=arguments["remove"],
        by=arguments["by"],
        reason=arguments.get("reason"),
    )
    return _review(instance, arguments)


def _except(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    wanted = (arguments["id"], arguments["seqs"], Ground(arguments["ground"]))
    instance.erasure.reviewer.except_files(*wanted, arguments["reason"], arguments["by"])
    return _show(instance, arguments)


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


def _notices(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    request = instance.erasure.show(arguments["id"])
    with instance.ledger.read() as conn:
        return [_notice(notice) for notice in notices.of(conn, request.id)]


def _told(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    """Note that a recipient was told by other means than a notice over the link, or has answered."""
    acknowledge(instance.ledger, arguments["notice"], by=arguments["by"], reason=arguments["reason"])
    with instance.ledger.read() as conn:
        return _notice(notices.get(conn, arguments["notice"]))


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "request": notice.request,
        "link": notice.link,
        "remote": notice.remote or None,
        "files": notice.files,
        "state": notice.state,
        "made": notice.made_at.isoformat(),
        "due": notice.due_at.isoformat(),
        "delivered": _time(notice.delivered_at),
        "acknowledged": _time(notice.acknowledged_at),
        "overdue": notice.told_at is not None and notice.acknowledged_at is None,
        "reason": notice.fault,
        "answer": notice.answer,
        "document": None if notice.document is None else notice.document.decode(errors="backslashreplace"),
    }


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
        "identity_asked": _time(request.asked_at),
        "paused": int(request.paused.total_seconds()) or None,
        "extended": _time(request.extended_at),
        "forwarded": _time(request.forwarded_at),
        "instructed": _time(request.instructed_at),
        "duplicate_of": request.duplicate_of,
    }


def _item(item: Item) -> dict[str, Any]:
    step = item.step
    return {
        "seq": item.seq,
        "folder": step.folder,
        "path": as_text(b"/".join(step.path)) or None,
        "action": step.action,
        "format": step.format,
        "records": step.records,
        "state": "unsearched" if item.is_unsearched else item.state,
        "reason": step.reason,
    }


def _match(item: Item) -> dict[str, Any]:
    step, possible = item.step, item.step.possible
    assert possible is not None
    decision = "keep" if item.state == "kept" else "remove"
    return {
        "seq": item.seq,
        "folder": step.folder,
        "path": as_text(b"/".join(step.path)) or None,
        "format": step.format,
        "place": possible.place,
        "why": possible.why,
        "whole": possible.whole,
        "decision": None if item.is_undecided else decision,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


VERBS: Mapping[str, Verb] = {
    "erasure.open": _open,
    "erasure.list": _list,
    "erasure.identity": _identity,
    "erasure.extend": _extend,
    "erasure.forward": _forward,
    "erasure.instruct": _instruct,
    "erasure.find": _find,
    "erasure.approve": _approve,
    "erasure.deny": _deny,
    "erasure.review": _review,
    "erasure.look": _look,
    "erasure.decide": _decide,
    "erasure.except": _except,
    "erasure.run": _run,
    "erasure.show": _show,
    "erasure.certificate": _certificate,
    "erasure.notices": _notices,
    "erasure.told": _told,
    "erasure.index": _index,
}
