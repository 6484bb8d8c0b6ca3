"""Expected files: the ledger knows how each expectation stands, and the audit log is told of each once.

To look is one unit of work: what it tells, and that it was told, is committed together, and every file that
was received before it has been seen.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sftpd.exchange.expectation import Stand, Standing, Telling, advance, begin, is_ahead, is_due
from sftpd.exchange.offered import matches
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link.lifecycle import LinkState
from sftpd.link.model import Expectation

_row, _file, _transfer, _link = tables.expectation, tables.kept_file.c, tables.transfer.c, tables.link.c
_EXPECTING = (LinkState.ACTIVE, LinkState.SUSPENDED)
"""The states of a link in which its files are expected."""


class Expecting:
    """The expectations of all links; for any thread."""

    def __init__(self, expectations: Iterable[Expectation], ledger: Ledger) -> None:
        self.expectations = {(one.link, one.name): one for one in expectations}
        self._by_route: defaultdict[tuple[str | None, str], list[Expectation]] = defaultdict(list)
        for one in self.expectations.values():
            self._by_route[one.link, one.source].append(one)
        self._ledger = ledger
        self._lock = threading.Lock()
        self._quiet: set[tuple[str, str]] = set()
        """Those that no file can change now: they are met, or about to be looked at."""

    def start(self) -> None:
        """Forget what is expected no longer, and look at all the rest."""
        known = list(self.expectations)

        def work(unit: Unit) -> None:
            for link, name in unit.conn.execute(sa.select(_row.c.link, _row.c.name)).all():
                if (link, name) not in known:
                    unit.conn.execute(_row.delete().where(*_at(link, name)))

        self._ledger.write(work)
        for one in self.expectations.values():
            self.look(one)

    def concerned(self, event: Event) -> list[Expectation]:
        """The expectations that are to be looked at because of an event; each is named once until it is."""
        if event.type != "transfer.received" or event.public.get("folder") != "inbound":
            return []
        path = str(event.private.get("path", "")).encode()
        found = []
        for one in self._by_route.get((event.link, event.public["route"]), ()):
            key = (one.link, one.name)
            with self._lock:
                if key not in self._quiet and matches(one.glob, path):
                    self._quiet.add(key)
                    found.append(one)
        return found

    def look(self, expected: Expectation) -> None:
        """Tell what is to be told of an expectation now. Raises LedgerError."""
        key = (expected.link, expected.name)
        with self._lock:
            self._quiet.discard(key)  # before the look: a file that comes meanwhile has it looked at again
        stand = self._ledger.write(lambda unit: _look(unit, expected))
        if stand is not None and stand.standing is Standing.MET:
            with self._lock:
                self._quiet.add(key)


def standings(conn: sa.Connection) -> dict[str, dict[str, str]]:
    """How each expectation stands, by link and name: `{"demo/orders": {"state", "deadline"}}`."""
    rows = conn.execute(sa.select(_row).order_by(_row.c.link, _row.c.name))
    return {
        f"{row.link}/{row.name}": {"state": row.state, "deadline": row.deadline.isoformat()} for row in rows
    }


def missed_by_link(conn: sa.Connection) -> Mapping[str, int]:
    """How many expectations of each link stand at a deadline that was missed."""
    query = sa.select(_row.c.link, sa.func.count()).where(_row.c.state == Standing.MISSED)
    return {row[0]: row[1] for row in conn.execute(query.group_by(_row.c.link))}


def _look(unit: Unit, expected: Expectation) -> Stand | None:
    """Look within a transaction; returns how it stands now, None while the link expects nothing."""
    at = _at(expected.link, expected.name)
    state = unit.conn.scalar(sa.select(_link.state).where(_link.name == expected.link))
    if state not in _EXPECTING:
        unit.conn.execute(_row.delete().where(*at))
        return None
    known = _known(unit, expected)
    before = known or begin(expected, unit.now)
    if before.standing is Standing.MET and unit.now < before.deadline:
        return before
    after, tellings = advance(expected, before, _came(unit, expected, before.since), unit.now)
    values = {"deadline": after.deadline, "since": after.since, "state": after.standing}
    if known is None:
        unit.conn.execute(_row.insert().values(link=expected.link, name=expected.name, **values))
    elif after != known:
        unit.conn.execute(_row.update().where(*at).values(values))
    for telling in tellings:
        unit.record(_event(expected, telling))
    return after


def _known(unit: Unit, expected: Expectation) -> Stand | None:
    """How it stood; None also where its next deadline is none any more: configuration or clock changed."""
    at = _at(expected.link, expected.name)
    row = unit.conn.execute(sa.select(_row).where(*at)).first()
    if row is None:
        return None
    stand = Stand(row.deadline, row.since, Standing(row.state))
    is_next = is_due(expected, stand) and not is_ahead(expected, stand, unit.now)
    if stand.deadline > unit.now and not is_next:
        unit.conn.execute(_row.delete().where(*at))
        return None
    return stand


def _came(unit: Unit, expected: Expectation, since: datetime) -> list[datetime]:
    """When the files came that are expected, of those after `since`."""
    query = (
        sa.select(_file.received_at, _transfer.path)
        .join_from(tables.kept_file, tables.transfer, _transfer.id == _file.id)
        .where(
            _file.link == expected.link,
            _file.folder == "inbound",
            _file.received_at > since,
            _transfer.route == expected.source,
        )
        .order_by(_file.received_at)
    )
    return [moment for moment, path in unit.conn.execute(query) if matches(expected.glob, path)]


def _event(expected: Expectation, telling: Telling) -> Event:
    public: dict[str, Any] = {
        "expectation": expected.name,
        "route": expected.source,
        "deadline": telling.deadline.isoformat(),
    }
    if telling.came is not None:
        public |= {"came": telling.came.isoformat(), "arrival": "late" if telling.late else "in_time"}
    return Event(f"expectation.{telling.about}", expected.link, public)


def _at(link: str, name: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return (_row.c.link == link, _row.c.name == name)
