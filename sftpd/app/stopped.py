"""The routes of which nothing goes to or comes from a remote: since when, why, and what to do about it."""

from collections.abc import Iterator
from typing import Any

from sftpd.app.instance import Instance
from sftpd.link.model import Inbound, Link, Outbound

_DOWN = "it is tried again by itself, or now by {resume}; what it says to a login: {probe}"
_TAKES_NOTHING = "ask the partner what is in the way; it is tried again by itself, or now by {resume}"


def stopped(instance: Instance) -> dict[str, dict[str, Any]]:
    """Each of them as LINK/ROUTE, for `status`."""
    return {
        f"{link.name}/{route.name}": found
        for _, link in sorted(instance.register.links.items())
        for route in _remote_routes(link)
        if (found := _stopped(instance, route)) is not None
    }


def routes(instance: Instance) -> Iterator[str]:
    """All routes to and from remotes, as LINK/ROUTE."""
    for link in instance.register.links.values():
        for route in _remote_routes(link):
            yield f"{link.name}/{route.name}"


def _remote_routes(link: Link) -> Iterator[Outbound | Inbound]:
    yield from (route for route in link.leaving if route.remote is not None)
    yield from link.inbound


def _stopped(instance: Instance, route: Outbound | Inbound) -> dict[str, Any] | None:
    assert route.remote is not None
    standing = instance.guards.of(route.link, route.remote).standing()
    waits = standing.waiting.get(route.name) if isinstance(route, Outbound) else None
    if standing.since is not None:
        halted = standing.state in ("paused", "suspended")
        since, retry_at = standing.since, standing.retry_at
        reason = f"the remote is {standing.state if halted else 'down'}: {standing.reason}"
        remedy = "once that is settled: {resume}" if halted else _DOWN
    elif waits is not None:
        since, reason, retry_at, remedy = waits.since, waits.reason, waits.retry_at, _TAKES_NOTHING
    else:
        return None
    return {
        "since": since.isoformat(),
        "remote": route.remote,
        "reason": reason,
        "retry_at": None if retry_at is None else retry_at.isoformat(),
        "remedy": remedy.format(resume=_command("resume", route), probe=_command("probe", route)),
    }


def _command(verb: str, route: Outbound | Inbound) -> str:
    return f"sftpd remote {verb} {route.remote} --link {route.link}"
