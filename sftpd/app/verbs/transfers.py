"""Transfers, and what is halted of their sending."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa

from sftpd.app.instance import Instance
from sftpd.app.traffic import Traffic
from sftpd.app.verbs.verb import Arguments, Verb, as_text, day_or_instant
from sftpd.errors import NotFoundError
from sftpd.exchange import records, return_records
from sftpd.exchange.desk import Order, TransferDesk
from sftpd.exchange.halts import Halt, Subject
from sftpd.exchange.places import Places
from sftpd.exchange.records import Transfer
from sftpd.ledger import tables

_LATEST = 100


def _transfer_list(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    t = tables.transfer.c
    wanted = [
        column == arguments[name]
        for name, column in (("link", t.link), ("route", t.route), ("state", t.state))
        if arguments.get(name)
    ]
    if arguments.get("since"):
        wanted.append(_since(instance, arguments["since"]))
    with instance.ledger.read() as conn:
        found = records.latest(conn, *wanted, limit=int(arguments.get("limit") or _LATEST))
    return [_transfer(instance, transfer) for transfer in found]


def _since(instance: Instance, text: str) -> sa.ColumnElement[bool]:
    """That a transfer began then or later; a day is that of its link's time zone."""
    t, links = tables.transfer.c, instance.register.links
    usual = day_or_instant(text, "since", instance.config.instance.about.time_zone)
    of_links = (
        sa.and_(t.link == link.name, t.began_at >= day_or_instant(text, "since", link.zone))
        for link in links.values()
    )
    return sa.or_(sa.and_(t.link.not_in(links), t.began_at >= usual), *of_links)


def _transfer_show(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    with instance.ledger.read() as conn:
        transfer = records.get(conn, arguments["id"])
        return _transfer(instance, transfer) | {"receipt": return_records.of(conn, transfer.id)}


def _transfer_cancel(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    _desk(instance).cancel(arguments["id"], _order(arguments), partial(_is_served, instance))
    return _transfer_show(instance, arguments)


def _transfer_retry(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    desk = _desk(instance)
    _require_own_route(instance, desk.require("retry", arguments["id"]))
    desk.retry(arguments["id"], _order(arguments))
    return _transfer_show(instance, arguments)


def _transfer_resend(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    desk = _desk(instance)
    transfer = desk.require("resend", arguments["id"])
    _require_own_route(instance, transfer)
    with Places(instance.register.get(transfer.link).folders, instance.path_locks) as places:
        fresh = desk.resend(arguments["id"], places, _order(arguments))
    return _transfer_show(instance, {"id": fresh})


def release(instance: Instance, traffic: Callable[[], Mapping[str, Traffic]], arguments: Arguments) -> Any:
    """What `sftpd transfer release` asks the daemon for."""
    transfer = _desk(instance).require("release", arguments["id"])
    instance.register.get(transfer.link)
    traffic()[transfer.link].release(transfer.id, _order(arguments))
    return _transfer_show(instance, arguments)


def _transfer_pause(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    subject = _sending(instance, arguments)
    instance.halts.pause(subject, by=arguments["by"], reason=arguments["reason"])
    return _halted(instance, subject)


def _transfer_resume(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    subject = _sending(instance, arguments)
    instance.halts.lift(subject, by=arguments["by"], reason=arguments.get("reason"))
    return _halted(instance, subject)


def _desk(instance: Instance) -> TransferDesk:
    return TransferDesk(instance.ledger, instance.clock, instance.held)


def _order(arguments: Arguments) -> Order:
    return Order(arguments["by"], arguments["reason"])


def _is_served(instance: Instance, transfer: Transfer) -> bool:
    """Whether somebody carries out what is ordered of an outbound transfer: who sends its route."""
    return instance.register.has_outbound(transfer.link, transfer.route)


def _require_own_route(instance: Instance, transfer: Transfer) -> None:
    """Pass if somebody carries out what is ordered of a transfer."""
    if not _is_served(instance, transfer):
        raise NotFoundError(
            _gone(transfer),
            where=f"transfer {transfer.id}",
            remedy="put the route back and reload",
        )


def _require_route(instance: Instance, link: str, route: str) -> None:
    routes = sorted(route.name for route in instance.register.get(link).leaving)
    if route not in routes:
        raise NotFoundError(
            f"no outbound route {route!r}",
            where=f"link {link}",
            expected="one of " + (", ".join(routes) or "none: the link sends nothing"),
        )


def _sending(instance: Instance, arguments: Arguments) -> Subject:
    """The sending of a link, or of one of its routes."""
    link, route = str(instance.register.get(arguments["link"]).name), arguments.get("route")
    if route is None:
        return Subject(link, "link", link)
    _require_route(instance, link, route)
    return Subject(link, "route", route)


def _halted(instance: Instance, subject: Subject) -> dict[str, Any]:
    route = subject.name if subject.kind == "route" else None
    return {"link": subject.link, "route": route} | halt_fields(instance.halts.of(subject))


def halt_fields(halt: Halt | None) -> dict[str, Any]:
    """Whether something is halted, since when, by whom and why."""
    if halt is None:
        return {"halted": None, "since": None, "by": None, "reason": None}
    since = halt.since.isoformat()
    return {"halted": halt.cause, "since": since, "by": halt.placed_by, "reason": halt.reason}


def _reason(instance: Instance, transfer: Transfer) -> str | None:
    """Why a transfer stands where it does; of one that waits for a route that is gone, that alone."""
    if transfer.not_before is None or _is_served(instance, transfer):
        return transfer.reason
    return _gone(transfer)


def _gone(transfer: Transfer) -> str:
    return f"no outbound route {transfer.route!r} of link {transfer.link} is configured any more"


def _transfer(instance: Instance, transfer: Transfer) -> dict[str, Any]:
    return {
        "id": transfer.id,
        "link": transfer.link,
        "direction": transfer.direction,
        "route": transfer.route,
        "peer": transfer.peer,
        "path": as_text(records.join(transfer.path)),
        "size": transfer.size,
        "sha256": transfer.sha256,
        "state": transfer.state,
        "folder": transfer.folder,
        "placed_as": None if transfer.placed_as is None else as_text(records.join(transfer.placed_as)),
        "delivered_as": (
            None if transfer.delivered_as is None else as_text(records.join(transfer.delivered_as))
        ),
        "proof": transfer.proof,
        "reason": _reason(instance, transfer),
        "attempts": transfer.attempts,
        "began": None if transfer.began_at is None else transfer.began_at.isoformat(),
        "not_before": None if transfer.not_before is None else transfer.not_before.isoformat(),
    }


VERBS: Mapping[str, Verb] = {
    "transfer.list": _transfer_list,
    "transfer.show": _transfer_show,
    "transfer.cancel": _transfer_cancel,
    "transfer.retry": _transfer_retry,
    "transfer.resend": _transfer_resend,
    "transfer.pause": _transfer_pause,
    "transfer.resume": _transfer_resume,
}
