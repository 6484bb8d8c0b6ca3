"""The command `sftpd`: the table of its commands, and how errors leave it."""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from sftpd.cli.loading import loading
from sftpd.documents.text import printable
from sftpd.errors import SftpdError

COMMANDS = {
    "init": ("instance:init", "Make a complete instance in a new folder."),
    "serve": ("serve:serve", "Run the daemon in the foreground."),
    "check": ("instance:check", "Check the configuration and report every fault."),
    "status": ("status:status", "Show how the daemon is doing."),
    "link": ("link:group", "Links: list them, and take them through their life."),
    "account": ("account:group", "Accounts: the partners' logins here."),
    "remote": ("remote:group", "Remotes: the partners' servers."),
    "transfer": ("transfer:group", "Transfers: files that crossed a link, or are to."),
    "retention": ("retention:group", "Retention: what may stay and what must go."),
    "vault": ("vault:group", "Vaults: the archive copies of files that crossed a link."),
    "hold": ("hold:group", "Legal holds: what must stay whatever the rules say."),
    "erasure": ("erasure:group", "Deletion requests, from receipt to certificate."),
    "backup": ("backup:group", "Backups: the instance as one archive, and from it again."),
    "audit": ("audit:group", "Audit logs: read, verify and prove."),
    "hook": ("hook:group", "Hooks: list and try them."),
    "host-key": ("host_key:group", "The keys by which partners know this server."),
}
"""Each command: where it is, as MODULE:NAME below `sftpd.cli`, and its line in the list of commands.

NAME is a function, or a `typer.Typer` for a group. Only the module of the command asked for is imported.
"""

_INTERRUPTED = 130
"""The exit code of a command that SIGINT ended, as shells have it."""


def main() -> None:
    """Run the command line of this process and exit: 0 done, 1 refused or failed, 2 bad usage or config."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are reported on standard error."""
    try:
        code = _invoke(_application(arguments), arguments)
        sys.stdout.flush()
    except SftpdError as error:
        for line in str(error).splitlines():
            print(f"sftpd: {printable(line)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough.
        _give_up_output()
        return 1
    except OSError as error:
        # Of our output no name is known.
        place = error.filename or "cannot write what was asked for"
        print(f"sftpd: {printable(f'{place}: {error.strerror or error}')}", file=sys.stderr)
        _give_up_output()
        return 1
    return code


def _give_up_output() -> None:
    """Lose what could not be written: the interpreter would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _invoke(application: typer.Typer, arguments: list[str]) -> int:
    try:
        typer.main.get_command(application).main(args=arguments, prog_name="sftpd")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def _application(arguments: list[str]) -> typer.Typer:
    """All commands; only the one that `arguments` ask for is loaded, the others serve the help text."""
    application = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
    )
    application.callback()(_sftpd)
    chosen = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, (place, summary) in COMMANDS.items():
        command = _load(place) if name == chosen else _unloaded
        if isinstance(command, typer.Typer):
            application.add_typer(command, name=name, help=summary, no_args_is_help=True)
        else:
            application.command(name, short_help=summary)(command)
    return application


def _load(place: str) -> Callable[..., None] | typer.Typer:
    module, _, name = place.partition(":")
    with loading():
        found = importlib.import_module(f"sftpd.cli.{module}")
    command: Callable[..., None] | typer.Typer = getattr(found, name)
    return command


def _unloaded() -> None:
    """Stand in the list of commands for one that was not asked for."""


def _show_version(asked: bool) -> None:
    if asked:
        from sftpd import __version__

        print(f"sftpd {__version__}")
        raise typer.Exit


def _sftpd(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Exchange files over SFTP, with retention, deletion requests and an audit log that can be verified."""
