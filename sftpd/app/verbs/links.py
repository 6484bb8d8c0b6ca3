"""Links and accounts."""

from collections.abc import Mapping
from typing import Any

import structlog

from sftpd.app.ending import remainder
from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb
from sftpd.errors import RefusedError
from sftpd.link.lifecycle import LinkStep
from sftpd.retention import held, holds

_log = structlog.get_logger()


def _link_list(instance: Instance, _: Arguments) -> list[dict[str, Any]]:
    return [_link(instance, name) for name in sorted(instance.register.links)]


def _link_show(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    link = instance.register.get(arguments["link"])
    return _link(instance, link.name) | {
        "time_zone": str(link.zone),
        "folder": str(link.folders.root),
        "accounts": [account.name for account in link.accounts],
        "remotes": [remote.name for remote in link.remotes],
        "routes": [*(route.name for route in link.outbound), *(route.name for route in link.inbound)],
        "terms": None if link.terms is None else f"{link.terms.document} {link.terms.version}",
    }


def _link(instance: Instance, name: str) -> dict[str, Any]:
    standing = instance.register.standing(name)
    return {
        "link": name,
        "counterparty": instance.register.get(name).counterparty,
        "state": standing.state,
        "since": standing.since.isoformat(),
        "reason": standing.reason,
    }


def _link_step(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    name, step = arguments["link"], LinkStep(arguments["step"])
    instance.register.move(name, step, by=arguments["by"], reason=arguments.get("reason"))
    link = _link(instance, name)
    if step is not LinkStep.CLOSE:
        return link
    try:
        instance.retention.note_unfinished(name)
    except RefusedError as error:
        _log.error("unfinished_uploads_not_seen", link=name, error=str(error))
    return link | _left(instance, name)


def _link_finish(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    name = arguments["link"]
    instance.retention.note_unfinished(name)
    instance.register.move(
        name,
        LinkStep.FINISH,
        by=arguments["by"],
        reason=arguments["reason"],
        require=lambda conn: remainder(conn, name).require_nothing(),
    )
    return _link(instance, name)


def _left(instance: Instance, link: str) -> dict[str, Any]:
    """What of a link's files stays with us: to close it removes none, and what is held no rule will."""
    unruled = sum(item.decision.rule is None for item in instance.retention.items(link))
    with instance.ledger.read() as conn:
        standing = holds.standing(conn, instance.clock.now(), link)
        files = held.covered(conn, standing)
        return {
            **remainder(conn, link).as_json(),
            "without_rule": unruled,
            "held": [
                {
                    "hold": hold.id,
                    "covers": str(hold.scope),
                    "files": files[hold.id],
                    "reason": hold.reason,
                    "until": None if hold.until is None else hold.until.isoformat(),
                }
                for hold in standing
            ],
        }


def _link_accept(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    terms = instance.register.accept(arguments["link"], by=arguments["by"])
    return _link(instance, arguments["link"]) | {"document": terms.document, "version": terms.version}


def _account_list(instance: Instance, _: Arguments) -> list[dict[str, Any]]:
    return [
        {
            "account": account.name,
            "link": account.link,
            "keys": len(account.keys),
            "password": account.password_hash is not None,
            "permissions": sorted(account.permissions),
            "networks": [str(network) for network in account.networks],
            "expires": None if account.expires is None else account.expires.isoformat(),
        }
        for _, link in sorted(instance.register.links.items())
        for account in link.accounts
    ]


VERBS: Mapping[str, Verb] = {
    "link.list": _link_list,
    "link.show": _link_show,
    "link.step": _link_step,
    "link.finish": _link_finish,
    "link.accept": _link_accept,
    "account.list": _account_list,
}
