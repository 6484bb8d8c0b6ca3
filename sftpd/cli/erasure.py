"""`sftpd erasure`: deletion requests, from receipt to certificate."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    JsonOption,
    LinkOption,
    print_json,
    show_fields,
    show_rows,
)
from sftpd.cli.evidence import KeyOption, read_file, verifier_key
from sftpd.cli.papers import put
from sftpd.errors import AuditError

group = typer.Typer()

IdArgument = Annotated[str, typer.Argument(metavar="ID", show_default=False)]


@group.command("open")
def open_request(
    link: Annotated[
        str, typer.Option("--link", metavar="LINK", help="The link it is about.", show_default=False)
    ],
    identifier: Annotated[
        list[str],
        typer.Option(
            "--identifier",
            metavar="TYPE=VALUE",
            help="What the person is known by, such as email=jan@example.org; may be repeated.",
            show_default=False,
        ),
    ],
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Enter a deletion request, received now, and print its id."""
    opened = ask(config, "erasure.open", link=link, identifiers=identifier, by=by)
    if as_json:
        print_json(opened)
    else:
        print(opened["id"])


@group.command("list")
def list_requests(
    link: LinkOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List deletion requests, oldest first."""
    columns = ("id", "link", "state", "received", "due", "identifiers", "approved_by", "closed")
    show_rows(ask(config, "erasure.list", link=link), columns, as_json=as_json)


@group.command("find")
def find(request: IdArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Search every folder of the link and make the plan."""
    _show(ask(config, "erasure.find", id=request), as_json)


@group.command("approve")
def approve(
    request: IdArgument, by: ByOption, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Approve the plan as it stands."""
    _show(ask(config, "erasure.approve", id=request, by=by), as_json)


@group.command("deny")
def deny(
    request: IdArgument,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.", show_default=False)
    ],
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Deny a request; its identifiers are forgotten."""
    _show(ask(config, "erasure.deny", id=request, by=by, reason=reason), as_json)


@group.command("run")
def run(request: IdArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Carry out the plan and issue the certificate."""
    _show(ask(config, "erasure.run", id=request), as_json)


@group.command("show")
def show(request: IdArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show a request and how far each step of its plan is."""
    _show(ask(config, "erasure.show", id=request), as_json)


@group.command("certificate")
def certificate(
    request: IdArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write it to FILE instead.", show_default=False),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Print the signed certificate of a request that has run."""
    issued = ask(config, "erasure.certificate", id=request)
    if output is not None:
        put(output, f"{issued['certificate']}\n")
    if as_json:
        print_json(issued)
    elif output is None:
        print(issued["certificate"])


@group.command("index")
def index(
    link: LinkOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Show how far the index of received files is."""
    columns = ("link", "files", "indexed", "pending", "unsearchable")
    show_rows(ask(config, "erasure.index", link=link), columns, as_json=as_json)


@group.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A certificate.", show_default=False)],
    key: KeyOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Verify a certificate, which needs its file and the key alone."""
    from sftpd.erasure import certificate as certificates

    document = read_file(file).removesuffix(b"\n")
    try:
        signed = certificates.verify(document, verifier_key(key, config))
    except AuditError as error:
        if not as_json:
            raise
        print_json({"valid": False, "fault": str(error)})
        raise typer.Exit(1) from None
    if as_json:
        print_json({"valid": True, "request": signed.request, "link": signed.link, "issued": signed.issued})
    else:
        print(f"valid: request {signed.request} of link {signed.link}, issued {signed.issued}")


def _show(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    aside = ("items", "certificate", "searched")
    show_fields({name: value for name, value in document.items() if name not in aside}, as_json=False)
    if "searched" in document:
        told = "\nof {files} files {read} were read and {looked_up} looked up in the index"
        print(told.format(**document["searched"]))
    if document.get("items"):
        print()
        columns = ("folder", "path", "action", "format", "records", "state", "reason")
        show_rows(document["items"], columns, as_json=False)
