"""The disposition report of a run: what became of each file, with its place in the audit log, to be signed.

It names no file unless it is opened: a file is known by its id, and by the audit leaf that commits to its
path. Opened, it has what proves that path against the leaf.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
import sqlalchemy as sa

from sftpd.audit.canonical import JSON, canonical
from sftpd.documents.model import Document, Heading, Paragraph, Table
from sftpd.ledger import outbox
from sftpd.retention.report import ReportRow

FORMAT = "sftpd disposition report v1"
NAMESPACE = "disposition@sftpd"
"""The namespace of the signatures, which keeps them from being taken for any other."""

DONE = "retention.done"
"""The event of which each file's leaf tells."""
_FIELD = "path"


class Leaf(NamedTuple):
    """Where an event stands in its link's audit log, and its id."""

    at: int
    event: str


class OpenedPath(msgspec.Struct, frozen=True):
    """A file's folder and path, and the nonce (base64) with which its leaf commits to it."""

    path: str
    nonce: str


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one file; times are RFC 3339, in UTC."""

    file: str
    link: str
    rule: str
    rule_version: int
    trigger: str
    """The facts that made it due."""
    received: str
    due: str
    intended: str
    done: str | None = None
    result: str | None = None
    """None: the run was interrupted, and ends when sftpd starts again."""
    audit_index: int | None = None
    """Where in the link's audit log the event stands that tells of the result."""
    opened: OpenedPath | None = None


class Disposition(msgspec.Struct, frozen=True):
    """The report of the run of one plan."""

    format: str
    instance: str
    plan: str
    issued: str
    entries: tuple[Entry, ...]


def content(report: Disposition) -> bytes:
    """The bytes that are signed: canonical JSON (RFC 8785)."""
    return canonical(cast("JSON", msgspec.to_builtins(report)))


def entry(row: ReportRow, leaf: Leaf | None, opened: Mapping[str, OpenedPath]) -> Entry:
    """The entry of a disposal, of which a leaf tells what came of it."""
    at, event = leaf or (None, "")
    values = row.as_json()
    return Entry(
        file=row.file,
        link=row.link,
        rule=row.rule,
        rule_version=row.rule_version,
        trigger=row.reason,
        received=values["received_at"],
        due=values["due"],
        intended=values["intended_at"],
        done=values["done_at"],
        result=row.result,
        audit_index=at,
        opened=opened.get(event),
    )


def paired(rows: Sequence[ReportRow], told: Mapping[str, Sequence[Leaf]]) -> list[Leaf | None]:
    """The leaf of each disposal of a plan, None for one that is unfinished; `told` is by file, oldest first.

    A plan that was run several times has several of a file. The log is never rewritten: it may tell of more.
    """
    left = {file: list(leaves) for file, leaves in told.items()}
    found = [left[row.file].pop() if row.done_at and left.get(row.file) else None for row in reversed(rows)]
    return found[::-1]


def told_of(plan: str, leaves: Iterable[bytes]) -> Iterator[tuple[str, Leaf]]:
    """The file and leaf of each event that tells what came of a plan's disposal."""
    mark = plan.encode()
    for index, leaf in enumerate(leaves):
        if mark not in leaf:
            continue
        envelope: dict[str, Any] = json.loads(leaf)
        if envelope["type"] == DONE and envelope["data"].get("plan") == plan:
            yield envelope["data"]["file"], Leaf(index, envelope["id"])


def open_paths(conn: sa.Connection, events: Sequence[str]) -> dict[str, OpenedPath]:
    """The paths that the leaves of events commit to, by event; without those of files that were erased."""
    found = {}
    for event in events:
        kept = outbox.openings(conn, event).get(_FIELD)
        if kept is not None:
            nonce, path = kept
            found[event] = OpenedPath(path, base64.b64encode(nonce).decode())
    return found


def document(report: Disposition, digest: str) -> Document:
    """The report for people; `digest` is the SHA-256 of the signed one."""
    columns = ("file", "rule", "due", "done", "result", "audit")
    rows = [
        (
            one.file if one.opened is None else one.opened.path,
            f"{one.rule} v{one.rule_version}",
            one.due[:19],
            (one.done or "")[:19],
            one.result or "unfinished",
            "" if one.audit_index is None else f"{one.link} {one.audit_index}",
        )
        for one in report.entries
    ]
    results = Counter(one.result or "unfinished" for one in report.entries)
    return Document(
        "Disposition report",
        f"{report.instance}, plan {report.plan}, issued {report.issued}",
        (
            Heading("In all"),
            Table(("result", "files"), [(name, str(count)) for name, count in sorted(results.items())]),
            Heading("File by file"),
            Table(columns, rows),
            Paragraph(f"Times are in UTC. The signed report has the SHA-256 {digest}."),
        ),
    )
