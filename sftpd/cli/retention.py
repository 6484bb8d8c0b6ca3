"""`sftpd retention`: planning, running, explaining and reporting disposals."""

import os
import shlex
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sftpd.cli import approval, retention_papers, review
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
    show_fields,
    show_rows,
)
from sftpd.cli.papers import OutputOption, paper, write
from sftpd.documents.text import printable
from sftpd.errors import UsageError

group = typer.Typer()
for _paper in (retention_papers.schedule, retention_papers.yearly, retention_papers.disposition):
    group.command(_paper.__name__)(_paper)
group.add_typer(review.group, name="review", help="Files that somebody must decide on.", no_args_is_help=True)
group.add_typer(approval.group, name="approval", help="What scheduled runs may do.", no_args_is_help=True)

_LEFT_TO_PEOPLE = {
    "review": "To review: {}. See sftpd retention review list.",
    "return": "To return: {}. A run offers them to the partner, or sends them.",
}
_SHOWN = 500
"""Files of a plan that people are shown on the screen."""
_REPORTED = ("link", "folder", "path", "rule", "due", "done_at", "result")


@group.command("plan")
def plan(
    link: LinkOption = None,
    output: OutputOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show what is to become of each file, why and when. As a file: .csv, .svg, .html or .pdf."""
    document = ask(config, "retention.plan", link=link)
    if output is not None:
        _write(output, document)
    if as_json:
        print_json(document)
    elif output is None:
        show_plan(document, config)


def _write(output: Path, document: Mapping[str, Any]) -> None:
    from sftpd.documents import html
    from sftpd.retention import timeline

    items = document["items"]
    made = timeline.document(document["plan"], items, datetime.now(UTC))
    drawn = {
        ".csv": lambda: timeline.spreadsheet(items),
        ".svg": lambda: html.picture(timeline.timeline(items)),
    }
    write(output, {**paper(made), **drawn})


def show_plan(document: Mapping[str, Any], config: Path) -> None:
    """Print the beginning of a plan, what it leaves to people, and how to run it."""
    items = document["items"]
    show_rows(items[:_SHOWN], ("link", "path", "action", "due", "reason"), as_json=False)
    if len(items) > _SHOWN:
        print(f"\nAnd {len(items) - _SHOWN} more: --output or --json has all.")
    for freeze in document["frozen"]:
        print(f"\nFrozen: {_told(freeze)}")
    counted = Counter(item["action"] for item in document["items"])
    for action, words in _LEFT_TO_PEOPLE.items():
        if counted[action]:
            print(f"\n{words.format(counted[action])}")
    if counted["dispose"]:
        print(f"\nTo dispose of: {counted['dispose']}. Run exactly that:")
        print(f"sftpd retention run --plan {document['plan']}{_naming(config)}")
    else:
        print("\nNothing is to be disposed of.")


@group.command("run")
def run(
    by: ByOption,
    plan: Annotated[str | None, option("--plan", "HASH", "The plan to run.")] = None,
    confirm_volume: Annotated[
        int | None,
        option(
            "--confirm-volume", "NUMBER", "Run it although it disposes of more than usual: of so many files."
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Carry out what a plan says. Exit with 1 if it no longer holds, or a file cannot be removed."""
    if plan is None:
        raise UsageError(
            "a run needs the hash of a plan",
            remedy="see `sftpd retention plan`, then pass its hash by --plan",
        )
    document = ask(config, "retention.run", plan=plan, confirm_volume=confirm_volume, by=by)
    if as_json:
        print_json(document)
    else:
        show_rows(document["items"], _REPORTED, as_json=False)
        for freeze in document["frozen"]:
            print(f"\nLeft out: {_told(freeze)}")
    if "failed" in document["results"].values():
        raise typer.Exit(1)


@group.command("explain")
def explain(
    file: Annotated[str, argument("FILE", "As the plan names it: inbound/report.csv.")],
    link: Annotated[str, option("--link", "LINK", "Its link.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say what is to become of one file, and by which steps that was decided."""
    document = ask(config, "retention.explain", link=link, file=file)
    if as_json:
        print_json(document)
        return
    chain = document.pop("chain")
    show_fields(document, as_json=False)
    print()
    width = max(len(step["step"]) for step in chain)
    for number, step in enumerate(chain, 1):
        print(f"{number:>2}. {step['step']:<{width}}  {printable(step['says'])}")


@group.command("report")
def report(
    link: LinkOption = None,
    plan: Annotated[str | None, option("--plan", "HASH", "Of this plan alone.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Report what was disposed of, oldest first."""
    show_rows(ask(config, "retention.report", link=link, plan=plan), _REPORTED, as_json=as_json)


@group.command("unfreeze")
def unfreeze(
    reason: WhyOption,
    by: ByOption,
    link: LinkOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Confirm what retention is frozen by, of one link or of all: the time, a volume or a folder."""
    lifted = ask(config, "retention.unfreeze", link=link, reason=reason, by=by)
    show_rows(lifted, ("link", "folder", "reason", "text", "since"), as_json=as_json)


def _told(freeze: Mapping[str, str]) -> str:
    scope = f"{freeze['link']}/{freeze['folder']}".rstrip("/")
    return f"{scope or 'all links'}: {freeze['reason']}: {freeze['text']}; {freeze['remedy']}"


def _naming(config: Path) -> str:
    """The option that names `config` to another sftpd, if it needs one."""
    usual = os.environ.get("SFTPD_CONFIG", str(DEFAULT_CONFIG))
    return "" if str(config) == usual else f" --config {shlex.quote(str(config))}"
