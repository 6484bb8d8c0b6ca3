"""`sftpd erasure`: deletion requests, from receipt to certificate."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from sftpd.cli import certificate, erasure_replay
from sftpd.cli.ask import ask
from sftpd.cli.common import (
    DEFAULT_CONFIG,
    ByOption,
    ConfigOption,
    IdArgument,
    JsonOption,
    LinkOption,
    ReasonOption,
    WhyOption,
    argument,
    option,
    print_json,
    show_fields,
    show_rows,
)
from sftpd.cli.evidence import read_file
from sftpd.documents.text import printable
from sftpd.erasure.finder import Why
from sftpd.erasure.grounds import Ground
from sftpd.errors import UsageError

group = typer.Typer()

LinkAboutOption = Annotated[str, option("--link", "LINK", "The link it is about.")]
ReceivedOption = Annotated[
    str | None,
    option("--received", "TIME", "When it was received: a day, or ISO 8601 with an offset; now if left out."),
]


@group.command("open")
def open_request(
    link: LinkAboutOption,
    identifier: Annotated[
        list[str],
        option(
            "--identifier",
            "TYPE=VALUE",
            "What the person is known by, such as email=jan@example.org; may be repeated.",
        ),
    ],
    by: ByOption,
    received: ReceivedOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Enter a deletion request and print its id."""
    _opened(config, as_json, link=link, identifiers=identifier, by=by, received=received)


