"""The tables of the ledger, for SQLite and PostgreSQL alike."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept as microseconds since 1970 UTC so that it sorts and compares everywhere."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: sa.Dialect) -> int | None:
        """Turn an aware datetime into microseconds."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, _dialect: sa.Dialect) -> datetime | None:
        """Turn microseconds into an aware datetime in UTC."""
        return None if value is None else instant(value)


def instant(value: int) -> datetime:
    """The instant that the ledger keeps as `value`."""
    return _EPOCH + value * _MICROSECOND


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
    sa.Column("origin", sa.Text),  # what a fetched file was at the remote: size, mtime
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
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Index(None, "link", "route", "path"),
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
    sa.Index(None, "link", "folder", "path"),
    sa.Index(None, "link", "folder", "received_at"),
    sa.Index(None, "state", "received_at"),
    sa.Index(
        "ix_kept_file_transfer",
        "transfer",
        sqlite_where=sa.text("transfer IS NOT NULL"),
        postgresql_where=sa.text("transfer IS NOT NULL"),
    ),
)
"""Files under our care until they are disposed of: received, sent, failed, offered, parts of uploads, and
copies in the vault."""

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

disposal = sa.Table(
    "disposal",
    metadata,
    sa.Column("plan", sa.Text, primary_key=True),
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("path", sa.LargeBinary, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False, server_default="dispose"),  # dispose | return
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("rule_version", sa.Integer, nullable=False),
    sa.Column("due", Instant, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("copies", sa.JSON, nullable=False, server_default="[]"),  # what goes with it
    sa.Column("intended_at", Instant, nullable=False),
    sa.Column("done_at", Instant),
    sa.Column("result", sa.Text),
    sa.Index(None, "done_at"),
)
"""What retention set out to dispose of, under which rule, and what came of it."""

returned = sa.Table(
    "returned",
    metadata,
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("folder", sa.Text, nullable=False),  # where it was until then; rules go by that
    sa.Column("path", sa.LargeBinary, nullable=False),
    sa.Column("offered_at", Instant, nullable=False),
    sa.Column("fetched_at", Instant),  # when an account had read it whole
)
"""The kept files that were given back to the partner, and wait in `/download` to be fetched."""

review = sa.Table(
    "retention_review",
    metadata,
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("rule_version", sa.Integer, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("answer", sa.Text),  # approved | extended | rejected; none: it waits
    sa.Column("until", Instant),  # extended or rejected: when it is asked about again
    sa.Column("reason", sa.Text),
    sa.Column("answered_by", sa.Text),
    sa.Column("answered_at", Instant),
    sa.Index(None, "link"),
)
"""Files whose rule asks somebody to decide on them, and what was decided under that version of the rule."""

freeze = sa.Table(
    "retention_freeze",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),  # empty: all links
    sa.Column("folder", sa.Text, primary_key=True),  # empty: every folder
    sa.Column("reason", sa.Text, primary_key=True),  # its code
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("files", sa.Integer),  # a volume: how many files were due
    sa.Column("since", Instant, nullable=False),
    sa.Column("lifted_at", Instant),  # a volume: when it was confirmed for the next run
)
"""What keeps retention from disposing of anything, until it ends or somebody confirms."""

clock_mark = sa.Table(
    "clock_mark",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("boot", sa.Text, nullable=False),
    sa.Column("wall", Instant, nullable=False),
    sa.Column("uptime", sa.BigInteger, nullable=False),  # microseconds, at `wall`
    sa.Column("seen", Instant, nullable=False),
    sa.Column("pardoned", Instant),  # events up to this time may be dated by a wrong clock
)
"""The time as it was held for right: what the clocks showed together, and when last."""

folder_mark = sa.Table(
    "folder_mark",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("folder", sa.Text, primary_key=True),
    sa.Column("identity", sa.Text, nullable=False),  # file system and inode of the directory
    sa.Column("since", Instant, nullable=False),
)
"""Which directory each folder with received files is."""

erasure_request = sa.Table(
    "erasure_request",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("opened_by", sa.Text, nullable=False),
    sa.Column("identifiers", sa.JSON),  # emptied when the request is closed
    sa.Column("approved_by", sa.Text),
    sa.Column("approved_at", Instant),
    sa.Column("closed_at", Instant),
    sa.Column("findings", sa.JSON),
    sa.Column("certificate", sa.Text),
    sa.Column("epoch", sa.Integer, nullable=False, default=0),
)
"""Deletion requests and their certificates."""

erasure_item = sa.Table(
    "erasure_item",
    metadata,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("path", sa.LargeBinary),  # emptied when the request is closed
    sa.Column("action", sa.Text, nullable=False),  # delete | redact | keep | wait | unsearchable
    sa.Column("format", sa.Text),
    sa.Column("records", sa.Integer, nullable=False, default=0),
    sa.Column("state", sa.Text, nullable=False),  # planned | intended | done
    sa.Column("reason", sa.Text),
)
"""What a deletion request does to each file."""

erasure_epoch = sa.Table(
    "erasure_epoch",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),  # the last entry whose removal is on record here
    sa.Column("hash", sa.Text, nullable=False),  # of that entry
    sa.Column("reserved", sa.Integer, nullable=False),  # up to which a crash may have left entries of:
    sa.Column("request", sa.Text),
)
"""How far the erasure ledger reached as this state knows it: one row, or none where it never heard of one."""

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("key", sa.LargeBinary, primary_key=True),  # a digest of the file's name, size and time there
    sa.Column("transfer", sa.Text, nullable=False),
    sa.Column("told", sa.Boolean, nullable=False),  # that it failed
)
"""What was asked of remotes that give a file only once, until a transfer has come of it."""

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
