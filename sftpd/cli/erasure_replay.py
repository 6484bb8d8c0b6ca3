"""`sftpd erasure replay` and `ledger-lost`: a state that is older or newer than its erasure ledger."""

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    WhyOption,
    print_json,
    show_fields,
    show_rows,
)


def replay(by: ByOption, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Erase again what a restored backup has brought back; exits with 1 while something is left."""
    done = ask(config, "erasure.replay", by=by)
    if as_json:
        print_json(done)
    else:
        columns = ("epoch", "link", "folder", "path", "action", "result", "records", "reason")
        show_rows(done["items"], columns, as_json=False)
        print(f"\n{done['left']} left; this state is {done['standing']}")
    if done["left"]:
        raise typer.Exit(1)


def ledger_lost(
    by: ByOption, reason: WhyOption, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Begin a new erasure ledger where the old one is lost; by whose word and why is recorded."""
    show_fields(ask(config, "erasure.ledger_lost", by=by, reason=reason), as_json=as_json)
