"""`sftpd hold`: legal holds."""

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
    WhyOption,
    option,
    print_json,
    show_fields,
    show_rows,
)

group = typer.Typer()

_IDENTIFIER = option(
    "--identifier", "TYPE=VALUE", "What a person is known by, such as email=jan@example.org; may be repeated."
)


@group.command("add")
def add(  # noqa: PLR0913 (a parameter for each option)
    link: Annotated[str, option("--link", "LINK", "The link it is about.")],
    reason: WhyOption,
    by: ByOption,
    file: Annotated[
        str | None, option("--file", "FILE", "One file, as a plan names it, or by its id.")
    ] = None,
    transfer: Annotated[str | None, option("--transfer", "ID", "What one transfer brings.")] = None,
    identifier: Annotated[list[str] | None, _IDENTIFIER] = None,
    folder: Annotated[str | None, option("--folder", "FOLDER", "Files of this folder alone.")] = None,
    account: Annotated[
        str | None, option("--account", "NAME", "Files from or to this account or remote alone.")
    ] = None,
    glob: Annotated[
        str | None,
        option(
            "--glob", "PATTERN", "Files whose name matches, or whose path in the folder if it has a slash."
        ),
    ] = None,
    since: Annotated[
        str | None,
        option("--since", "TIME", "Files received then or later: a day, or ISO 8601 with an offset."),
    ] = None,
    before: Annotated[
        str | None, option("--before", "TIME", "Files received before: a day, or ISO 8601 with an offset.")
    ] = None,
    until: Annotated[
        str | None,
        option("--until", "TIME", "When it ends by itself: the end of a day, or ISO 8601 with an offset."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Place a legal hold. What it covers is neither disposed of, erased nor replaced."""
    alone = {"file": file, "transfer": transfer, "identifiers": identifier or None}
    together = {"folder": folder, "account": account, "glob": glob, "since": since, "before": before}
    placed = ask(config, "hold.add", link=link, **alone, **together, reason=reason, by=by, until=until)
    if as_json:
        print_json(placed)
    else:
        print(f"Placed hold {placed['id']}. Files that it covers now: {placed['files']}.")


@group.command("list")
def list_holds(
    link: LinkOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List legal holds, released ones too, oldest first."""
    columns = ("id", "link", "covers", "files", "reason", "placed_by", "placed_at", "until", "stands")
    show_rows(ask(config, "hold.list", link=link), columns, as_json=as_json)


@group.command("show")
def show(hold: IdArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show a legal hold: what it covers, how many files that are now, and whether it stands."""
    show_fields(ask(config, "hold.show", id=hold), as_json=as_json)


@group.command("search")
def search(
    hold: IdArgument,
    identifier: Annotated[list[str], _IDENTIFIER],
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Look again for the person of a hold, so that files of others that came since are free."""
    show_fields(ask(config, "hold.search", id=hold, identifiers=identifier, by=by), as_json=as_json)


@group.command("release")
def release(
    hold: IdArgument,
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
        for request in released["requests"]:
            print(f"Deletion request {request} can go on: sftpd erasure find {request}")
