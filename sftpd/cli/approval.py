"""`sftpd retention approval`: what scheduled runs may do without anybody looking."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    LinkOption,
    WhyOption,
    option,
    print_json,
    show_rows,
)

group = typer.Typer()

OfLinkOption = Annotated[str, option("--link", "LINK", "The link whose runs it is about.")]


@group.command("give")
def give(  # noqa: PLR0913 (the options of the command)
    link: OfLinkOption,
    reason: WhyOption,
    by: ByOption,
    rule: Annotated[
        list[str] | None, option("--rule", "NAME", "Of this rule alone, as it is now; may be repeated.")
    ] = None,
    files: Annotated[
        int | None,
        typer.Option("--files", metavar="NUMBER", min=1, help="The most files of a run.", show_default=False),
    ] = None,
    until: Annotated[
        str | None, option("--until", "TIME", "Until when: the end of a day, or ISO 8601 with an offset.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Approve scheduled runs of a link's rules as they are now; it takes the place of an earlier approval."""
    limits = {"rules": rule or [], "files": files, "until": until}
    _show(ask(config, "retention.approval.give", link=link, reason=reason, by=by, **limits), as_json)


@group.command("list")
def list_standing(
    link: LinkOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List the approvals that stand."""
    approvals = ask(config, "retention.approval.list", link=link)
    if as_json:
        print_json(approvals)
    else:
        _show_rows(approvals)


@group.command("withdraw")
def withdraw(
    link: OfLinkOption,
    reason: WhyOption,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """End the approval of a link's scheduled runs."""
    _show(ask(config, "retention.approval.withdraw", link=link, reason=reason, by=by), as_json)


def _show(approval: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(approval)
    else:
        _show_rows([approval])


def _show_rows(approvals: Sequence[dict[str, Any]]) -> None:
    rows = [
        {**one, "rules": ", ".join(f"{rule['rule']} {rule['rule_version']}" for rule in one["rules"])}
        for one in approvals
    ]
    show_rows(rows, ("link", "rules", "files", "until", "by", "given_at", "reason"), as_json=False)
