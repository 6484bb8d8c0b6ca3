"""`sftpd transfer`: files that crossed a link, or are to."""

from typing import Annotated

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    LinkOption,
    print_json,
    printable,
    show_fields,
    show_rows,
)
from sftpd.exchange.transfer import TransferState

group = typer.Typer()


@group.command("list")
def list_transfers(
    link: LinkOption = None,
    state: Annotated[
        TransferState | None, typer.Option("--state", help="In this state alone.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest.")] = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List transfers, oldest first."""
    columns = ("id", "link", "direction", "path", "size", "state", "reason")
    show_rows(ask(config, "transfer.list", link=link, state=state, limit=limit), columns, as_json=as_json)


@group.command("show")
def show(
    transfer: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one transfer."""
    show_fields(ask(config, "transfer.show", id=transfer), as_json=as_json)


@group.command("receipt")
def receipt(
    transfer: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    verify: Annotated[
        bool, typer.Option("--verify", help="Verify the signature and the position in the audit log.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the receipt of a transfer. With --verify exit with 1 if it does not hold."""
    found = ask(config, "transfer.receipt", id=transfer, verify=verify)
    if as_json:
        print_json(found)
    else:
        for each in found:
            lines = [each["path"], each["content"], each["fault"] or ("valid" if verify else None)]
            print(*(printable(line) for line in lines if line is not None), sep="\n")
    if any(each["fault"] for each in found):
        raise typer.Exit(1)
