"""Remotes."""

import os
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.keys import remote_logins
from sftpd.app.verbs.verb import Arguments, Verb
from sftpd.errors import NotFoundError, UsageError
from sftpd.ledger.outbox import Event
from sftpd.link.model import Inbound, Link, Outbound, Remote
from sftpd.names import new_id
from sftpd.ssh.remotes import CourierRemotes
from sftpd.ssh.suggestions import snippet, suggested, untried


def _remote_list(instance: Instance, _: Arguments) -> list[dict[str, Any]]:
    return [_remote(remote) for _, link in sorted(instance.register.links.items()) for remote in link.remotes]


def _remote(remote: Remote) -> dict[str, Any]:
    return {
        "remote": remote.name,
        "link": remote.link,
        "host": remote.host,
        "port": remote.port,
        "user": remote.user,
    }


def _remote_probe(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    link, remote = _named(instance, arguments["remote"], arguments.get("link"))
    folder = arguments.get("path") or _folder(link, remote)
    event = Event(
        "remote.probed", link.name, {"remote": remote.name}, {"by": arguments["by"], "path": folder}
    )
    instance.ledger.write(lambda unit: unit.record(event))
    with closing(CourierRemotes(instance.children, remote_logins(link, instance.config))) as remotes:
        found = remotes.examine(remote.name, os.fsencode(folder), new_id(instance.clock.now()))
    settings = suggested(found)
    return {
        **_remote(remote),
        "path": folder,
        "identification": found.identification,
        "extensions": list(found.extensions),
        "limits": found.limits
        and dict(zip(("packet", "read", "write", "handles"), found.limits, strict=True)),
        "usable": any(each.step == "write" and each.works for each in found.steps),
        "steps": [{"step": each.step, "works": each.works, "said": each.said} for each in found.steps],
        "untried": untried(found),
        "settings": settings,
        "toml": snippet(settings),
    }


def _named(instance: Instance, name: str, of: str | None) -> tuple[Link, Remote]:
    """The remote of that name and its link. Raises NotFoundError, or UsageError where two links have one."""
    found = [
        (link, remote)
        for _, link in sorted(instance.register.links.items())
        for remote in link.remotes
        if remote.name == name and of in (None, link.name)
    ]
    if not found:
        raise NotFoundError("no such remote", where=name, remedy="see sftpd remote list")
    if len(found) > 1:
        links = ", ".join(link.name for link, _ in found)
        raise UsageError(f"several links have a remote {name}: {links}", remedy="add --link LINK")
    return found[0]


def _folder(link: Link, remote: Remote) -> str:
    """The folder that the link's first route to the remote uses, those that send before those that fetch."""
    routes: tuple[Outbound | Inbound, ...] = (*link.outbound, *link.inbound)
    return next((route.remote_path for route in routes if route.remote == remote.name), ".")


VERBS: Mapping[str, Verb] = {
    "remote.list": _remote_list,
    "remote.probe": _remote_probe,
}
