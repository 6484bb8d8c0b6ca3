"""The tables of the ledger for what comes with deletion requests: orders, and what was told of terms."""

import sqlalchemy as sa

from sftpd.ledger.tables import Instant, metadata

order = sa.Table(
    "erasure_order",
    metadata,
    sa.Column("transfer", sa.Text, primary_key=True),  # of the order's file
    sa.Column("signature", sa.Text, primary_key=True),  # the transfer of its signature
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("taken_at", Instant, nullable=False),
    sa.Column("name", sa.Text),  # the counterparty's for the order; none: it is no order
    sa.Column("digest", sa.Text),  # keyed, of its content
    sa.Column("request", sa.Text),  # none: it was refused
    sa.Column("reason", sa.Text),  # why: its code
    sa.Column("text", sa.Text),  # and in words; of an accepted order the sender's reason, until it is settled
    sa.Column("answer", sa.Text),  # the one that the counterparty has had last
    sa.Column("settled", sa.Boolean, nullable=False),  # whether that was the last one
    sa.Index(None, "link", "name"),
    sa.Index(None, "settled"),
)
"""The orders that counterparties have dropped, each file and signature once, and how far each is answered."""

reminder = sa.Table(
    "erasure_reminder",
    metadata,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("due", Instant, primary_key=True),
    sa.Column("about", sa.Text, primary_key=True),  # overdue, or how long before it is due
    sa.Column("told_at", Instant, nullable=False),
)
"""What has been told of the ends of terms; a term that was moved is told of again."""
