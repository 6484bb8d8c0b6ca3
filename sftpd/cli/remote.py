"""`sftpd remote`: the partners' servers."""

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, show_rows

group = typer.Typer()


@group.command("list")
def list_remotes(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the remotes of all links."""
    show_rows(ask(config, "remote.list"), ("remote", "link", "host", "port", "user"), as_json=as_json)
