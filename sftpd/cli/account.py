"""`sftpd account`: the partners' logins at our server."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    NewFileArgument,
    argument,
    print_json,
    show_rows,
)
from sftpd.cli.new_key import Place, make_password, make_totp_secret, place
from sftpd.errors import NotFoundError

group = typer.Typer()

AccountArgument = Annotated[str, argument("ACCOUNT")]


@group.command("list")
def list_accounts(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the accounts of all links."""
    columns = ("account", "link", "keys", "password", "permissions", "networks", "expires")
    show_rows(ask(config, "account.list"), columns, as_json=as_json)


@group.command("totp-secret")
def new_totp_secret(
    account: AccountArgument,
    file: NewFileArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a secret for one-time codes, and print once what its holder's app takes."""
    put, instance = _place_of(account, file, config)
    secret, issuer = make_totp_secret(put.path), quote(instance)
    uri = f"otpauth://totp/{issuer}:{quote(account)}?secret={secret}&issuer={issuer}"
    _tell(put, "uri", uri, f'totp = "{put.reference}"', as_json=as_json)


@group.command("new-password")
def new_password(
    account: AccountArgument,
    file: NewFileArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a password, and print it once; its hash alone is kept."""
    put, _ = _place_of(account, file, config)
    _tell(put, "password", make_password(put.path), f'password = "{put.reference}"', as_json=as_json)


def _place_of(account: str, file: Path, config: Path) -> tuple[Place, str]:
    """Where a secret of an account goes, and the name of the instance.

    Raises ConfigError, and NotFoundError where there is no such account.
    """
    from sftpd.config.load import load

    loaded = load(config)
    names = sorted(one.name for link in loaded.links for one in link.accounts)
    if account not in names:
        raise NotFoundError(f"no account {account!r}", where="ACCOUNT", expected=f"one of {', '.join(names)}")
    return place(file, config, loaded.instance), loaded.instance.about.name


def _tell(put: Place, name: str, secret: str, line: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"file": str(put.path), name: secret, "set": [line], "drop_in": put.drop_in})
    else:
        steps = put.steps("the table of the account", line)
        print(secret, f"Hand it over in a safe way; {steps}", sep="\n")
