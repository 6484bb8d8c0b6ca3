"""The tables of the ledger, for SQLite and PostgreSQL alike."""

from typing import Any

import sqlalchemy as sa

from sftpd.ledger.erasure_tables import erasure_content as erasure_content
from sftpd.ledger.erasure_tables import erasure_decision as erasure_decision
from sftpd.ledger.erasure_tables import erasure_delivery as erasure_delivery
from sftpd.ledger.erasure_tables import erasure_epoch as erasure_epoch
from sftpd.ledger.erasure_tables import erasure_exception as erasure_exception
from sftpd.ledger.erasure_tables import erasure_item as erasure_item
from sftpd.ledger.erasure_tables import erasure_match as erasure_match
from sftpd.ledger.erasure_tables import erasure_notice as erasure_notice
from sftpd.ledger.erasure_tables import erasure_order as erasure_order
from sftpd.ledger.erasure_tables import erasure_reminder as erasure_reminder
from sftpd.ledger.erasure_tables import erasure_request as erasure_request
from sftpd.ledger.retention_tables import approval as approval
from sftpd.ledger.retention_tables import clock_mark as clock_mark
from sftpd.ledger.retention_tables import disposal as disposal
from sftpd.ledger.retention_tables import folder_mark as folder_mark
from sftpd.ledger.retention_tables import freeze as freeze
from sftpd.ledger.retention_tables import returned as returned
from sftpd.ledger.retention_tables import review as review
from sftpd.ledger.retention_tables import rule as rule
from sftpd.ledger.schema import Instant as Instant
from sftpd.ledger.schema import instant as instant
from sftpd.ledger.schema import metadata as metadata

link = sa.Table(
    "link",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("reason", sa.Text),
)
"""The life cycle of each link; the rest of a link is configuration."""

acceptance = sa.Table(
    "acceptance",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("document", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("accepted_at", Instant, nullable=False),
    sa.Column("accepted_by", sa.Text, nullable=False),
)
"""Which version of which terms was accepted for a link, when and by whom."""

transfer = sa.Table(
    "transfer",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("direction", sa.Text, nullable=False),  # inbound | outbound
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("peer", sa.Text, nullable=False),  # account or remote
    sa.Column("path", sa.LargeBinary, nullable=False),  # relative to the route's folder
    sa.Column("source", sa.Text, nullable=False),  # snapshot of our file: inode, size, mtime
    sa.Column("origin", sa.Text),  # what a fetched file is at the remote: size, mtime; empty: gone
    sa.Column("copy_of", sa.Text),  # a file that is sent again: the transfer that it was first sent by
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("folder", sa.Text),  # where the file lies once it is at its place
    sa.Column("placed_as", sa.LargeBinary),  # its path there, when it is not `path`
    sa.Column("temporary", sa.LargeBinary),  # outbound: its path at the remote until it is placed
    sa.Column("delivered_as", sa.LargeBinary),  # outbound: its path for the counterparty, when not `path`
    sa.Column("proof", sa.Text),  # outbound: how it is known that its bytes arrived
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("rank", sa.Integer, nullable=False, server_default="2"),  # its turn: 0 before 1 before 2
    sa.Column("not_before", Instant),  # while it waits for its turn: when that comes
    sa.Column("generation", sa.BigInteger),  # inbound: the how-manieth of its path in its link
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Index(None, "path", "link", "generation"),
    sa.Index(None, "peer", "began_at"),
    sa.Index(None, "state", "not_before"),
    sa.Index(
        "ix_transfer_turn",
        "link",
        "route",
        "rank",
        "not_before",
        "id",
        sqlite_where=sa.text("not_before IS NOT NULL"),
        postgresql_where=sa.text("not_before IS NOT NULL"),
    ),
    sa.Index(
        "ix_transfer_way",
        "path",
        "route",
        sqlite_where=sa.text("not_before IS NOT NULL"),
        postgresql_where=sa.text("not_before IS NOT NULL"),
    ),
)
"""Each file crossing a link, once."""

halt = sa.Table(
    "halt",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),  # link | route | remote
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("cause", sa.Text, nullable=False),  # paused | suspended
    sa.Column("placed_by", sa.Text),  # none: we ourselves
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
)
"""What nothing is sent to, or over, until somebody says otherwise."""

