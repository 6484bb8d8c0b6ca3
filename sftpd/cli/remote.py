"""`sftpd remote`: the partners' servers."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    LinkOption,
    print_json,
    print_table,
    printable,
    show_rows,
)

group = typer.Typer()

_WORKS = {True: "yes", False: "no", None: "-"}


@group.command("list")
def list_remotes(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the remotes of all links."""
    show_rows(ask(config, "remote.list"), ("remote", "link", "host", "port", "user"), as_json=as_json)


@group.command("probe")
def probe(
    remote: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    by: ByOption,
    link: LinkOption = None,
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="DIR", help="The folder there to try it in.", show_default=False),
    ] = None,
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
