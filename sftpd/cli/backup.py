"""`sftpd backup`: an instance as one archive, and an instance from it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    argument,
    create_file,
    print_json,
    show_fields,
)
from sftpd.cli.evidence import KeyOption, verifier_key
from sftpd.errors import SftpdError

if TYPE_CHECKING:
    from sftpd.audit.checkpoint import VerifierKey
    from sftpd.backup.adopt import Place

group = typer.Typer()

FileArgument = Annotated[Path, argument("FILE", "A backup.")]
UnverifiedOption = Annotated[
    bool,
    typer.Option("--unverified", help="Take the backup at its word: nothing shows who made it."),
]
"""`--unverified`; its default is False."""


@group.command("create")
def create(
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="The archive; it must not be there yet.")
    ],
    by: ByOption,
    with_keys: Annotated[
        bool,
        typer.Option("--with-keys", help="With all keys: who has the backup can then do all we can."),
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write the instance to one archive, while the daemon works on or without it."""
    fd = create_file(output)
    try:
        made = ask(config, "backup.create", output=fd, by=by, with_keys=with_keys)
        _sync_folder(output)
    except BaseException:
        output.unlink()
        raise
    finally:
        os.close(fd)
    show_fields(made, as_json=as_json)


@group.command("verify")
def verify(
    file: FileArgument,
    key: KeyOption = None,
    unverified: UnverifiedOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Verify that a backup is whole, and by whom it was made; exits with 1 if it is not."""
    import msgspec

    from sftpd.backup import reader
    from sftpd.backup.manifest import BackupError

    signer = _signer(key, unverified, config)
    try:
        with _opened(file) as source:
            summary = reader.read(source, signer)
    except BackupError as error:
        if not as_json:
            raise
        print_json({"valid": False, "fault": str(error)})
        raise typer.Exit(1) from None
    told: dict[str, Any] = {"valid": True, "signed": signer is not None, **msgspec.to_builtins(summary)}
    show_fields(told, as_json=as_json)


@group.command("restore")
def restore(
    file: FileArgument,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that is empty or does not exist.")
    ],
    key: KeyOption = None,
    unverified: UnverifiedOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make an instance in DIR from a backup, once it is verified."""
    from sftpd.backup.restore import restore as restored_from
    from sftpd.clock import SystemClock
    from sftpd.erasure.afresh import decide_afresh

    signer = _signer(key, unverified, config)
    try:
        restored = restored_from(file, directory, signer, SystemClock(), decide_afresh)
    except OSError as error:
        raise SftpdError(f"cannot restore: {error.strerror}", where=error.filename) from error
    adopted, summary = restored.adopted, restored.summary
    told: dict[str, Any] = {
        "directory": str(directory.absolute()),
        "made": summary.made,
        "epoch": summary.epoch,
        "keys": summary.keys,
        "files": summary.files,
        "missing": adopted.missing,
        "unknown": adopted.unknown,
        "missing_files": [_place(place) for place in adopted.first_missing],
        "unknown_files": [_place(place) for place in adopted.first_unknown],
    }
    if as_json:
        print_json(told)
        return
    show_fields({name: value for name, value in told.items() if not name.endswith("_files")}, as_json=False)
    for name in ("missing", "unknown"):
        for place in told[f"{name}_files"]:
            print(f"{name}: {place['link']}/{place['folder']}/{place['path']}")
    print(_next_steps(directory.absolute()))


def _next_steps(root: Path) -> str:
    """What is to be done before the instance serves."""
    config = root / "sftpd.toml"
    return f"""
Before it serves (docs/backup.md, Restore):
1. Put back {root / "keys"}, the keys of vaults ({root / "state/vault-keys"}) and credentials.
2. See that {config} names {root / "state"} and {root / "links"}, where it names any.
3. Put the erasure ledger, as it is now and not as it was then, at {root / "erasures/ledger.jsonl"},
   or where `[erasure] ledger` in {config} says.
4. sftpd erasure replay --config {config}
5. sftpd check --config {config}
When it serves: place again the holds and withdraw the approvals that were placed and withdrawn since, then
6. sftpd retention unfreeze --reason TEXT --config {config}"""


def _place(place: "Place") -> dict[str, str]:
    path = place.path.decode("utf-8", "backslashreplace")
    return {"link": place.link, "folder": place.folder, "path": path}


def _signer(key: str | None, unverified: bool, config: Path) -> "VerifierKey | None":
    return None if unverified else verifier_key(key, config)


def _opened(file: Path) -> Any:
    try:
        return file.open("rb")
    except OSError as error:
        raise SftpdError(f"cannot read: {error.strerror}", where=str(file)) from None


def _sync_folder(file: Path) -> None:
    from sftpd.files.beneath import Root

    with Root.at(file.absolute().parent) as folder:
        folder.sync()
