"""Remotes: how each stands, and leaving one alone."""

from collections.abc import Mapping
from typing import Any

from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb
from sftpd.errors import NotFoundError, UsageError
from sftpd.link.model import Remote


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
    instance.halts.lift(guard.subject, by=arguments["by"], reason=arguments.get("reason"))
    guard.revive()
    return _remote(instance, remote)


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
        raise NotFoundError(f"no remote {name!r}", expected="one of " + (", ".join(known) or "none"))
    return found[0]


def _remote(instance: Instance, remote: Remote) -> dict[str, Any]:
    standing = instance.guards.of(remote.link, remote.name).standing()
    return {
        "remote": remote.name,
        "link": remote.link,
        "host": remote.host,
        "port": remote.port,
        "user": remote.user,
        "state": standing.state,
        "reason": standing.reason,
        "since": None if standing.since is None else standing.since.isoformat(),
        "failures": standing.failures,
        "retry_at": None if standing.retry_at is None else standing.retry_at.isoformat(),
    }


VERBS: Mapping[str, Verb] = {
    "remote.list": _remote_list,
    "remote.show": _remote_show,
    "remote.pause": _remote_pause,
    "remote.resume": _remote_resume,
}
