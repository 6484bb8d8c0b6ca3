"""`sftpd status`: whether the daemon runs, and how it is doing."""

import typer

from sftpd import __version__
from sftpd.cli.ask import ask_daemon
from sftpd.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, show_fields


def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show how the daemon is doing; exit with 1 when none runs."""
    try:
        document = ask_daemon(config, "status", {})
    except ConnectionError:
        from sftpd.config.load import load_instance

        # The files stay closed: whoever polls this must not keep a daemon that starts from opening them.
        document = {"running": False, "version": __version__, "instance": load_instance(config).about.name}
    show_fields(document, as_json=as_json)
    if not document["running"]:
        raise typer.Exit(1)
