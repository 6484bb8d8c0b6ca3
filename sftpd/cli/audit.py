"""`sftpd audit`: reading the audit logs, verifying and proving them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sftpd.cli import bundles
from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    argument,
    brief,
    option,
    pairs,
    print_json,
    print_table,
    show_fields,
)
from sftpd.cli.evidence import KeyOption, LogFiles, own_logs, read_file, told_in_json, verifier_key
from sftpd.cli.proven import Piece, proven_event
from sftpd.documents.text import printable
from sftpd.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from sftpd.audit.checkpoint import VerifierKey

group = typer.Typer()

_MOST = 100_000
"""Events that are shown or bundled at once."""

LogOption = Annotated[str | None, option("--link", "LINK", "The log of this link; the system's if left out.")]
OriginOption = Annotated[str | None, option("--origin", "ORIGIN", "The log that what is proven must be in.")]
IndexArgument = Annotated[int, typer.Argument(metavar="INDEX", min=0, show_default=False)]


@group.command("tail")
def tail(
    link: LogOption = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=_MOST, help="How many events.")] = 20,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the newest events of a log, oldest first."""
    _show_events(ask(config, "audit.tail", link=link, count=count), as_json)


@group.command("show")
def show(
    index: IndexArgument,
    link: LogOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one event, and the leaf that stands for it in the log."""
    show_fields(ask(config, "audit.show", index=index, link=link), as_json=as_json)


@group.command("search")
def search(
    text: Annotated[str, argument("TEXT")],
    link: LogOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_MOST, help="How many, the newest.")] = 1000,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the events of a log in which TEXT occurs, oldest first."""
    _show_events(ask(config, "audit.search", text=text, link=link, limit=limit), as_json)


@group.command("prove")
def prove(
    index: IndexArgument,
    link: LogOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Print the proof that an event is in a log. Its form is c2sp.org/tlog-proof@v1."""
    proven = ask(config, "audit.prove", index=index, link=link)
    if as_json:
        print_json(proven)
    else:
        print(proven["proof"], end="")


@group.command("verify")
def verify(
    link: Annotated[str | None, option("--link", "LINK", "The log of this link alone.")] = None,
    folder: Annotated[Path | None, option("--folder", "DIR", "A copy of a partner's /audit.")] = None,
    origin: Annotated[str | None, option("--origin", "ORIGIN", "The origin of the copied log.")] = None,
    kept: Annotated[
        Path | None,
        option("--kept", "FILE", "A checkpoint kept from before: the log must only have grown since."),
    ] = None,
    key: KeyOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Verify logs from their files alone. Exit with 1 and the place where one differs."""
    logs = _chosen(link, folder, origin, key, config)
    if kept is not None and len(logs) > 1:
        raise UsageError("--kept is about one log", remedy="name it by --link")
    verifier = verifier_key(key, config)
    with told_in_json(as_json):
        rows = [_verified(log, verifier, kept) for log in logs]
    if as_json:
        print_json({"valid": True, "key": str(verifier), "logs": rows})
    else:
        print_table(("log", "size", "root"), ([row["log"], row["size"], row["root"]] for row in rows))
        for line in (_restored(row["log"], one) for row in rows for one in row["restored"]):
            print(printable(line))
        print(f"valid, signed by {verifier}")


@group.command("verify-proof")
def verify_proof(
    proof: Annotated[Path, argument("FILE", "What `audit prove` printed.")],
    event: Annotated[
        Path | None,
        option("--event", "FILE", "What `audit show --json` printed: its private values are verified too."),
    ] = None,
    origin: OriginOption = None,
    key: KeyOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Verify from files alone that an event is in a log, and show what is proven. Exit with 1 if not."""
    verifier = verifier_key(key, config)
    with told_in_json(as_json):
        shown = None if event is None else Piece(str(event), read_file(event))
        proven = proven_event(Piece(str(proof), read_file(proof)), shown, verifier, origin)
    if as_json:
        print_json({"valid": True, "key": str(verifier), **proven})
    else:
        show_fields(proven["event"], as_json=False)
        print(printable(f"valid, one of {proven['size']} leaves of {proven['origin']}, signed by {verifier}"))


@group.command("bundle")
def bundle(
    text: Annotated[str, argument("TEXT", "What occurs in each, such as the id of a transfer.")],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="A ZIP archive; a new file.")],
    link: LogOption = None,
    disclose: Annotated[
        bool, typer.Option("--disclose", help="With their private values: names of files and people.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write the proofs of the events in which TEXT occurs, and what verifies them without sftpd."""
    events = ask(config, "audit.search", text=text, link=link, limit=_MOST)
    if not events:
        raise NotFoundError(f"no event has {text!r} in it", where=link or "system", remedy="see audit search")
    if len(events) == _MOST:
        raise UsageError(f"{text!r} occurs in too many events", expected=f"fewer than {_MOST}")
    proofs = [ask(config, "audit.prove", index=e["index"], link=link, show=disclose) for e in events]
    bundles.write(output, proofs, [proof["event"] for proof in proofs if disclose])
    show_fields({"file": str(output), "events": len(events), "key": proofs[0]["key"]}, as_json=as_json)


@group.command("verify-bundle")
def verify_bundle(
    file: Annotated[Path, argument("FILE", "What `audit bundle` wrote.")],
    origin: OriginOption = None,
    key: KeyOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Verify from a bundle alone that its events are in a log, and show them. Exit with 1 if not."""
    verifier = verifier_key(key, config)
    with told_in_json(as_json):
        proven = bundles.proven(file, verifier, origin)
    if as_json:
        print_json({"valid": True, "key": str(verifier), "events": proven})
    else:
        _show_events([one["event"] for one in proven], as_json=False)
        print(printable(f"valid, {len(proven)} events, signed by {verifier}"))


@group.command("signer")
def signer(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Print the line of an `allowed_signers` file by which ssh-keygen verifies our receipts."""
    from sftpd.audit import sshsig
    from sftpd.exchange.receipt import NAMESPACE

    key = verifier_key(None, config)
    line = sshsig.allowed_signer(key, NAMESPACE)
    if as_json:
        known = {"identity": key.name, "namespace": NAMESPACE, "fingerprint": sshsig.fingerprint(key)}
        print_json({**known, "line": line})
    else:
        print(line)


def _chosen(
    link: str | None, folder: Path | None, origin: str | None, key: str | None, config: Path
) -> list[LogFiles]:
    """The logs to verify: our own, or the one copied to `folder`, which needs no configuration."""
    if folder is None and origin is None:
        return own_logs(config, link)
    if folder is None or origin is None or key is None or link is not None:
        raise UsageError("a copied log is named by --folder, --origin and --key, and by these alone")
    return [LogFiles(origin, folder)]


def _verified(log: LogFiles, key: "VerifierKey", kept: Path | None) -> dict[str, Any]:
    """Verify one log and say what it is."""
    from base64 import b64encode

    from sftpd.audit.verify import verify_consistency, verify_log

    found = verify_log(log.public, [key], origin=log.origin, journal=log.journal)
    if kept is not None:
        verify_consistency(read_file(kept), log.public, [key], origin=log.origin, restored=found.restored)
    root = b64encode(found.root).decode()
    restored = [{"time": one.time, "size": one.index, "origin": one.origin} for one in found.restored]
    return {"log": log.name, "origin": found.origin, "size": found.size, "root": root, "restored": restored}


def _restored(log: str, one: dict[str, Any]) -> str:
    return f"{log}: restored {one['time']} from a backup of {one['size']} leaves, then {one['origin']}"


def _show_events(events: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(events)
        return
    rows = ((event["index"], brief("time", event["time"]), event["type"], _told(event)) for event in events)
    print_table(("index", "time", "event", "what"), rows)


def _told(event: dict[str, Any]) -> str:
    """All that an event says, `name=value` on one line; what was erased as such."""
    shut = "".join(f" {name}=({how})" for how in ("erased", "undisclosed") for name in event.get(how, ()))
    return pairs({**event["public"], **event["private"]}) + shut
