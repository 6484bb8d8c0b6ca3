"""`sftpd remote`: the partners' servers."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from sftpd.cli.ask import ask, ask_only_daemon
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    LinkOption,
    ReasonOption,
    WhyOption,
    argument,
    option,
    print_json,
    print_table,
    show_fields,
    show_rows,
)
from sftpd.documents.text import printable

group = typer.Typer()

_WORKS = {True: "yes", False: "no", None: "-"}

RemoteArgument = Annotated[str, argument("REMOTE")]


@group.command("list")
def list_remotes(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the remotes of all links and how each stands."""
    columns = ("remote", "link", "host", "port", "user", "state", "reason")
    show_rows(ask(config, "remote.list"), columns, as_json=as_json)


@group.command("show")
def show(
    remote: RemoteArgument,
    link: LinkOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one remote and how it stands."""
    show_fields(ask(config, "remote.show", remote=remote, link=link), as_json=as_json)


@group.command("pause")
def pause(
    remote: RemoteArgument,
    reason: WhyOption,
    by: ByOption,
    link: LinkOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Connect to a remote no more, until it is resumed."""
    show_fields(ask(config, "remote.pause", remote=remote, link=link, by=by, reason=reason), as_json=as_json)


@group.command("resume")
def resume(
    remote: RemoteArgument,
    by: ByOption,
    reason: ReasonOption = None,
    link: LinkOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Connect again to a remote that was paused, or suspended because it refused us."""
    show_fields(ask(config, "remote.resume", remote=remote, link=link, by=by, reason=reason), as_json=as_json)


@group.command("pull")
def pull(
    link: Annotated[str, argument("LINK")],
    route: Annotated[str, argument("ROUTE")],
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Pull the files of an inbound route now; exit with 1 when a file could not be fetched."""
    pulled = ask_only_daemon(config, "remote.pull", "pulls", link=link, route=route, by=by)
    show_fields(pulled, as_json=as_json)
    if pulled["failed"]:
        raise typer.Exit(1)


@group.command("probe")
def probe(
    remote: RemoteArgument,
    by: ByOption,
    link: LinkOption = None,
    path: Annotated[str | None, option("--path", "DIR", "The folder there to try it in.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Find out what a remote can do, with small files that are removed again, and suggest its settings."""
    found = ask(config, "remote.probe", remote=remote, link=link, path=path, by=by)
    if as_json:
        print_json(found)
    else:
        _show(found)
    if not found["usable"]:
        raise typer.Exit(1)


def _show(found: Mapping[str, Any]) -> None:
    print(printable(f"{found['identification']} at {found['host']} port {found['port']}, in {found['path']}"))
    print(printable(f"extensions: {', '.join(found['extensions']) or 'none'}"))
    rows = ([step["step"], _WORKS[step["works"]], step["said"]] for step in found["steps"])
    print_table(("step", "works", ""), rows)
    for line in found["untried"]:
        print(printable(f"not tried: {line}"))
    if not found["usable"]:
        print("\nNo file can be written there: nothing is suggested.")
    elif found["toml"]:
        print(f"\n# In [[remote]] {found['remote']}:\n{found['toml']}", end="")
    else:
        print("\nThe defaults suit this server.")
