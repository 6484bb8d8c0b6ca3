"""Remotes: how each stands, and leaving one alone."""

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
    return [_remote(instance, remote) for remote in _all(instance)]


def _remote_show(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    return _remote(instance, _named(instance, arguments))


def _remote_pause(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    remote = _named(instance, arguments)
    subject = instance.guards.of(remote.link, remote.name).subject
    instance.halts.pause(subject, by=arguments["by"], reason=arguments["reason"])
    return _remote(instance, remote)


def _remote_resume(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    remote = _named(instance, arguments)
    guard = instance.guards.of(remote.link, remote.name)
    standing = guard.standing()
    is_tried_later = standing.since is not None or standing.waiting
    if instance.halts.of(guard.subject) is not None or not is_tried_later:
        instance.halts.lift(guard.subject, by=arguments["by"], reason=arguments.get("reason"))
    guard.revive()
    return _remote(instance, remote)


def _remote_probe(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    remote = _named(instance, arguments)
    link = instance.register.get(remote.link)
    folder = arguments.get("path") or _folder(link, remote)
    event = Event(
        "remote.probed", link.name, {"remote": remote.name}, {"by": arguments["by"], "path": folder}
    )
    instance.ledger.write(lambda unit: unit.record(event))
    with closing(CourierRemotes(instance.children, remote_logins(link, instance.config))) as remotes:
        found = remotes.examine(remote.name, os.fsencode(folder), new_id(instance.clock.now()))
    settings = suggested(found)
    return {
        **_where(remote),
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


def _all(instance: Instance) -> list[Remote]:
    return [remote for _, link in sorted(instance.register.links.items()) for remote in link.remotes]


def _named(instance: Instance, arguments: Arguments) -> Remote:
    """The remote of that name, which several links may have."""
    name, link = arguments["remote"], arguments.get("link")
    if link is not None:
        link = instance.register.get(link).name
    found = [remote for remote in _all(instance) if remote.name == name and link in (None, remote.link)]
    if len(found) > 1:
        links = ", ".join(remote.link for remote in found)
        raise UsageError(f"several links have a remote {name!r}: {links}", remedy="say which with --link")
    if not found:
        known = sorted(remote.name for remote in _all(instance) if link in (None, remote.link))
        raise NotFoundError(
            f"no remote {name!r}",
            expected=f"one of {', '.join(known)}" if known else "a [[remote]] in the file of a link",
        )
    return found[0]


def _remote(instance: Instance, remote: Remote) -> dict[str, Any]:
    standing = instance.guards.of(remote.link, remote.name).standing()
    return {
        **_where(remote),
        "state": standing.state,
        "reason": standing.reason,
        "since": None if standing.since is None else standing.since.isoformat(),
        "failures": standing.failures,
        "retry_at": None if standing.retry_at is None else standing.retry_at.isoformat(),
        "waiting": {route: stopped.reason for route, stopped in standing.waiting.items()},
        "at_once": standing.at_once,
    }


def _where(remote: Remote) -> dict[str, Any]:
    return {
        "remote": remote.name,
        "link": remote.link,
        "host": remote.host,
        "port": remote.port,
        "user": remote.user,
    }


def _folder(link: Link, remote: Remote) -> str:
    """The folder that the link's first route to the remote uses, those that send before those that fetch."""
    routes: tuple[Outbound | Inbound, ...] = (*link.outbound, *link.inbound)
    return next((route.remote_path for route in routes if route.remote == remote.name), ".")


VERBS: Mapping[str, Verb] = {
    "remote.list": _remote_list,
    "remote.show": _remote_show,
    "remote.pause": _remote_pause,
    "remote.resume": _remote_resume,
    "remote.probe": _remote_probe,
}
