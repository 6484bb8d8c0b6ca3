"""`sftpd hook`: listing hooks, and trying them on a file. Both work with and without a daemon."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftpd.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, argument, option, print_json, show_rows
from sftpd.documents.text import printable
from sftpd.errors import SftpdError, UsageError

if TYPE_CHECKING:
    from sftpd.config.load import Config
    from sftpd.exchange.records import Transfer
    from sftpd.hooks.verdict import Verdict
    from sftpd.link.model import Inbound, Link, Outbound

group = typer.Typer()


@group.command("list")
def list_hooks(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the hooks in the order they run. Exit with 1 if one of them cannot run."""
    from sftpd.app.hooks import hooks_folder
    from sftpd.config.load import load
    from sftpd.hooks import listing

    rows = [
        {"event": hook.event or None, "hook": str(hook.path), "usable": hook.usable, "fault": hook.fault}
        for hook in listing.list_all(hooks_folder(load(config)))
    ]
    show_rows(rows, ("event", "hook", "usable", "fault"), as_json=as_json)
    if not all(row["usable"] for row in rows):
        raise typer.Exit(1)


@group.command("test")
def try_hooks(
    event: Annotated[str, argument("EVENT", "Such as pre-receive.")],
    file: Annotated[Path, argument("FILE")],
    link: Annotated[
        str | None, option("--link", "LINK", "As a file of this link; the first if left out.")
    ] = None,
    route: Annotated[
        str | None,
        option(
            "--route", "ROUTE", "As a file of this route; of uploads, or the first that sends, if left out."
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Run the hooks of EVENT on FILE. Exit with 1 if a gate does not accept it."""
    from sftpd.config.load import load
    from sftpd.hooks.spec import EVENTS

    if event not in EVENTS:
        raise UsageError(f"no event {event!r}", where="EVENT", expected=f"one of {', '.join(EVENTS)}")
    verdict = _try(load(config), event, file.absolute(), link, route)
    if as_json:
        kind = None if verdict is None else verdict.kind.value
        print_json({"event": event, "verdict": kind, "reason": verdict.reason if verdict else ""})
    elif verdict is None:
        print("told; observers give no verdict")
    else:
        print(f"{verdict.kind.value}{verdict.reason and ': '}{printable(verdict.reason)}")
    if verdict is not None and not verdict.accepted:
        raise typer.Exit(1)


def _try(config: "Config", event: str, file: Path, link: str | None, route: str | None) -> "Verdict | None":
    """Run the hooks of `event`; None is what observers say. Faults of hooks go to the log."""
    from sftpd import logs
    from sftpd.app.hooks import hooks_folder
    from sftpd.clock import SystemClock
    from sftpd.exchange.screening import Screening
    from sftpd.hooks.commands import SandboxedCommands
    from sftpd.hooks.runner import HookRunner
    from sftpd.hooks.spec import EVENTS
    from sftpd.process.pool import Children

    logs.configure("info", "console")
    known = _link(config, link)
    outbound = event.endswith("-send")
    chosen = _route(known, route, outbound=outbound)
    transfer = _trial(known, chosen, file, outbound=outbound)
    policy = known.upload_policy if chosen is None else chosen.policy
    children = Children.start(("sftpd.process.command",))
    commands = SandboxedCommands(children)
    try:
        deadline = config.instance.screening.deadline
        screening = Screening(HookRunner(hooks_folder(config), commands, deadline, SystemClock()))
        if EVENTS[event].is_gate:
            return screening.screen(transfer, file, policy)
        screening.tell(transfer, file)
        return None
    finally:
        commands.close()
        children.stop(0)


def _link(config: "Config", name: str | None) -> "Link":
    from sftpd.app.links import build_link

    for file in config.links:
        if name in (None, file.name):
            return build_link(config, file, config.instance.about.state)
    known = ", ".join(file.name for file in config.links)
    raise UsageError(f"no link {name!r}", where="--link", expected=f"one of {known}")


def _route(link: "Link", name: str | None, *, outbound: bool) -> "Outbound | Inbound | None":
    """The route `name`; without a name the first outbound one, or None, which is that of uploads."""
    routes: tuple[Outbound | Inbound, ...] = link.outbound if outbound else link.inbound
    for route in routes:
        if name == route.name or (name is None and outbound):
            return route
    if name is None and not outbound:
        return None
    known = ", ".join(route.name for route in routes) or "none in this direction"
    raise UsageError(f"no route {name!r}", where="--route", expected=f"one of {known}")


def _trial(link: "Link", route: "Outbound | Inbound | None", file: Path, *, outbound: bool) -> "Transfer":
    """A transfer of `file` that never was."""
    from sftpd.exchange.records import Transfer
    from sftpd.names import TransferId

    try:
        content = file.read_bytes()
    except OSError as error:
        raise SftpdError(f"cannot read: {error.strerror}", where=str(file)) from None
    return Transfer(
        id=TransferId("test"),
        link=link.name,
        direction="outbound" if outbound else "inbound",
        route="upload" if route is None else route.name,
        peer="",
        path=(bytes(file).rpartition(b"/")[2],),
        source="",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
