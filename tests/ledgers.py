"""Where the ledgers of tests lie: SQLite, or databases of a PostgreSQL server that is started for them."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sftpd.ledger.database import migrate, open_engine

if TYPE_CHECKING:
    from postgresql_server import Server

_current: "Server | None" = None
_FOLDER = "LEDGERS_OF_TESTS"
"""The variable that names the server's folder to the processes that a test starts."""


@contextlib.contextmanager
def kept_in(server: "Server") -> Iterator[None]:
    """Ledgers are databases of `server` until the context ends."""
    global _current  # noqa: PLW0603  # what a test's scenes open, wherever they are made
    _current = server
    os.environ[_FOLDER] = str(server.folder)
    try:
        yield
    finally:
        _current = None
        del os.environ[_FOLDER]
        server.forget()


def is_sqlite() -> bool:
    return _current is None


def url(path: Path, *, empty: bool = False) -> str:
    """The URL of the ledger at `path`, in the database that the test is run on.

    It has its schema unless it is to be made `empty`.
    """
    if _current is not None:
        return _current.url(path, empty=empty)
    if _FOLDER in os.environ:
        from postgresql_server import url_in

        return url_in(Path(os.environ[_FOLDER]), path)
    if not (empty or path.exists()):
        path.write_bytes(_with_schema())
    return f"sqlite:///{path}"


def copied(path: Path, copy: Path) -> None:
    """Have the ledger at `path`, which nobody has open, at `copy` too; a file was copied with its folder."""
    if _current is not None:
        _current.copy(path, copy)


@cache
def _with_schema() -> bytes:
    """A database with its schema; to make it anew for each test would take most of their time."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{folder}/ledger.db")
        migrate(engine)
        engine.dispose()
        return (Path(folder) / "ledger.db").read_bytes()
