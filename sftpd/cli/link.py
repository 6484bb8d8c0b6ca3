"""`sftpd link`: links and the steps of their life."""

from collections.abc import Callable
from typing import Annotated

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    ReasonOption,
    WhyOption,
    argument,
    brief,
    print_json,
    print_table,
    show_fields,
    show_rows,
)

group = typer.Typer()

LinkArgument = Annotated[str, argument("LINK")]

_HOLD = ("hold", "covers", "files", "reason", "until")

_STEPS = {
    "register": "Enter a draft into the register of links.",
    "activate": "Open a registered link for exchange.",
    "suspend": "Stop the exchange for a while; retention and deletion go on.",
    "resume": "Open a suspended link again.",
    "close": "End the exchange for good; `finish` ends the link once nothing of it is left here.",
}


@group.command("list")
def list_links(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the links and how each stands."""
    columns = ("link", "counterparty", "state", "since", "reason")
    show_rows(ask(config, "link.list"), columns, as_json=as_json)


@group.command("show")
def show(link: LinkArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show a link with its accounts, remotes and routes."""
    show_fields(ask(config, "link.show", link=link), as_json=as_json)


@group.command("accept")
def accept(
    link: LinkArgument,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Record that the terms are accepted. A link that waited for that becomes active."""
    show_fields(ask(config, "link.accept", link=link, by=by), as_json=as_json)


def _taking(step: str) -> Callable[..., None]:
    def take(
        link: LinkArgument,
        by: ByOption,
        reason: ReasonOption = None,
        config: ConfigOption = DEFAULT_CONFIG,
        as_json: JsonOption = False,
    ) -> None:
        stands = ask(config, "link.step", link=link, step=step, by=by, reason=reason)
        if as_json:
            print_json(stands)
            return
        holds, commands = stands.pop("held", ()), stands.pop("next", ())
        show_fields(stands, as_json=False)
        if stands.get("without_rule"):
            print("\nWhat no rule ends stays here until a retention rule covers it.")
        if holds:
            print("\nHeld, so that no rule and no request removes it:")
            print_table(_HOLD, ([brief(name, hold[name]) for name in _HOLD] for hold in holds))
        if commands:
            print("\nNext:", *commands, sep="\n  ")

    return take


for _step, _summary in _STEPS.items():
    group.command(_step, help=_summary)(_taking(_step))


@group.command("finish")
def finish(
    link: LinkArgument,
    reason: WhyOption,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """End a closing link, once none of its files is here or on its way and no deletion request is open."""
    show_fields(ask(config, "link.finish", link=link, reason=reason, by=by), as_json=as_json)
