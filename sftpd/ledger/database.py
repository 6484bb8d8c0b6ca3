"""Opening the ledger's database: driver settings, migrations, connections for readers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from sftpd.errors import LedgerError
from sftpd.ledger.statement import Statement

NEWEST = "0023"
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
        engine = sa.create_engine(url, isolation_level="REPEATABLE READ", pool_pre_ping=True)
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


def is_gone(connection: PoolProxiedConnection) -> bool:
    """Whether the database ended a connection, as a server does that is started anew."""
    return bool(getattr(connection.dbapi_connection, "closed", False))


def migrate(engine: sa.Engine) -> None:
    """Bring the schema to the newest version.

    Raises LedgerError when the database was written by a newer sftpd or cannot be changed.
    """
    try:
        if _revision(engine) != NEWEST:
            _upgrade(engine)
    except Exception as error:
        # SQLAlchemy's own text goes over several lines and ends in a link to its manual.
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        raise LedgerError(
            f"could not bring the schema up to date: {cause}",
            where=engine.url.render_as_string(hide_password=True),
            remedy="run the newest sftpd, or restore the ledger that belongs to this version",
        ) from error


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
