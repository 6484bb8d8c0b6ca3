"""How an instance's state stands to its configuration and erasure ledger, looked at from outside.

That is for `sftpd check`. A ledger in another database than a file is not asked.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import sqlalchemy as sa

from sftpd.app import rules
from sftpd.config.load import Config
from sftpd.erasure.erasures import WHERE_LOST, Standing, look
from sftpd.ledger import tables
from sftpd.link.folders import Folders

T = TypeVar("T")


def faults(config: Config) -> list[str]:
    """What is wrong between them, a line each. Raises nothing for what is not there yet."""
    return [*_erasure_faults(config), *_rule_faults(config), *folders_apart(config)]


def folders_apart(config: Config) -> Iterator[str]:
    """Folders of links between which no file can be moved: nothing would leave them, or come into them.

    A line each says which, and what to do.
    """
    for file in config.links:
        folders = Folders(config.instance.about.links / file.name)
        own = [path for name, path in folders.by_name().items() if name != "vault"]
        watched = [folders.root / route.folder for route in file.outbound]
        for path in dict.fromkeys(own + watched):
            if _device(path) not in (None, _device(folders.root)):
                yield f"{path}: lies on another file system, allowed: that of {folders.root}; mount it there"


def _device(folder: Path) -> int | None:
    """The file system that a folder is on; None where there is no folder."""
    try:
        return folder.stat().st_dev
    except (FileNotFoundError, NotADirectoryError):
        return None


def _erasure_faults(config: Config) -> list[str]:
    path = config.instance.erasure_ledger
    try:
        found = _asked(config, tables.erasure_epoch, lambda conn: look(conn, path))
    except (sa.exc.DBAPIError, OSError) as error:
        return [f"{path}: cannot be compared with the state: {error}"]
    if found is None:
        return []
    match found.standing:
        case Standing.LOST:
            return [f"{path}: the erasure ledger {found.fault}; {WHERE_LOST}"]
        case Standing.BEHIND:
            return [f"{path}: the state is older than the erasure ledger; run sftpd erasure replay"]
    return []


def _rule_faults(config: Config) -> list[str]:
    try:
        return _asked(config, tables.rule, lambda conn: rules.rule_faults(conn, config)) or []
    except (sa.exc.DBAPIError, OSError) as error:
        return [f"{_database(config)}: the retention rules cannot be compared with the ledger: {error}"]


def _asked(config: Config, table: sa.Table, ask: Callable[[sa.Connection], T]) -> T | None:
    """What the ledger answers; None where it is not there, is not asked, or has no such table yet."""
    database = _database(config)
    if config.instance.about.ledger is not None or not database.is_file():
        return None
    # Whoever looks may not leave files of theirs beside it. Without a log of writes it is closed and stays as
    # it is.
    how = "mode=ro" if database.with_name("ledger.db-wal").exists() else "immutable=1"
    engine = sa.create_engine(f"sqlite:///file:{quote(str(database))}?{how}&uri=true")
    try:
        with engine.connect() as conn:
            return ask(conn) if sa.inspect(conn).has_table(table.name) else None
    finally:
        engine.dispose()


def _database(config: Config) -> Path:
    return config.instance.about.state / "ledger.db"
