"""`sftpd retention`: planning, running, explaining and reporting disposals."""

import os
import shlex
from collections.abc import Mapping, Sequence
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
group.add_typer(review.group, name="review", help="Files that somebody must decide on.", no_args_is_help=True)
group.add_typer(approval.group, name="approval", help="What scheduled runs may do.", no_args_is_help=True)

_LEFT_TO_PEOPLE = {
    "review": "To review: {}. See sftpd retention review list.",
    "return": "To return: {}. A run offers them to the partner, or sends them.",
}
_SHOWN = 500
"""Files of a plan or report that people are shown on the screen."""
_REPORTED = ("link", "folder", "path", "rule", "due", "done_at", "result")


@group.command("plan")
def plan(
    link: LinkOption = None,
    output: OutputOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show what is to become of each file, why and when. As a file: .csv, .svg, .html or .pdf."""
    # People are shown its beginning, and of a million files the rest would only be in the way.
    is_whole = as_json or output is not None
    document = ask(config, "retention.plan", link=link, most=None if is_whole else _SHOWN)
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
    items, counts = document["items"], document["counts"]
    show_rows(items, ("link", "path", "action", "due", "reason"), as_json=False)
    if left := sum(counts.values()) - len(items):
        print(f"\nAnd {left} more: --output or --json has all.")
    for freeze in document["frozen"]:
        print(f"\nFrozen: {_told(freeze)}")
    for action, words in _LEFT_TO_PEOPLE.items():
        if action in counts:
            print(f"\n{words.format(counts[action])}")
    if stayed := document["left"]:
        told = ", ".join(f"{result} {number}" for result, number in stayed.items())
        print(printable(f"\nStayed when last tried: {told}. See sftpd retention report --left."))
    if "dispose" in counts:
        print(f"\nTo dispose of: {counts['dispose']}. Run exactly that:")
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
    newest = None if as_json else _SHOWN + 1
    document = ask(config, "retention.run", plan=plan, confirm_volume=confirm_volume, by=by, newest=newest)
    if as_json:
        print_json(document)
    else:
        _show_report(document["items"])
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
    left: Annotated[
        bool, typer.Option("--left", help="Only files that are due and still here, as of the last try.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Report what was disposed of, oldest first."""
    newest = None if as_json else _SHOWN + 1
    rows = ask(config, "retention.report", link=link, plan=plan, newest=newest, left=left)
    if as_json:
        print_json(rows)
    else:
        _show_report(rows)


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


def _show_report(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what is reported, the newest of it where it is much."""
    show_rows(rows[-_SHOWN:], _REPORTED, as_json=False)
    if len(rows) > _SHOWN:
        print(f"\nThe newest {_SHOWN}: sftpd retention report --json has all.")


def _told(freeze: Mapping[str, str]) -> str:
    scope = f"{freeze['link']}/{freeze['folder']}".rstrip("/")
    return f"{scope or 'all links'}: {freeze['reason']}: {freeze['text']}; {freeze['remedy']}"


def _naming(config: Path) -> str:
    """The option that names `config` to another sftpd, if it needs one."""
    usual = os.environ.get("SFTPD_CONFIG", str(DEFAULT_CONFIG))
    return "" if str(config) == usual else f" --config {shlex.quote(str(config))}"


for _paper in (retention_papers.schedule, retention_papers.yearly, retention_papers.disposition):
    group.command(_paper.__name__)(_paper)
