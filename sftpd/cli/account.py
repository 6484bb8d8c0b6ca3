"""`sftpd account`: the partners' logins at our server."""

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, show_rows

group = typer.Typer()


@group.command("list")
def list_accounts(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the accounts of all links."""
    columns = ("account", "link", "keys", "password", "permissions", "networks", "expires")
    show_rows(ask(config, "account.list"), columns, as_json=as_json)
