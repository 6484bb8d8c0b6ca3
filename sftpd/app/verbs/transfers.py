"""Transfers."""

from collections.abc import Mapping
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb, as_text
from sftpd.exchange import records
from sftpd.exchange.records import Transfer
from sftpd.ledger import tables

_LATEST = 100


def _transfer_list(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    t = tables.transfer.c
    wanted = [
        column == arguments[name]
        for name, column in (("link", t.link), ("state", t.state))
        if arguments.get(name)
    ]
    with instance.ledger.read() as conn:
        found = records.latest(conn, *wanted, limit=int(arguments.get("limit") or _LATEST))
    return [_transfer(transfer) for transfer in found]


def _transfer_show(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    with instance.ledger.read() as conn:
        return _transfer(records.get(conn, arguments["id"]))


def _transfer(transfer: Transfer) -> dict[str, Any]:
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
        "reason": transfer.reason,
        "attempts": transfer.attempts,
    }


VERBS: Mapping[str, Verb] = {
    "transfer.list": _transfer_list,
    "transfer.show": _transfer_show,
}
