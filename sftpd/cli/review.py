"""`sftpd retention review`: the files that somebody must decide on."""

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
    argument,
    option,
    print_json,
    show_rows,
)

group = typer.Typer()

FileArgument = Annotated[str, argument("ID", "As the list has it.")]
ForOption = Annotated[str | None, option("--for", "PERIOD", "For how long, in ISO 8601: P6M.")]
UntilOption = Annotated[
    str | None, option("--until", "TIME", "Until when: the end of a day, or ISO 8601 with an offset.")
]


@group.command("list")
def list_waiting(
    link: LinkOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List the files that are due and wait for somebody to decide on them."""
    columns = ("id", "link", "path", "due", "rule", "rule_version", "since")
    show_rows(ask(config, "retention.review.list", link=link), columns, as_json=as_json)


@group.command("approve")
def approve(
    file: FileArgument,
    reason: WhyOption,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Let a file go: the next run disposes of it."""
    _answer("approved", file, reason, by, config, as_json)


@group.command("extend")
def extend(
    file: FileArgument,
    reason: WhyOption,
    by: ByOption,
    lasting: ForOption = None,
    until: UntilOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Decide on a file later: until then it is kept."""
    _answer("extended", file, reason, by, config, as_json, lasting, until)


@group.command("reject")
def reject(
    file: FileArgument,
    reason: WhyOption,
    by: ByOption,
    lasting: ForOption = None,
    until: UntilOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Refuse that a file goes: it is kept, and asked about again after that time."""
    _answer("rejected", file, reason, by, config, as_json, lasting, until)


def _answer(  # noqa: PLR0913 (what the commands have in common)
    answer: str,
    file: str,
    reason: str,
    by: str,
    config: ConfigOption,
    as_json: bool,
    lasting: str | None = None,
    until: str | None = None,
) -> None:
    words = {"file": file, "answer": answer, "reason": reason, "by": by}
    item = ask(config, "retention.review.answer", **words, lasting=lasting, until=until)
    if as_json:
        print_json(item)
    else:
        print(f"{answer.capitalize()}: {item['link']}/{item['path']}, {item['action']}. {item['reason']}")
