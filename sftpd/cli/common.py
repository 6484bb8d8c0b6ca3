"""What commands share: their common options, and output for people and for programs."""

import getpass
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sftpd.documents.text import printable
from sftpd.errors import SftpdError

DEFAULT_CONFIG = Path("/etc/sftpd/sftpd.toml")
_PIPE_WIDTH = 250
_PAIRED = frozenset(' ="{}[],')
_INSTANTS = frozenset(
    {
        "acknowledged",
        "began",
        "closed",
        "delivered",
        "done_at",
        "due",
        "expires",
        "made",
        "extended",
        "forwarded",
        "given_at",
        "identity_asked",
        "jobs",
        "instructed",
        "matched",
        "not_before",
        "placed_at",
        "received",
        "retry_at",
        "since",
        "time",
        "until",
    }
)
"""The keys under which verbs give an instant in ISO 8601; people are shown it in their own time zone."""


def option(name: str, metavar: str, told: str) -> Any:
    """What a command takes as `NAME METAVAR`; its default is not shown."""
    return typer.Option(name, metavar=metavar, help=told, show_default=False)


def argument(metavar: str, told: str | None = None) -> Any:
    """What a command takes in its place; its default is not shown."""
    return typer.Argument(metavar=metavar, help=told, show_default=False)


ConfigOption = Annotated[
    Path,
    typer.Option("--config", envvar="SFTPD_CONFIG", metavar="FILE", help="The instance file, sftpd.toml."),
]
"""`--config FILE`, else `$SFTPD_CONFIG`; its default is DEFAULT_CONFIG."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
"""`--json`; its default is False."""

IdArgument = Annotated[str, argument("ID")]
"""The id of what a command is about."""

NewFileArgument = Annotated[
    Path, argument("FILE", "A new file; of a service, a name alone is one in keys/ beside sftpd.toml.")
]
"""Where a command puts the secret that it makes."""

LinkOption = Annotated[str | None, option("--link", "LINK", "Of this link alone.")]
"""`--link LINK`, to narrow what is listed; its default is None."""

ReasonOption = Annotated[str | None, option("--reason", "TEXT", "Why; it is recorded.")]
"""`--reason TEXT`; its default is None."""

WhyOption = Annotated[str, option("--reason", "TEXT", "Why; it is recorded.")]
"""The same, which must be given."""


def login_name() -> str:
    """The name under which the user of this process is logged in."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


ByOption = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="NAME",
        default_factory=login_name,
        show_default="your login name",
        help="Who does it.",
    ),
]
"""`--by NAME`: the person who stands for what is done."""


def print_json(document: object) -> None:
    """Print `document` as JSON; what JSON does not know (paths, times) becomes text."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print `rows` under the heads `columns`; a value's control characters are shown, not obeyed."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(printable(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print what a verb lists: all of it as JSON, or the keys `columns` of each as a table."""
    if as_json:
        print_json(rows)
    else:
        print_table(columns, ([brief(name, row[name]) for name in columns] for row in rows))


def show_fields(document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what a verb shows: as JSON, or a line for each key that has a value."""
    if as_json:
        print_json(document)
        return
    width = max(map(len, document))
    for name, value in document.items():
        text = brief(name, value)
        if text:
            print(f"{name:<{width}}  {printable(text)}")


def pairs(values: Mapping[str, Any]) -> str:
    """All `values` that are not None as `name=value`, with a space between.

    Objects are in braces, lists in brackets, and text that could be taken for something else in quotes.
    """
    return " ".join(f"{name}={_paired(value)}" for name, value in values.items() if value is not None)


def _paired(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{{pairs(value)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_paired, value))}]"
    if isinstance(value, str) and value.isprintable() and not (set(value) & _PAIRED or not value):
        return value
    return json.dumps(value, ensure_ascii=False)


def brief(name: str, value: object) -> str:
    """The value under the key `name` as people read it on one line; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        told = ((key, brief(name if name in _INSTANTS else key, inner)) for key, inner in value.items())
        return ", ".join(f"{key} {text}" for key, text in told if text)
    if isinstance(value, list):
        return ", ".join(pairs(each) if isinstance(each, Mapping) else str(each) for each in value)
    if name in _INSTANTS:
        with suppress(ValueError):  # what others have signed says what they like
            return datetime.fromisoformat(str(value)).astimezone().isoformat(" ", "seconds")
    return str(value)


def create_file(path: Path) -> int:
    """Open a new file to read and write, which its owner alone can. Raises SftpdError where there is one."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SftpdError(
            f"cannot create the file: {error.strerror}", where=str(path), expected="a new file"
        ) from error
