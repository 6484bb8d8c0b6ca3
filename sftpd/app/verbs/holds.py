"""Legal holds."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from sftpd.app import subjects
from sftpd.app.instance import Instance
from sftpd.app.verbs.verb import Arguments, Verb, day_end_or_instant, day_or_instant
from sftpd.errors import UsageError
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link.model import Link
from sftpd.retention import held, holds
from sftpd.retention.hold import Hold
from sftpd.retention.holds import HoldRequest
from sftpd.retention.scope import OfAccount, OfFolder, OfLink, OfQuery, OfSubject, Scope


def _add(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    until = arguments.get("until")
    link = instance.register.get(arguments["link"])
    request = HoldRequest(
        link=link.name,
        scope=_scope(instance, link, arguments),
        reason=arguments["reason"],
        placed_by=arguments["by"],
        until=None if until is None else day_end_or_instant(until, "until", link.zone),
    )
    if request.until is not None and request.until <= instance.clock.now():
        raise UsageError(f"{until} has passed", where="until", expected="a time to come")
    hold_id = holds.place(instance.ledger, request)
    instance.retention.catch_up()  # so that nothing it covers goes once it is said to stand
    if isinstance(request.scope, OfSubject):
        subjects.search(instance, hold_id, arguments["identifiers"], arguments["by"])
    return _one(instance, hold_id)


def _list(instance: Instance, arguments: Arguments) -> list[dict[str, Any]]:
    with instance.ledger.read() as conn:
        return _shown(instance, conn, holds.listed(conn, arguments.get("link")))


def _show(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    return _one(instance, arguments["id"])


def _search(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    subjects.search(instance, arguments["id"], arguments["identifiers"], arguments["by"])
    return _one(instance, arguments["id"])


def _release(instance: Instance, arguments: Arguments) -> dict[str, Any]:
    hold = arguments["id"]
    before = instance.erasure.freed()
    holds.release(instance.ledger, hold, arguments["by"], instance.holds_need_second_person)
    freed = {request: link for request, link in instance.erasure.freed().items() if request not in before}

    def work(unit: Unit) -> None:
        for request, link in freed.items():
            unit.record(Event("erasure.freed", link, {"request": request, "hold": hold}))

    if freed:
        instance.ledger.write(work)
    return _one(instance, hold) | {"requests": list(freed)}


def _one(instance: Instance, hold_id: str) -> dict[str, Any]:
    with instance.ledger.read() as conn:
        return _shown(instance, conn, [holds.get(conn, hold_id)])[0]


def _shown(instance: Instance, conn: sa.Connection, found: Sequence[Hold]) -> list[dict[str, Any]]:
    now = instance.clock.now()
    files = held.covered(conn, [hold for hold in found if hold.stands(now)])
    return [_hold(hold, files.get(hold.id), now) for hold in found]


def _hold(hold: Hold, files: int | None, now: datetime) -> dict[str, Any]:
    """`files`: how many it covers; None where it no longer stands."""
    return {
        "id": hold.id,
        "link": hold.link,
        "kind": hold.scope.kind,
        "covers": str(hold.scope),
        "folder": getattr(hold.scope, "folder", None),
        "glob": getattr(hold.scope, "glob", None),
        "files": files or 0,
        "reason": hold.reason,
        "placed_by": hold.placed_by,
        "placed_at": hold.placed_at.isoformat(),
        "until": _text(hold.until),
        "released_by": hold.released_by,
        "released_at": _text(hold.released_at),
        "stands": hold.stands(now),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _scope(instance: Instance, link: Link, arguments: Arguments) -> Scope:
    """The scope that the options say: one of `_ALONE` by itself, or any of `_TOGETHER`, or the link."""
    given = {name: arguments[name] for name in (*_ALONE, *_TOGETHER) if arguments.get(name) is not None}
    alone = given.keys() & _ALONE.keys()
    if alone and len(given) > 1:
        by_itself, narrowing = (", ".join(map(_option, options)) for options in (_ALONE, _TOGETHER))
        raise UsageError(
            f"{' and '.join(map(_option, sorted(given)))} do not go together",
            expected=f"{by_itself} by itself, or any of {narrowing}",
        )
    for name in alone:
        return _ALONE[name](instance, link, given[name])
    values = {name: _TOGETHER[name](instance, link, value) for name, value in given.items()}
    since, before = values.get("since"), values.get("before")
    if since is not None and before is not None and since >= before:
        raise UsageError("no file is received in no time", where="before", expected="a time after --since")
    return _SIMPLE.get(frozenset(values), OfQuery)(**values)


def _file(instance: Instance, link: Link, named: str) -> Scope:
    with instance.ledger.read() as conn:
        return held.find_file(conn, link.name, named)


def _transfer(instance: Instance, link: Link, transfer: str) -> Scope:
    with instance.ledger.read() as conn:
        return held.find_transfer(conn, link.name, transfer)


def _folder(_: Instance, link: Link, folder: str) -> str:
    folders = [*link.folders.by_name(), *sorted({route.folder.name for route in link.outbound})]
    if folder not in folders:
        raise UsageError(f"no folder {folder!r}", where=f"link {link.name}", expected=", ".join(folders))
    return folder


def _glob(_: Instance, link: Link, glob: str) -> str:
    if not glob:
        raise UsageError("an empty pattern matches no file", where=f"link {link.name}", expected="*.csv")
    return glob


def _account(instance: Instance, link: Link, account: str) -> str:
    """An account or remote of the link, or one that it had when files came from there."""
    names = sorted({*(known.name for known in link.accounts), *(known.name for known in link.remotes)})
    if account not in names:
        with instance.ledger.read() as conn:
            if not held.has_peer(conn, link.name, account):
                expected = ", ".join(names) or "none: the link has no account and no remote"
                raise UsageError(f"no account {account!r}", where=f"link {link.name}", expected=expected)
    return account


def _since(_: Instance, link: Link, text: str) -> datetime:
    return day_or_instant(text, "since", link.zone)


def _before(_: Instance, link: Link, text: str) -> datetime:
    return day_or_instant(text, "before", link.zone)


_ALONE: Mapping[str, Callable[[Instance, Link, Any], Scope]] = MappingProxyType(
    {"file": _file, "transfer": _transfer, "identifiers": subjects.scope}
)
"""The options each of which says a scope by itself."""

_TOGETHER: Mapping[str, Callable[[Instance, Link, str], Any]] = MappingProxyType(
    {"folder": _folder, "glob": _glob, "account": _account, "since": _since, "before": _before}
)
"""The options that narrow a scope, with what reads each."""

_SIMPLE: Mapping[frozenset[str], Callable[..., Scope]] = MappingProxyType(
    {frozenset(): OfLink, frozenset({"folder"}): OfFolder, frozenset({"account"}): OfAccount}
)
"""What is no query, by the narrowing options that are given."""


def _option(name: str) -> str:
    return f"--{name.rstrip('s')}"


VERBS: Mapping[str, Verb] = {
    "hold.add": _add,
    "hold.list": _list,
    "hold.show": _show,
    "hold.search": _search,
    "hold.release": _release,
}
