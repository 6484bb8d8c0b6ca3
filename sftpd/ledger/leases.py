"""Leases: who may do what only one may do at a time, with an owner and an expiry."""

from datetime import timedelta

import sqlalchemy as sa

from sftpd.ledger import tables
from sftpd.ledger.writer import Unit


def acquire(unit: Unit, name: str, owner: str, period: timedelta) -> bool:
    """Take or renew the lease `name` for `period`; False while another owner has it.

    One that ends later than who takes it now could say, by a clock that is up to a period ahead of ours, is
    free: it was taken before the clock was set back.
    """
    lease = tables.lease
    is_over = sa.or_(lease.c.expires <= unit.now, lease.c.expires > unit.now + 2 * period)
    mine_or_free = sa.and_(lease.c.name == name, sa.or_(lease.c.owner == owner, is_over))
    terms = {"owner": owner, "expires": unit.now + period}
    if unit.conn.execute(lease.update().where(mine_or_free).values(terms)).rowcount:
        return True
    if unit.conn.scalar(sa.select(lease.c.name).where(lease.c.name == name)) is not None:
        return False
    unit.conn.execute(lease.insert().values(name=name, **terms))
    return True


def release(unit: Unit, name: str, owner: str) -> None:
    """Give the lease back, if `owner` has it."""
    lease = tables.lease.c
    unit.conn.execute(tables.lease.delete().where(lease.name == name, lease.owner == owner))
