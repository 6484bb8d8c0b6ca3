import subprocess
import sys
from pathlib import Path

import ledgers
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from sftpd.errors import LedgerError
from sftpd.ledger import database
from sftpd.ledger.database import migrate, open_engine
from sftpd.ledger.tables import metadata, outbox


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(ledgers.url(tmp_path / "ledger.db", empty=True))
    migrate(engine)
    yield engine
    engine.dispose()


def changes(engine):
    """What a change of the schema makes another: SQLite's version of it, PostgreSQL's next transaction."""
    query = (
        "PRAGMA schema_version" if ledgers.is_sqlite() else "SELECT pg_snapshot_xmax(pg_current_snapshot())"
    )
    with engine.connect() as conn:
        return conn.scalar(sa.text(query))


def default_differs(_context, _inspected, column, found, _wanted, rendered):
    """What Alembic asks PostgreSQL itself, which cannot compare JSON; None: it is to ask."""
    if found is None or not isinstance(column.type, sa.JSON):
        return None
    return found.partition("::")[0].strip("'") != rendered.strip("'")


def test_the_migrations_make_exactly_the_tables(engine):
    with engine.connect() as conn:
        context = MigrationContext.configure(
            conn, opts={"compare_type": True, "compare_server_default": default_differs}
        )
        assert compare_metadata(context, metadata) == []


def test_the_comparison_would_notice(engine):
    with engine.begin() as conn:
        conn.execute(sa.text("DROP INDEX ix_hold_link"))
        assert compare_metadata(MigrationContext.configure(conn), metadata) != []


def test_the_newest_version_is_the_last_migration():
    folder = Path(database.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == database.NEWEST


def test_a_second_opening_changes_nothing(engine):
    before = changes(engine)
    migrate(engine)
    assert changes(engine) == before


def test_events_never_get_a_number_again(engine):
    """The sequencer removes by number, so one that was removed must not come back."""
    with engine.begin() as conn:
        insert = outbox.insert().values(log="a", event="b", leaf=b"\0").returning(outbox.c.seq)
        first = conn.scalar(insert)
        conn.execute(sa.text("DELETE FROM outbox"))
        assert conn.scalar(insert) > first


def test_a_ledger_of_a_newer_sftpd_is_refused_in_words(engine):
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match=r"ledger.*9999.*run the newest sftpd"):
        migrate(engine)


@pytest.mark.sqlite
def test_what_is_no_database_is_refused_in_words(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 1000)
    engine = open_engine(ledgers.url(tmp_path / "ledger.db", empty=True))
    with pytest.raises(LedgerError, match="not a database"):
        migrate(engine)
    engine.dispose()


def test_of_two_that_make_the_schema_at_once_both_get_it(tmp_path):
    program = (
        "import sys; from sftpd.ledger.database import *; engine = open_engine(sys.argv[1]);"
        "sys.stdin.read(); migrate(engine)"
    )
    argv = [sys.executable, "-c", program, ledgers.url(tmp_path / "ledger.db", empty=True)]
    makers = [subprocess.Popen(argv, stdin=subprocess.PIPE) for _ in range(2)]
    for maker in makers:
        maker.stdin.close()
    assert [maker.wait() for maker in makers] == [0, 0]