kept_file = sa.Table(
    "kept_file",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # its transfer
    sa.Column("transfer", sa.Text),  # of a copy in the vault, which has an id of its own
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),  # inbound, sent, staging, held and so on
    sa.Column("path", sa.LargeBinary, nullable=False),  # in the vault: that of link.vaulted
    sa.Column("source", sa.Text, nullable=False),  # snapshot; in the vault: its id there
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("accessed_at", Instant),  # when an account last read it through us
    # present | withdrawing | renaming | moving_aside | replaced | withdrawn | disposed | erased | absent
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("renamed_to", sa.LargeBinary),  # while it is being renamed or moved aside
    sa.Column("changed_at", Instant, nullable=False),
    sa.Index(None, "path", "link", "state"),
    sa.Index(None, "link", "folder", "received_at"),
    sa.Index(None, "state", "received_at", "id"),
    sa.Index(
        "ix_kept_file_transfer",
        "transfer",
        sqlite_where=sa.text("transfer IS NOT NULL"),
        postgresql_where=sa.text("transfer IS NOT NULL"),
    ),
)
"""Files under our care until they are disposed of: received, sent, failed, offered, parts of uploads, and
copies in the vault."""


def on_its_way(link: Any, route: Any) -> tuple[sa.ColumnElement[bool], ...]:
    """What is true of an outbound transfer of a route that is not at its end, and to be found by its path.

    The link is compared in a form that no index has, as `at_place` compares the folder.
    """
    t = transfer.c
    return t.not_before.is_not(None), t.route == route, t.link.concat(sa.literal_column("''")) == link


def at_place(link: Any, folder: Any, path: Any) -> tuple[sa.ColumnElement[bool], ...]:
    """What is true of a kept file at a place.

    The folder is compared in a form that no index has: while PostgreSQL knows nothing of the rows, it takes
    the index that begins with link and folder to be as good as that of the path, and reads the whole folder.
    """
    file = kept_file.c
    return file.path == path, file.link == link, file.folder.concat(sa.literal_column("''")) == folder


hold = sa.Table(
    "hold",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("scope", sa.JSON, nullable=False),  # one of retention.scope
    sa.Column("file", sa.Text),  # the file that the scope names, if it is on one alone
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("placed_by", sa.Text, nullable=False),
    sa.Column("placed_at", Instant, nullable=False),
    sa.Column("until", Instant),
    sa.Column("released_by", sa.Text),
    sa.Column("released_at", Instant),
    sa.Index(None, "link"),
)
"""Legal holds; nothing they cover is disposed of or erased until they are released."""

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("key", sa.LargeBinary, primary_key=True),  # a digest of the file's name, size and time there
    sa.Column("transfer", sa.Text, nullable=False),
    sa.Column("told", sa.Boolean, nullable=False),  # that it failed
)
"""What was asked of remotes that give a file only once, until a transfer has come of it; and what was fetched
and has no name in the ledger any more, under a keyed digest."""

expectation = sa.Table(
    "expectation",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("deadline", Instant, nullable=False),
    sa.Column("since", Instant, nullable=False),  # files that came later count
    sa.Column("state", sa.Text, nullable=False),  # awaited | at_risk | missed | met
)
"""How each expected file stands: what has been told of its deadline."""

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("expires", Instant, nullable=False),
)
"""Who may do what only one may do at a time, and until when."""

tick = sa.Table(
    "tick",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("last", Instant, nullable=False),
)
"""When each scheduled job last ran to its end."""

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
"""Events that are committed and not yet in their audit log."""

opening = sa.Table(
    "opening",
    metadata,
    sa.Column("event", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("nonce", sa.LargeBinary, nullable=False),
    sa.Column("value", sa.Text, nullable=False),  # JSON
    sa.Column("log", sa.Text),  # that of the event; none: of an event from before this was kept
)
"""What opens the commitments of an event's leaf; erasure deletes rows here and leaves the leaf valid."""

receipt_cursor = sa.Table(
    "receipt_cursor",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("next", sa.BigInteger, nullable=False),
)
"""The first leaf of a link's audit log whose receipt is not made yet; no row: the link has no receipts."""

return_receipt = sa.Table(
    "return_receipt",
    metadata,
    sa.Column("transfer", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("remote", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),  # of the delivered file; emptied when that is erased
    sa.Column("state", sa.Text, nullable=False),  # awaited | missed | matched
    sa.Column("delivered_at", Instant),  # none: the receipt came before we knew that it is delivered
    sa.Column("matched_at", Instant),
    # What the receipt says:
    sa.Column("received_at", Instant),
    sa.Column("verdict", sa.Text),
    sa.Column("instance", sa.Text),
    sa.Column("theirs", sa.Text),  # the transfer of who received it
    sa.Column("log", sa.Text),
    sa.Column("position", sa.BigInteger),
    sa.Column("leaf", sa.Text),
    sa.Index(None, "link", "remote", "sha256"),
    sa.Index(None, "link", "remote", "state", "delivered_at"),
)
"""The deliveries to remotes whose owner makes receipts that we collect, and what theirs say."""

return_cursor = sa.Table(
    "return_cursor",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("remote", sa.Text, primary_key=True),
    sa.Column("since", Instant, nullable=False),  # of what was received before, receipts are not awaited
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("next", sa.BigInteger, nullable=False),
)
"""How far the receipts at a remote have been gone over; no row: they are not collected."""
