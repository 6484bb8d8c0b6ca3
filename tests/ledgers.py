"""Where the ledgers of tests lie: SQLite, or databases of a PostgreSQL server that is started for them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postgresql_server import Server

_current: "Server | None" = None


@contextlib.contextmanager
def kept_in(server: "Server") -> Iterator[None]:
    """Ledgers are databases of `server` until the context ends."""
    global _current  # noqa: PLW0603  # what a test's scenes open, wherever they are made
    _current = server
    try:
        yield
    finally:
        _current = None
        server.forget()


def is_sqlite() -> bool:
    return _current is None


def url(path: Path, *, empty: bool = False) -> str:
    """The URL of the ledger at `path`, in the database that the test is run on."""
    return f"sqlite:///{path}" if _current is None else _current.url(path, empty=empty)
