"""`sftpd transfer`: files that crossed a link, or are to."""

from collections.abc import Callable
from typing import Annotated

import typer

from sftpd.cli.ask import ask, ask_only_daemon
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    IdArgument,
    JsonOption,
    LinkOption,
    ReasonOption,
    WhyOption,
    option,
    print_json,
    show_fields,
    show_rows,
)
from sftpd.documents.text import printable
from sftpd.exchange.transfer import TransferState

group = typer.Typer()

RouteOption = Annotated[str | None, option("--route", "ROUTE", "Of this route alone.")]
OfLinkOption = Annotated[str, option("--link", "LINK", "The link whose sending it is.")]


@group.command("list")
def list_transfers(
    link: LinkOption = None,
    route: RouteOption = None,
    state: Annotated[
        TransferState | None, typer.Option("--state", help="In this state alone.", show_default=False)
    ] = None,
    since: Annotated[
        str | None, option("--since", "TIME", "Begun then or later: a day, or ISO 8601 with an offset.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest.")] = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List transfers, oldest first."""
    columns = ("id", "link", "direction", "path", "size", "state", "reason")
    wanted = {"link": link, "route": route, "state": state, "since": since}
    show_rows(ask(config, "transfer.list", **wanted, limit=limit), columns, as_json=as_json)


@group.command("show")
def show(
    transfer: IdArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one transfer."""
    show_fields(ask(config, "transfer.show", id=transfer), as_json=as_json)


@group.command("receipt")
def receipt(
    transfer: IdArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Verify the signature, and what else can be known.")
    ] = False,
    theirs: Annotated[
        bool, typer.Option("--theirs", help="The one that the counterparty made of what we delivered.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the receipt of a transfer. With --verify exit with 1 if it does not hold."""
    found = ask(config, "transfer.receipt", id=transfer, verify=verify, theirs=theirs)
    if as_json:
        print_json(found)
    else:
        for each in found:
            lines = [each["path"], each["content"], each["fault"] or ("valid" if verify else None)]
            print(*(printable(line) for line in lines if line is not None), sep="\n")
    if any(each["fault"] for each in found):
        raise typer.Exit(1)


def _ordering(verb: str) -> Callable[..., None]:
    def order(
        transfer: IdArgument,
        reason: WhyOption,
        by: ByOption,
        config: ConfigOption = DEFAULT_CONFIG,
        as_json: JsonOption = False,
    ) -> None:
        show_fields(ask(config, f"transfer.{verb}", id=transfer, by=by, reason=reason), as_json=as_json)

    return order


_ORDERS = {
    "retry": "Send a file again that was put aside, from `failed/` or `quarantine/`.",
    "resend": "Send a delivered file again, from `sent/`, as another transfer.",
    "cancel": "End a transfer that waits; its file goes to `failed/`.",
}

for _verb, _summary in _ORDERS.items():
    group.command(_verb, help=_summary)(_ordering(_verb))


@group.command("release")
def release(
    transfer: IdArgument,
    reason: WhyOption,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Publish a received file that a gate held back, from `quarantine/`."""
    released = ask_only_daemon(config, "transfer.release", "publishes", id=transfer, by=by, reason=reason)
    show_fields(released, as_json=as_json)


@group.command("pause")
def pause(
    link: OfLinkOption,
    reason: WhyOption,
    by: ByOption,
    route: RouteOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Send nothing more of a link, or of one route, until that is resumed; receiving goes on."""
    show_fields(ask(config, "transfer.pause", link=link, route=route, by=by, reason=reason), as_json=as_json)


@group.command("resume")
def resume(
    link: OfLinkOption,
    by: ByOption,
    reason: ReasonOption = None,
    route: RouteOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Go on sending what was paused."""
    show_fields(ask(config, "transfer.resume", link=link, route=route, by=by, reason=reason), as_json=as_json)
