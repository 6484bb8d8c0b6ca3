"""`sftpd init` and `sftpd check`: making an instance, and checking its configuration."""

import dataclasses
import shlex
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from sftpd.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, print_json
from sftpd.cli.new_instance import DEMO_NAME, create_instance, create_service, greeting
from sftpd.config.address import Address, parse_address
from sftpd.config.load import Config, load
from sftpd.config.values import Origin
from sftpd.errors import ConfigError, UsageError


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that is empty or does not exist.")
    ],
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The address to listen on; port 0 picks a free one.")
    ] = "127.0.0.1:2222",
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The instance's name, which its audit logs carry.")
    ] = None,
    service: Annotated[
        bool,
        typer.Option("--service", help="Make one for the systemd unit, with its files in /var/lib/sftpd."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make an instance in DIR: configuration, keys, and a link `demo` with one account to try it."""
    try:
        address = parse_address(listen)
    except ValueError as error:
        raise UsageError(str(error), where="--listen") from None
    if service:
        _init_service(directory, address, _named(name or socket.gethostname().lower()), as_json=as_json)
        return
    made = create_instance(directory, address, _named(name or DEMO_NAME))
    if as_json:
        print_json(dataclasses.asdict(made))
        return
    print(f"An instance with the link {made.link} is in {directory}.")
    print(f"Serve it:                     sftpd serve --config {shlex.quote(made.config)}")
    print(greeting(made), end="")


def _init_service(directory: Path, address: Address, name: str, *, as_json: bool) -> None:
    made = create_service(directory, address, name)
    if as_json:
        print_json(dataclasses.asdict(made))
        return
    print(f"The instance {made.name} of the service is in {directory}; its files will be in /var/lib/sftpd.")
    print(f"Describe each link in         {made.links}/NAME.toml")
    print(
        f"Check it, as its user:        runuser -u sftpd -- sftpd check --config {shlex.quote(made.config)}"
    )
    print("Serve it:                     systemctl enable --now sftpd")
    print(f"Tell partners the host key:   {made.host_key}")


def _named(name: str) -> str:
    """The name of an instance. Raises UsageError for what is none."""
    try:
        return TypeAdapter(Origin).validate_python(name)
    except ValidationError:
        raise UsageError(
            f"{name!r} names no instance", where="--name", expected="a host name in lower case"
        ) from None


def check(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Check the configuration: print that it is valid, or one line for each fault and exit with 2."""
    try:
        loaded = load(config)
    except ConfigError as error:
        if as_json:
            print_json({"valid": False, "faults": error.faults})
        else:
            print("\n".join(error.faults), file=sys.stderr)
        raise typer.Exit(error.exit_code) from None
    faults = _faults_outside(loaded)
    if faults:
        if as_json:
            print_json({"valid": False, "faults": faults})
        else:
            print("\n".join(faults), file=sys.stderr)
        raise typer.Exit(ConfigError.exit_code)
    counts = _counts(loaded)
    if as_json:
        print_json({"valid": True, "faults": [], "digest": loaded.digest, **counts})
    else:
        print(f"config is valid: {', '.join(_counted(number, noun) for noun, number in counts.items())}")


def _faults_outside(config: Config) -> list[str]:
    """What is wrong with what it refers to: ledger, erasure ledger, programs that wrap keys, and hooks."""
    from sftpd.app.hooks import hooks_folder
    from sftpd.app.standing import faults
    from sftpd.app.vaults import key_program_faults
    from sftpd.hooks import listing

    return [*faults(config), *key_program_faults(config), *listing.faults(hooks_folder(config))]


def _counts(config: Config) -> dict[str, int]:
    return {
        "links": len(config.links),
        "accounts": sum(len(link.accounts) for link in config.links),
        "remotes": sum(len(link.remotes) for link in config.links),
        "routes": sum(len(link.routes) for link in config.links),
    }


def _counted(number: int, plural: str) -> str:
    return f"{number} {plural.removesuffix('s') if number == 1 else plural}"
