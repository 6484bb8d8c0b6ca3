"""The links' states and acceptances in the ledger."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from sftpd.clock import Clock
from sftpd.errors import NotFoundError, RefusedError
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link import gate
from sftpd.link.lifecycle import LinkState, LinkStep, take
from sftpd.link.model import Link, Terms

_CHANGES = frozenset({"link.registered", "link.moved", "link.accepted"})


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a link, since when and why."""

    state: LinkState
    since: datetime
    reason: str | None


class LinkRegister:
    """Knows how each configured link stands and moves it through its life."""

    def __init__(self, links: Iterable[Link], ledger: Ledger, clock: Clock) -> None:
        self.links = {link.name: link for link in links}
        self._ledger = ledger
        self._clock = clock
        self._known: dict[tuple[str, Terms | None], tuple[LinkState, bool]] = {}
        """The state of a link and whether its terms are accepted, as it was read since the last change."""
        ledger.on_event(self._see)  # before all who then ask whether a link is open

    def adopt(self, links: Iterable[Link]) -> None:
        """Know these links from now on, and no other."""
        self.links = {link.name: link for link in links}
        self.enrol()

    def _see(self, event: Event) -> None:
        """Forget how links stood before they changed; who asks from now on is told the new."""
        if event.type in _CHANGES:
            self._known = {}

    def enrol(self) -> None:
        """Enter each configured link that the ledger does not know yet: its file in links.d registers it.

        A link without terms to accept is active at once.
        """
        self._ledger.write(self._enrol)

    def _enrol(self, unit: Unit) -> None:
        known = set(unit.conn.scalars(sa.select(tables.link.c.name)))
        for name in self.links.keys() - known:
            state = LinkState.REGISTERED if self.links[name].terms else LinkState.ACTIVE
            unit.conn.execute(tables.link.insert().values(name=name, state=state, since=unit.now))
            unit.record(Event("link.registered", name, {"state": state}))

    def get(self, name: str) -> Link:
        """The configured link of that name.

        Raises NotFoundError.
        """
        for known, link in self.links.items():
            if known == name:
                return link
        raise NotFoundError(
            f"no link {name!r}",
            expected="one of " + (", ".join(sorted(self.links)) or "none: links.d is empty"),
        )

    def require_known(self, name: str) -> None:
        """Pass for a link that is configured, or was: its log outlives its file. Raises NotFoundError."""
        with self._ledger.read() as conn:
            known = conn.scalar(sa.select(tables.link.c.name).where(tables.link.c.name == name))
        if known is None:
            self.get(name)

    def has_outbound(self, link: str, route: str) -> bool:
        """Whether a configured link has an outbound route of that name."""
        known = next((each for name, each in self.links.items() if name == link), None)
        return known is not None and any(each.name == route for each in known.leaving)

    def standing(self, name: str) -> Standing:
        """How the link stands."""
        with self._ledger.read() as conn:
            return _standing(conn, name)

    def require_open(self, name: str, *, going_back: bool = False) -> None:
        """Pass if the link may be used now, or if received files may go back over it.

        Raises NotOpenError with the reason.
        """
        link = self.get(name)
        state, accepted = self._read(name, link.terms)
        today = self._clock.now().astimezone(link.zone).date()
        gate.require_open(name, gate.Facts(state, link.terms, accepted, today, going_back))

    def _read(self, name: str, terms: Terms | None) -> tuple[LinkState, bool]:
        known = self._known  # another one after a change: nothing read before it is remembered after it
        if (name, terms) not in known:
            with self._ledger.read() as conn:
                accepted = terms is not None and _accepted(conn, name, terms)
                known[name, terms] = _standing(conn, name).state, accepted
        return known[name, terms]

    def move(
        self,
        name: str,
        step: LinkStep,
        *,
        by: str,
        reason: str | None = None,
        require: Callable[[sa.Connection], None] = lambda _: None,
    ) -> LinkState:
        """Take a step in the link's life and record it, if `require` lets it pass as things stand then.

        Raises RefusedError when the step is not possible from where the link stands, and what `require` does.
        """
        self.get(name)

        def work(unit: Unit) -> LinkState:
            after = take(_standing(unit.conn, name).state, step, name)
            require(unit.conn)
            row = tables.link.update().where(tables.link.c.name == name)
            unit.conn.execute(row.values(state=after, since=unit.now, reason=reason))
            unit.record(
                Event("link.moved", name, {"step": step, "state": after}, {"by": by, "reason": reason})
            )
            return after

        return self._ledger.write(work)

    def accept(self, name: str, *, by: str) -> Terms:
        """Record that the link's terms are accepted, and activate it if it was waiting for that.

        Raises RefusedError when the link has no terms.
        """
        terms = self.get(name).terms
        if terms is None:
            raise RefusedError("the link has no terms to accept", reason="NO_TERMS", where=f"link {name}")

        def work(unit: Unit) -> None:
            if _accepted(unit.conn, name, terms):
                return
            unit.conn.execute(
                tables.acceptance.insert().values(
                    link=name,
                    document=terms.document,
                    sha256=terms.sha256,
                    version=terms.version,
                    accepted_at=unit.now,
                    accepted_by=by,
                )
            )
            public = {"document": terms.document, "version": terms.version, "sha256": terms.sha256}
            unit.record(Event("link.accepted", name, public, {"by": by}))

        self._ledger.write(work)
        if self.standing(name).state is LinkState.REGISTERED:
            self.move(name, LinkStep.ACTIVATE, by=by)
        return terms


def _standing(conn: sa.Connection, name: str) -> Standing:
    link = tables.link.c
    row = conn.execute(sa.select(link.state, link.since, link.reason).where(link.name == name)).first()
    if row is None:
        raise _without_state(name)
    return Standing(LinkState(row.state), row.since, row.reason)


def _without_state(name: str) -> NotFoundError:
    return NotFoundError(f"link {name!r} has no state in the ledger", remedy="start the daemon once")


def _accepted(conn: sa.Connection, name: str, terms: Terms) -> bool:
    acceptance = tables.acceptance.c
    query = sa.select(acceptance.link).where(
        acceptance.link == name, acceptance.document == terms.document, acceptance.sha256 == terms.sha256
    )
    return conn.execute(query).first() is not None
