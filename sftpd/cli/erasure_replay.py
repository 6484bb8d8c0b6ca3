"""`sftpd erasure replay` and `ledger-lost`: a state that is older or newer than its erasure ledger."""

from typing import Annotated

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
from sftpd.errors import UsageError

_MEANS = "what was erased since the backup was made may be here again, and nothing erases it any more"


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
    by: ByOption,
    reason: WhyOption,
    confirmed: Annotated[
        bool, typer.Option("--confirm", help="What was erased since the backup may stay: so be it.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Begin a new erasure ledger where the old one is lost; by whose word and why is recorded."""
    if not confirmed:
        raise UsageError(
            _MEANS,
            where="sftpd erasure ledger-lost",
            remedy="put the ledger back, and run `sftpd erasure replay`; if it is lost for good, repeat this "
            "with --confirm, and destroy all older backups",
        )
    begun = ask(config, "erasure.ledger_lost", by=by, reason=reason)
    show_fields(begun, as_json=as_json)
    if not as_json:
        print(f"\nIn a state from a backup {_MEANS}.\nNow destroy the backups from before.")
