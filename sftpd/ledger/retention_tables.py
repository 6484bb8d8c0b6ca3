"""The tables of the ledger for retention: what it disposes of, who decides, and what keeps it from it."""

import sqlalchemy as sa

from sftpd.ledger.schema import Instant, metadata

disposal = sa.Table(
    "disposal",
    metadata,
    sa.Column("plan", sa.Text, primary_key=True),  # its hash; once it is run again also "#" and an id
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("path", sa.LargeBinary, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False, server_default="dispose"),  # dispose | return
    sa.Column("return_by", sa.Text),  # the route by which it goes back, if it is not offered in /download
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
    sa.Column("fetched_at", Instant),  # when an account had read it whole, or it was delivered
    sa.Column(
        "transfer", sa.Text
    ),  # that by which it goes to a remote, staying at its place; none: /download
    sa.Index(None, "transfer"),
)
"""The kept files that were given back to the partner: they wait to be fetched, or to be delivered."""

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

approval = sa.Table(
    "retention_approval",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("rules", sa.JSON, nullable=False),  # [[name, version], ...]
    sa.Column("files", sa.BigInteger),  # a run may take so many; none: any number
    sa.Column("until", Instant),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("given_by", sa.Text, nullable=False),
    sa.Column("given_at", Instant, nullable=False),
    sa.Column("withdrawn_by", sa.Text),  # also who gave the one that took its place
    sa.Column("withdrawn_at", Instant),
    sa.Index(None, "link"),
)
"""What scheduled runs may do without anybody looking; of a link at most one is not withdrawn."""

rule = sa.Table(
    "retention_rule",
    metadata,
    sa.Column("link", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
)
"""What each version of a rule was when it was first used, by the digest of what it says."""

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
