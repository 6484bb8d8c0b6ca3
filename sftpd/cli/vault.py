"""`sftpd vault`: the archive copies of files that crossed a link."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    IdArgument,
    JsonOption,
    LinkOption,
    NewFileArgument,
    WhyOption,
    create_file,
    print_json,
    show_fields,
    show_rows,
)
from sftpd.cli.new_key import make_vault_key, place

group = typer.Typer()


@group.command("list")
def list_copies(
    link: LinkOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List the copies in the vaults, oldest first."""
    columns = ("id", "link", "direction", "peer", "path", "size", "received")
    show_rows(ask(config, "vault.list", link=link), columns, as_json=as_json)


@group.command("get")
def get(
    copy: IdArgument,
    output: Annotated[
        Path,
        typer.Option("--output", metavar="FILE", help="Where the content goes; it must not be there yet."),
    ],
    reason: WhyOption,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Decrypt a copy. That it was read, by whom and why, is recorded."""
    fd = create_file(output)
    try:
        read = ask(config, "vault.get", id=copy, reason=reason, by=by, output=fd)
    except BaseException:
        output.unlink()
        raise
    finally:
        os.close(fd)
    show_fields(read, as_json=as_json)


@group.command("new-key")
def new_key(
    file: NewFileArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Make a key for a vault, in a new file that its owner alone can read."""
    from sftpd.config.load import load_instance

    put = place(file, config, load_instance(config) if config.exists() else None)
    make_vault_key(put.path)
    line = f'key = "{put.reference}"'
    if as_json:
        print_json({"file": put.path, "set": [line], "drop_in": put.drop_in})
    else:
        print(f"Made {put.path}; {put.steps('[vault] of the file of the link', line)}")
