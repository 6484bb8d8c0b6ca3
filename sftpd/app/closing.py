"""Links that are being closed: what remains of each, and by when it is to be gone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from sftpd.app.ending import Remainder, remainder
from sftpd.app.instance import Instance
from sftpd.ledger.outbox import Event
from sftpd.link.lifecycle import LinkState

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Closing:
    """A link that was closed at `since`, and should be ended by `due`."""

    left: Remainder
    since: datetime
    due: datetime
    overdue: bool

    def as_json(self) -> dict[str, Any]:
        """As `sftpd status --json` has it, and the event that tells of it."""
        counts = {"files": self.left.files, "transfers": self.left.transfers, "requests": self.left.requests}
        return {
            "since": self.since.isoformat(),
            "due": self.due.isoformat(),
            "overdue": self.overdue,
            **counts,
        }


def closings(instance: Instance) -> Iterator[Closing]:
    """The configured links that are being closed, by name."""
    now = instance.clock.now()
    for name, link in sorted(instance.register.links.items()):
        standing, file = instance.register.standing(name), instance.config.link(name)
        if standing.state is not LinkState.CLOSING or file is None:
            continue
        due = file.about.end_within.due(standing.since, link.zone)
        with instance.ledger.read() as conn:
            left = remainder(conn, name)
        yield Closing(left, standing.since, due, now >= due)


def tell(instance: Instance) -> None:
    """Record of each what remains, and of one that is overdue that it is not ended. Raises LedgerError."""
    told = [one for one in closings(instance) if one.left or one.overdue]
    events = [Event("link.remains", one.left.link, one.as_json()) for one in told]
    if events:
        instance.ledger.write(lambda unit: unit.record_all(events))
    for one in told:
        log = _log.error if one.overdue else _log.warning
        log("link_remains", link=one.left.link, **one.as_json())
