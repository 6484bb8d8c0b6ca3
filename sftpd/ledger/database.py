"""Opening the ledger's database: driver settings, migrations, connections for readers."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from sftpd.errors import LedgerError
from sftpd.ledger.statement import Statement

NEWEST = "0025"
"""The newest version of the schema, as its migration names it."""

T = TypeVar("T")

_QUERY_LIMIT = 500
"""Values that one query names."""

_VERSION = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.Text))
"""Where Alembic keeps the version."""
_LOCK = "SELECT pg_advisory_xact_lock(1935766640)"
"""Waits until no other writer is in a transaction of the same database; the number is ours alone."""
_BEGIN_WRITING = {
    "sqlite": Statement(sa.text("BEGIN IMMEDIATE")),
    "postgresql": Statement(sa.text(f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LOCK}")),
}
_CLAIM = "SELECT pg_try_advisory_lock(1935766641)"
"""Whether this session, and none of another daemon, may write from now on and for as long as it lasts."""
_CLAIM_PATIENCE = 3.0
"""Seconds to wait for a daemon that is on its way out."""
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""libpq would wait a quarter of an hour for a server whose machine is gone; the URL may say otherwise."""
_NOTICES_US_GONE = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
"""Else the session of a daemon whose machine is gone would keep its claim for hours."""
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(url: str) -> sa.Engine:
    """Connect to the database at `url` and set it up for durable commits.

    SQLite runs in WAL mode with `synchronous=FULL`, PostgreSQL with `synchronous_commit`: a commit that was
    answered survives power loss. A reader's transaction sees one state of the database.
    """
    if sa.make_url(url).get_backend_name() == "postgresql":
        asked = sa.make_url(url).query
        patience = {name: value for name, value in _PATIENCE.items() if name not in asked}
        engine = sa.create_engine(
            url, isolation_level="REPEATABLE READ", pool_pre_ping=True, connect_args=patience
        )
        sa.event.listen(engine, "connect", _prepare_postgresql)
        sa.event.listen(engine, "begin", _begin_postgresql)
        return engine
    engine = sa.create_engine(url)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def for_writing(engine: sa.Engine) -> sa.Engine:
    """The same database, where each transaction is a writer's from its beginning.

    A SQLite transaction that reads first cannot turn into a writer once another process has written. On
    PostgreSQL a writer waits for others as well, and then sees what they committed: what a unit of work read
    holds until it is committed, on however many machines others are at work.
    """
    writing = engine.execution_options(begin_writing=True)
    if engine.dialect.name == "postgresql":
        return writing.execution_options(isolation_level="READ COMMITTED")
    return writing


def connect_by_hand(engine: sa.Engine) -> tuple[sa.Connection, Statement]:
    """A connection whose transactions are begun and ended by statements, and the one that begins a writer's.

    SQLAlchemy's own bookkeeping of a transaction takes longer than a small one does.
    """
    conn = engine.execution_options(isolation_level="AUTOCOMMIT", begins_by_hand=True).connect()
    conn.detach()
    return conn, _BEGIN_WRITING[engine.dialect.name]


def claim(conn: sa.Connection) -> None:
    """Have this connection alone write, among those that claim the database, until it is closed.

    What an instance knows in memory, and the audit logs in its state, allow no second daemon. Raises
    LedgerError where another has it. SQLite needs none of this: who has its folder has it.
    """
    if conn.dialect.name != "postgresql":
        return
    conn.exec_driver_sql(_NOTICES_US_GONE)
    deadline = time.monotonic() + _CLAIM_PATIENCE
    while not conn.exec_driver_sql(_CLAIM).scalar():
        if time.monotonic() > deadline:
            raise LedgerError(
                "another sftpd has this ledger open",
                where=_place(conn.engine),
                remedy="stop it first: one daemon at a time works on a ledger",
            )
        time.sleep(0.05)


def is_gone(connection: PoolProxiedConnection) -> bool:
    """Whether the database ended a connection, as a server does that is started anew."""
    return bool(getattr(connection.dbapi_connection, "closed", False))


def migrate(engine: sa.Engine) -> None:
    """Bring the schema to the newest version.

    Raises LedgerError when the database was written by a newer sftpd, cannot be reached or cannot be changed.
    """
    try:
        revision = _revision(engine)
    except Exception as error:
        raise fault_of(engine, "the ledger cannot be opened", error) from error
    if revision is not None and revision > NEWEST:
        raise LedgerError(
            f"a newer sftpd has the ledger: its schema is {revision}, and that of this one {NEWEST}",
            where=_place(engine),
            remedy="run the newest sftpd, or restore a backup that belongs to this version",
        )
    try:
        if revision != NEWEST:
            _upgrade(engine)
    except Exception as error:
        raise fault_of(engine, "could not bring the schema up to date", error) from error


def fault_of(engine: sa.Engine, what: str, error: BaseException) -> LedgerError:
    """What an error of the database is for whoever runs the daemon."""
    # The drivers' own text goes over several lines, SQLAlchemy's ends in a link to its manual.
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    server = "see that the database server runs and lets us in, and instance.ledger in the configuration"
    return LedgerError(
        f"{what}: {' '.join(str(cause).split())}",
        where=_place(engine),
        remedy=server if engine.dialect.name == "postgresql" else "check the disk that holds the ledger",
    )


def _place(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _revision(engine: sa.Engine) -> str | None:
    """The version of the schema, None where there is none yet."""
    with engine.connect() as conn:
        if not sa.inspect(conn).has_table(_VERSION.name):
            return None
        revision: str | None = conn.scalar(sa.select(_VERSION.c.version_num))
        return revision


def _upgrade(engine: sa.Engine) -> None:
    # Alembic takes a tenth of a second to load, which every command would pay.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with for_writing(engine).begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "head")


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # The driver would begin transactions on its own terms; BEGIN is ours to send (see _begin_sqlite).
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "busy_timeout=30000",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",  # what an erasure removes shall not be read from the file's free pages
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if options.get("begins_by_hand", False):
        return
    writing = options.get("begin_writing", False)
    cursor = connection.connection.cursor()
    cursor.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
    cursor.close()


def _prepare_postgresql(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(_DURABLE)
    cursor.close()
    connection.commit()


def _begin_postgresql(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("begin_writing", False):
        cursor = connection.connection.cursor()
        cursor.execute(_LOCK)
        cursor.close()


def in_parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in parts, each of as many as one query should name."""
    for start in range(0, len(values), _QUERY_LIMIT):
        yield values[start : start + _QUERY_LIMIT]
