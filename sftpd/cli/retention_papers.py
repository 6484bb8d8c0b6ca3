"""The papers of retention: `sftpd retention schedule`, `yearly` and `disposition`."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    LinkOption,
    ReasonOption,
    argument,
    option,
    print_json,
    show_rows,
)
from sftpd.cli.papers import OutputOption, paper, put, write
from sftpd.errors import SftpdError, UsageError

_RULE = ("link", "rule", "version", "folder", "file_class", "glob", "trigger", "period", "action", "mandate")
_GROUP = ("link", "rule", "version", "month", "result", "files")
_ENTRY = ("link", "file", "rule", "due", "done", "result", "audit_index")


def schedule(
    link: LinkOption = None,
    output: OutputOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the retention schedule: every rule, and on what grounds. As a document: .html or .pdf."""
    from sftpd.retention import rulebook

    found = ask(config, "retention.schedule", link=link)
    if output is not None:
        write(output, paper(rulebook.document(msgspec.convert(found, rulebook.Rulebook))))
    if as_json:
        print_json(found)
    elif output is None:
        show_rows(found["rules"], _RULE, as_json=False)


def yearly(
    year: Annotated[int, typer.Argument(metavar="YEAR", min=2000, max=9998, show_default=False)],
    link: LinkOption = None,
    output: OutputOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Sum up a year of disposals for auditors. As a document with a chart: .html or .pdf."""
    from sftpd.retention import yearly as years

    found = ask(config, "retention.yearly", year=year, link=link)
    if output is not None:
        write(output, paper(years.document(msgspec.convert(found, years.Summary))))
    if as_json:
        print_json(found)
    elif output is None:
        show_rows(found["groups"], _GROUP, as_json=False)


def disposition(
    plan: Annotated[str, argument("PLAN", "The hash of a plan.")],
    by: ByOption,
    folder: Annotated[
        Path | None,
        option("--folder", "DIR", "Write the report, its signature and what to read into a new folder."),
    ] = None,
    opened: Annotated[bool, typer.Option("--open", help="Name the files; it needs a reason.")] = False,
    reason: ReasonOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Issue the signed disposition report of a run."""
    from sftpd.retention import disposition as dispositions

    if opened != (reason is not None):
        raise UsageError("--open and --reason go together", remedy="give both, or neither")
    if folder is not None:
        _make(folder)  # first, for what is issued is recorded
    issued = ask(config, "retention.disposition", plan=plan, by=by, reason=reason)
    report = msgspec.json.decode(issued["report"], type=dispositions.Disposition)
    if folder is not None:
        put(folder / "disposition.json", issued["report"])
        put(folder / "disposition.json.sig", issued["signature"])
        put(folder / "allowed_signers", f"{issued['allowed_signers']}\n")
        for suffix, form in paper(dispositions.document(report, issued["sha256"])).items():
            put(folder / f"disposition{suffix}", form())
    if as_json:
        print_json({**issued, "report": msgspec.to_builtins(report)})
    elif folder is None:
        show_rows(msgspec.to_builtins(report)["entries"], _ENTRY, as_json=False)


def _make(folder: Path) -> None:
    """Make a folder, or take one that is empty."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise SftpdError(f"cannot make the folder: {error.strerror}", where=str(folder)) from None
    if not is_empty:
        raise SftpdError("the folder is not empty", where=str(folder), remedy="name another")
