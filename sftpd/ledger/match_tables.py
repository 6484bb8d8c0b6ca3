"""The tables of the ledger for records that may be a person's: emptied of a request when it is closed."""

import sqlalchemy as sa

from sftpd.ledger.tables import metadata

match = sa.Table(
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

decision = sa.Table(
    "erasure_decision",
    metadata,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("match", sa.Text, primary_key=True),
    sa.Column("remove", sa.Boolean, nullable=False),
)
"""What was decided on possible matches, also of plans before this one."""
