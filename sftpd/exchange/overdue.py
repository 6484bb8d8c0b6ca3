"""Files that are not ready for too long: known to the audit log, the log, metrics and `status`.

What was told is not in the ledger: a restart begins anew, and then tells once more of what waits still.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from sftpd.clock import Clock
from sftpd.exchange.records import Parts, text
from sftpd.exchange.waits import NAMED, Reason, Standing, Telling, Waits
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

_log = structlog.get_logger()


class RouteWaits:
    """The files of one route that wait, for any thread: `Waits` behind a lock."""

    def __init__(self, after: float) -> None:
        self._lock = threading.Lock()
        self._waits = Waits(after)

    def see(
        self, path: Parts, reason: Reason | None, now: float, quiet: float = 0.0, mark: object = None
    ) -> bool:
        """As Waits.see."""
        with self._lock:
            return self._waits.see(path, reason, now, quiet, mark)

    def end(self, path: Parts, reason: Reason | None = None) -> None:
        """As Waits.end."""
        with self._lock:
            self._waits.end(path, reason)

    def begin_round(self) -> None:
        """As Waits.begin_round."""
        with self._lock:
            self._waits.begin_round()

    def end_round(self) -> None:
        """As Waits.end_round."""
        with self._lock:
            self._waits.end_round()

    def adopt(self, after: float) -> None:
        """From now on, count what waits for so many seconds as overdue."""
        with self._lock:
            self._waits.after = after

    def standing(self) -> list[Standing]:
        """As Waits.standing."""
        with self._lock:
            return self._waits.standing()

    def tellings(self, now: float) -> list[Telling]:
        """As Waits.tellings."""
        with self._lock:
            return self._waits.tellings(now)

    def told(self, tellings: list[Telling], now: float) -> None:
        """As Waits.told."""
        with self._lock:
            self._waits.told(tellings, now)


@dataclass(frozen=True, slots=True)
class Overdue:
    """Files of one route that wait too long for one reason."""

    route: str
    reason: Reason
    files: int
    since: datetime
    paths: list[str]
    """The longest waiting of them."""


class LinkWaits:
    """The files that wait on each route of a link."""

    def __init__(
        self, link: str, ledger: Ledger, clock: Clock, after: dict[str, float], before: "LinkWaits | None"
    ) -> None:
        """`after`: when a file of each route is overdue; `before` is what this replaces, and it goes on."""
        self._link = link
        self._ledger = ledger
        self._clock = clock
        known: Mapping[str, RouteWaits] = {} if before is None else before.routes
        self.routes: dict[str, RouteWaits] = {
            route: known.get(route) or RouteWaits(seconds) for route, seconds in after.items()
        }
        for route, seconds in after.items():
            self.routes[route].adopt(seconds)

    def overdue(self) -> Iterator[Overdue]:
        """What is overdue now, by route and reason."""
        for route, waits in self.routes.items():
            for one in waits.standing():
                yield Overdue(route, one.reason, one.files, self._civil(one.since), _texts(one.paths))

    def tell(self) -> None:
        """Tell what is to be told. Raises LedgerError, and then it is told at the next call."""
        for route, waits in self.routes.items():
            now = self._clock.monotonic()
            tellings = waits.tellings(now)
            if not tellings:
                continue
            events = [self._event(route, telling) for telling in tellings]
            self._ledger.write(partial(_record, events))
            waits.told(tellings, now)
            for event in events:
                if event.type == "waiting.overdue":
                    _log.warning("files_overdue", link=self._link, **event.public, **event.private)

    def _event(self, route: str, telling: Telling) -> Event:
        public: dict[str, object] = {"route": route, "reason": telling.reason.value}
        if telling.about == "ended":
            return Event("waiting.ended", self._link, public)
        new = len(telling.paths)
        public |= {"files": telling.files, "new": new, "since": self._civil(telling.since).isoformat()}
        return Event("waiting.overdue", self._link, public, {"paths": _texts(telling.paths[:NAMED])})

    def _civil(self, at: float) -> datetime:
        return self._clock.now() - timedelta(seconds=self._clock.monotonic() - at)


def _record(events: list[Event], unit: Unit) -> None:
    unit.record_all(events)


def _texts(paths: Iterable[Parts]) -> list[str]:
    return [text(path) or "." for path in paths]
