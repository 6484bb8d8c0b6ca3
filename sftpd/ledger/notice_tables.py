"""The tables of the ledger for who is told of an erasure."""

import sqlalchemy as sa

from sftpd.ledger.schema import Instant, metadata

erasure_content = sa.Table(
    "erasure_content",
    metadata,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("carried", sa.JSON),  # the numbers of the request's identifiers in it; none: it is not known
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
