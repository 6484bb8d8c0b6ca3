"""The tables of the ledger for deletion requests: their plans, orders, terms, and who is told."""

import sqlalchemy as sa

from sftpd.ledger.schema import Instant, metadata

erasure_request = sa.Table(
    "erasure_request",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("opened_by", sa.Text, nullable=False),
    sa.Column("asked_at", Instant),  # while the person's identity is asked for: since when
    sa.Column("paused", sa.BigInteger, nullable=False, server_default="0"),  # microseconds, before
    sa.Column("extended_at", Instant),
    sa.Column("forwarded_at", Instant),  # to the controller that we process for
    sa.Column("instructed_at", Instant),
    sa.Column("duplicate_of", sa.Text),
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
    sa.Column("action", sa.Text, nullable=False),  # delete | redact | keep | wait | review | unsearchable
    sa.Column("format", sa.Text),
    sa.Column("records", sa.Integer, nullable=False, default=0),
    sa.Column("state", sa.Text, nullable=False),  # planned | intended | done | kept
    sa.Column("reason", sa.Text),
)
"""What a deletion request does to each file."""

erasure_match = sa.Table(
    "erasure_match",
    metadata,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),  # of the step
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("whole", sa.Boolean, nullable=False),
    sa.Column("mark", sa.Text, nullable=False),  # of the content it was found in
    sa.Column("decision", sa.Text, nullable=False),  # what a decision on it is kept under: a keyed digest
    sa.Column("draft", sa.Text),  # hash of the content that is about to take the place of that one
)
"""The possible matches among the steps of a request."""

erasure_decision = sa.Table(
    "erasure_decision",
    metadata,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("match", sa.Text, primary_key=True),
    sa.Column("remove", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text),
)
"""What was decided on possible matches, also of plans before this one."""

erasure_exception = sa.Table(
    "erasure_exception",
    metadata,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("folder", sa.Text, primary_key=True),
    sa.Column("path", sa.LargeBinary, primary_key=True),
    sa.Column("ground", sa.Text, nullable=False),  # of GDPR 17(3)
    sa.Column("reason", sa.Text, nullable=False),
)
"""Files that a request leaves as they are, on a ground in law; emptied of a request when it is closed."""

erasure_order = sa.Table(
    "erasure_order",
    metadata,
    sa.Column("transfer", sa.Text, primary_key=True),  # of the order's file
    sa.Column(
        "signature", sa.Text, primary_key=True
    ),  # the transfer of its signature; empty: it did not come
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("taken_at", Instant, nullable=False),
    sa.Column("name", sa.Text),  # the counterparty's for the order, or a notice's id; none: it is no order
    sa.Column("digest", sa.Text),  # keyed, of its content
    sa.Column("request", sa.Text),  # none: it was refused, or answers a notice
    sa.Column("reason", sa.Text),  # why: its code
    sa.Column("text", sa.Text),  # and in words; of an accepted order the sender's reason, until it is settled
    sa.Column("answer", sa.Text),  # the one that the counterparty has had last
    sa.Column("settled", sa.Boolean, nullable=False),  # whether that was the last one
    sa.Index(None, "link", "name"),
    sa.Index(None, "settled"),
)
"""The orders that counterparties have dropped, each file and signature once, and how far each is answered."""

erasure_reminder = sa.Table(
    "erasure_reminder",
    metadata,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("due", Instant, primary_key=True),
    sa.Column("about", sa.Text, primary_key=True),  # overdue, or how long before it is due
    sa.Column("told_at", Instant, nullable=False),
)
"""What has been told of the ends of terms; a term that was moved is told of again."""

erasure_content = sa.Table(
    "erasure_content",
    metadata,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("carried", sa.JSON),  # the numbers of the request's identifiers in it; none: it is not known
    sa.Column("whole", sa.Boolean, nullable=False, server_default=sa.false()),  # a file of it went as a whole
)
"""The hashes of contents that a request has removed, until it is known who else has them."""

erasure_delivery = sa.Table(
    "erasure_delivery",
    metadata,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("transfer", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),  # of the transfer, and its remote; empty: to /download
    sa.Column("remote", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),  # as its recipient knows it; emptied with its notice
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("notice", sa.Text),  # that tells of it
)
"""The deliveries of files in which a deletion request found the person."""

erasure_notice = sa.Table(
    "erasure_notice",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # that of the order
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("remote", sa.Text, nullable=False),  # empty: who logs in to us
    sa.Column("files", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # made | delivered | acknowledged
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("due_at", Instant, nullable=False),  # by when it is to be acknowledged
    sa.Column("delivered_at", Instant),
    sa.Column("acknowledged_at", Instant),
    sa.Column("content", sa.LargeBinary),  # the order; emptied once it is delivered
    sa.Column("signature", sa.LargeBinary),
    sa.Column("fault", sa.Text),  # why it could not be delivered when that was last tried
    sa.Column("told_at", Instant),  # that it is overdue
    sa.Column("withdrawn_at", Instant),  # when what lay here for its recipient was removed
    sa.Column("answer", sa.Text),  # certificate | partial | denied | told: by somebody here
    sa.Column("document", sa.LargeBinary),  # what the recipient answered
    sa.Index(None, "request"),
    sa.Index(None, "state"),
)
"""Notices to recipients that a person was erased here (GDPR 19), and how far each is."""

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