@group.command("import")
def import_request(
    file: Annotated[Path, argument("FILE", "An order, or a request of OpenDSR.")],
    link: LinkAboutOption,
    by: ByOption,
    received: ReceivedOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Enter the deletion request that a file says; who imports it vouches for it."""
    from sftpd.erasure import order

    identifiers = list(order.read(read_file(file)).identifiers)
    _opened(config, as_json, link=link, identifiers=identifiers, by=by, received=received)


@group.command("list")
def list_requests(
    link: LinkOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List deletion requests, oldest first."""
    columns = ("id", "link", "state", "received", "due", "overdue", "identifiers", "approved_by", "closed")
    show_rows(ask(config, "erasure.list", link=link), columns, as_json=as_json)


@group.command("identity")
def identity(
    request: IdArgument,
    by: ByOption,
    asked: Annotated[
        bool, typer.Option("--ask", help="The person is asked who they are: the term stands still.")
    ] = False,
    confirmed: Annotated[
        bool, typer.Option("--confirm", help="It is certain who asks: the term runs on.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Record that the person's identity is asked for, or confirmed; what showed it is not kept."""
    if asked == confirmed:
        wrong = "two things are said" if asked else "nothing is said"
        raise UsageError(f"{wrong} of the identity", expected="either --ask or --confirm")
    _show(ask(config, "erasure.identity", id=request, by=by, step="ask" if asked else "confirm"), as_json)


@group.command("extend")
def extend(
    request: IdArgument,
    reason: WhyOption,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Extend the term by two months, once; tell the person why before the first one ends."""
    _show(ask(config, "erasure.extend", id=request, by=by, reason=reason), as_json)


@group.command("forward")
def forward(
    request: IdArgument, by: ByOption, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Print a request as the controller is to get it, who decides on it; a partner finds it in /receipts."""
    forwarded = ask(config, "erasure.forward", id=request, by=by)
    if as_json:
        print_json(forwarded)
    else:
        print(forwarded["document"])


@group.command("instruct")
def instruct(
    request: IdArgument,
    reference: Annotated[str, option("--reference", "TEXT", "Where the instruction is to be found.")],
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Record that the controller has instructed us to erase."""
    _show(ask(config, "erasure.instruct", id=request, by=by, reference=reference), as_json)


@group.command("find")
def find(request: IdArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Search every folder of the link and make the plan."""
    _show(ask(config, "erasure.find", id=request), as_json)


@group.command("review")
def review(
    request: IdArgument,
    seq: Annotated[int | None, argument("SEQ", "Show what this one says.")] = None,
    reason: ReasonOption = None,
    *,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the records that may be the person's, or show one; that somebody looks at it is recorded."""
    if seq is None:
        _show_matches(ask(config, "erasure.review", id=request), as_json)
        return
    if reason is None:
        raise UsageError("to look at a record needs a reason", where="--reason", expected="--reason TEXT")
    shown = ask(config, "erasure.look", id=request, seq=seq, by=by, reason=reason)
    if as_json:
        print_json(shown)
    else:
        lines = shown["text"].splitlines() or ["(it cannot be shown: look at the file)"]
        print("\n".join(map(printable, lines)))


@group.command("decide")
def decide(  # noqa: PLR0913 (a parameter for each option)
    request: IdArgument,
    seqs: Annotated[list[int] | None, argument("SEQ...", "Which matches or unsearchable files.")] = None,
    forms: Annotated[
        list[Why] | None,
        option("--form", "FORM", "All of this form on which nobody has decided; may be given again."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="They go.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="They stay.")] = False,
    reason: ReasonOption = None,
    *,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Decide whether what may be the person's, or a file that could not be searched, is removed or stays."""
    if remove == keep:
        raise UsageError(
            "no decision is given, or two are", where="erasure decide", expected="--remove or --keep"
        )
    if not (seqs or forms):
        raise UsageError("no match is named", where="erasure decide", expected="SEQ or --form FORM")
    on = {"seqs": seqs or [], "forms": forms or []}
    answer = ask(config, "erasure.decide", id=request, **on, remove=remove, by=by, reason=reason)
    _show_matches(answer, as_json)


@group.command("except")
def except_files(
    request: IdArgument,
    seqs: Annotated[list[int], argument("SEQ...", "Which steps of the plan.")],
    ground: Annotated[Ground, option("--ground", "GROUND", "Of GDPR 17(3).")],
    reason: WhyOption,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Have files stay although the person is in them, on a ground in law: 17(3)(a) to 17(3)(e)."""
    words = {"seqs": seqs, "ground": ground.value, "reason": reason, "by": by}
    _show(ask(config, "erasure.except", id=request, **words), as_json)


@group.command("approve")
def approve(
    request: IdArgument, by: ByOption, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Approve the plan as it stands."""
    _show(ask(config, "erasure.approve", id=request, by=by), as_json)


@group.command("deny")
def deny(
    request: IdArgument,
    reason: WhyOption,
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


@group.command("notices")
def list_notices(
    request: IdArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """List who got files with the person, and how far the notice to each is."""
    columns = ("id", "link", "remote", "files", "state", "due", "overdue", "delivered", "answer", "reason")
    show_rows(ask(config, "erasure.notices", id=request), columns, as_json=as_json)


@group.command("told")
def told(
    notice: Annotated[str, argument("NOTICE", "Its id.")],
    reason: WhyOption,
    by: ByOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Record that the recipient of a notice was told otherwise, or has answered otherwise."""
    show_fields(ask(config, "erasure.told", notice=notice, reason=reason, by=by), as_json=as_json)


@group.command("index")
def index(
    link: LinkOption = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Show how far the index of received files is."""
    columns = ("link", "files", "indexed", "pending", "unsearchable")
    show_rows(ask(config, "erasure.index", link=link), columns, as_json=as_json)


def _opened(config: Path, as_json: bool, **request: Any) -> None:
    opened = ask(config, "erasure.open", **request)
    if as_json:
        print_json(opened)
        return
    print(opened["id"])
    if opened["duplicate_of"] is not None:
        print(f"it is a duplicate of {opened['duplicate_of']}, which is still open", file=sys.stderr)


def _show_matches(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    columns = ("seq", "folder", "path", "format", "place", "why", "whole", "decision")
    show_rows(document["matches"], columns, as_json=False)


def _show(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    aside = ("items", "certificate", "searched")
    fields = {name: value for name, value in document.items() if name not in aside}
    if fields["paused"]:
        fields["paused"] = str(timedelta(seconds=fields["paused"]))
    show_fields(fields, as_json=False)
    if "searched" in document:
        told = "\nof {files} files {read} were read and {looked_up} looked up in the index"
        print(told.format(**document["searched"]))
    if document.get("items"):
        print()
        columns = ("seq", "folder", "path", "action", "format", "records", "state", "reason")
        show_rows(document["items"], columns, as_json=False)
        _tell_unsearched(document)


def _tell_unsearched(document: dict[str, Any]) -> None:
    count = sum(item["state"] == "unsearched" for item in document["items"])
    if not count:
        return
    print(f"\ncould not be searched: {count}")
    if document["state"] == "review":
        print(f"look at each, then: sftpd erasure decide {document['id']} SEQ --remove|--keep --reason TEXT")


for _work in (certificate.certificate, certificate.render, certificate.verify):
    group.command(_work.__name__)(_work)
group.command("replay")(erasure_replay.replay)
group.command("ledger-lost")(erasure_replay.ledger_lost)
