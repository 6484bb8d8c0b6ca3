"""`sftpd account`: the partners' logins at our server."""

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
from sftpd.cli.new_key import make_totp_secret, place
from sftpd.errors import NotFoundError

group = typer.Typer()


@group.command("list")
def list_accounts(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the accounts of all links."""
    columns = ("account", "link", "keys", "password", "permissions", "networks", "expires")
    show_rows(ask(config, "account.list"), columns, as_json=as_json)


@group.command("totp-secret")
def new_totp_secret(
    account: Annotated[str, argument("ACCOUNT")],
    file: NewFileArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a secret for one-time codes, and print once what its holder's app takes."""
    from sftpd.config.load import load

    loaded = load(config)
    names = sorted(one.name for link in loaded.links for one in link.accounts)
    if account not in names:
        raise NotFoundError(f"no account {account!r}", where="ACCOUNT", expected=f"one of {', '.join(names)}")
    put = place(file, config, loaded.instance)
    secret, issuer = make_totp_secret(put.path), quote(loaded.instance.about.name)
    uri = f"otpauth://totp/{issuer}:{quote(account)}?secret={secret}&issuer={issuer}"
    line = f'totp = "{put.reference}"'
    if as_json:
        print_json({"file": str(put.path), "uri": uri, "set": [line], "drop_in": put.drop_in})
    else:
        print(uri, f"Hand it over on a safe way; {put.steps('the table of the account', line)}", sep="\n")
