"""`sftpd hold`: legal holds."""

from typing import Annotated

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    LinkOption,
    WhyOption,
    print_json,
    show_rows,
)

group = typer.Typer()


@group.command("add")
def add(  # noqa: PLR0913 (a parameter for each option)
    link: Annotated[
        str, typer.Option("--link", metavar="LINK", help="The link it is about.", show_default=False)
    ],
    reason: WhyOption,
    by: ByOption,
    folder: Annotated[
        str | None,
        typer.Option("--folder", metavar="FOLDER", help="Files of this folder alone.", show_default=False),
    ] = None,
    glob: Annotated[
        str | None,
        typer.Option(
            "--glob",
            metavar="PATTERN",
            help="Files whose name matches, or whose path in the folder if it has a slash.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME",
            help="When it ends by itself: ISO 8601 with an offset.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Place a legal hold. What it covers is neither disposed of nor erased."""
    scope = {"link": link, "folder": folder, "glob": glob}
    placed = ask(config, "hold.add", **scope, reason=reason, by=by, until=until)
    if as_json:
        print_json(placed)
    else:
        print(f"Placed hold {placed['id']}.")


@group.command("list")
def list_holds(
    link: LinkOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List legal holds, released ones too, oldest first."""
    columns = ("id", "link", "folder", "glob", "reason", "placed_by", "placed_at", "until", "stands")
    show_rows(ask(config, "hold.list", link=link), columns, as_json=as_json)


@group.command("release")
def release(
    hold: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Release a legal hold."""
    released = ask(config, "hold.release", id=hold, by=by)
    if as_json:
        print_json(released)
    else:
        print(f"Released hold {released['id']}.")
