"""How an instance's state stands to its erasure ledger, looked at from outside, for `sftpd check`."""

from urllib.parse import quote

import sqlalchemy as sa

from sftpd.config.load import Config
from sftpd.erasure.erasures import WHERE_LOST, Standing, look
from sftpd.ledger import tables


def erasure_fault(config: Config) -> str | None:
    """What is wrong between the two, in a line; None where nothing is, or the state has never heard of one.

    A ledger in another database than a file is not asked. Raises nothing for what is not there yet.
    """
    about, path = config.instance.about, config.instance.erasure_ledger
    database = about.state / "ledger.db"
    if about.ledger is not None or not database.is_file():
        return None
    # Whoever looks may not leave files of theirs beside it. Without a log of writes it is closed and stays as
    # it is.
    how = "mode=ro" if database.with_name("ledger.db-wal").exists() else "immutable=1"
    engine = sa.create_engine(f"sqlite:///file:{quote(str(database))}?{how}&uri=true")
    try:
        with engine.connect() as conn:
            if not sa.inspect(conn).has_table(tables.erasure_epoch.name):
                return None
            found = look(conn, path)
    except (sa.exc.DBAPIError, OSError) as error:
        return f"{path}: cannot be compared with the state: {error}"
    finally:
        engine.dispose()
    match found.standing:
        case Standing.LOST:
            return f"{path}: the erasure ledger {found.fault}; {WHERE_LOST}"
        case Standing.BEHIND:
            return f"{path}: the state is older than the erasure ledger; run sftpd erasure replay"
    return None
