"""`sftpd remote`: the partners' servers."""

from typing import Annotated

import typer

from sftpd.cli.ask import ask, ask_daemon
from sftpd.cli.common import DEFAULT_CONFIG, ByOption, ConfigOption, JsonOption, show_fields, show_rows
from sftpd.errors import SftpdError

group = typer.Typer()


@group.command("list")
def list_remotes(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the remotes of all links."""
    show_rows(ask(config, "remote.list"), ("remote", "link", "host", "port", "user"), as_json=as_json)


@group.command("pull")
def pull(
    link: Annotated[str, typer.Argument(metavar="LINK", show_default=False)],
    route: Annotated[str, typer.Argument(metavar="ROUTE", show_default=False)],
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Pull the files of an inbound route now; exit with 1 when a file could not be fetched."""
    from sftpd.config.load import load

    try:
        pulled = ask_daemon(load(config), "remote.pull", {"link": link, "route": route, "by": by})
    except ConnectionError as error:
        raise SftpdError("no daemon runs, and only that pulls", remedy="start it: sftpd serve") from error
    show_fields(pulled, as_json=as_json)
    if pulled["failed"]:
        raise typer.Exit(1)
