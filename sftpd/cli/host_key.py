"""`sftpd host-key`: the keys by which partners know this server."""

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, show_rows

group = typer.Typer()


@group.command("list")
def list_keys(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the host keys with the fingerprints to tell partners."""
    show_rows(ask(config, "host-key.list"), ("type", "fingerprint", "file"), as_json=as_json)
