"""`sftpd account`: the partners' logins at our server."""

import base64
import os
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, argument, print_json, show_rows
from sftpd.errors import SftpdError

group = typer.Typer()


@group.command("list")
def list_accounts(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the accounts of all links."""
    columns = ("account", "link", "keys", "password", "permissions", "networks", "expires")
    show_rows(ask(config, "account.list"), columns, as_json=as_json)


@group.command("totp-secret")
def make_totp_secret(
    account: Annotated[str, argument("ACCOUNT")],
    file: Annotated[Path, argument("FILE", "Where the new secret goes.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a secret for one-time codes, and print once what its holder's app takes."""
    from sftpd.config.load import load
    from sftpd.files import durable

    issuer = load(config).instance.about.name
    path = file.absolute()
    secret = base64.b32encode(os.urandom(20)).decode()
    try:
        path.touch(mode=0o600, exist_ok=False)
        durable.write_file(path, f"{secret}\n".encode(), 0o600)
    except OSError as error:
        raise SftpdError(f"cannot make the secret: {error.strerror}", where=str(path)) from error
    uri = f"otpauth://totp/{quote(issuer)}:{quote(account)}?secret={secret}&issuer={quote(issuer)}"
    line = f'totp = "file:{path}"'
    if as_json:
        print_json({"file": str(path), "uri": uri, "set": [line]})
    else:
        print(uri, "Hand it over on a safe way; in the table of the account set", f"  {line}", sep="\n")
