"""Where connections are let in or turned away: admission with a lock, a clock, the log and the audit log."""

import threading

import structlog

from sftpd.clock import Clock
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ssh.admission import Admission, Admitted, Reason, Refused, Rules, Source
from sftpd.ssh.penalties import Offence
from sftpd.ssh.tally import Tally

_log = structlog.get_logger()


class Reception:
    """Decides on connections, for all threads, and tells of those it turns away."""

    def __init__(self, rules: Rules, ledger: Ledger, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._admission = Admission(rules)
        self._refusals = Tally()
        self._displacements = Tally()
        self._refused = dict.fromkeys((reason.value for reason in Reason), 0)
        self._ledger = ledger
        self._clock = clock

    def receive(self, address: str) -> Admitted | None:
        """Decide on a new connection; None when it is refused, which is logged now and then."""
        source, now = Source.parse(address), self._clock.monotonic()
        with self._lock:
            decision = self._admission.knock(source, now)
            if isinstance(decision, Refused):
                count = self._refusals.count(source.address, now)
                self._refused[decision.reason.value] += 1
            else:
                count = self._displacements.count("all", now) if decision.displaced is not None else 0
        if isinstance(decision, Refused):
            if count:
                _log.warning("connection_refused", address=address, reason=decision.reason.value, count=count)
            return None
        if count:
            _log.warning("connections_displaced", count=count)
        return decision

    def refused(self) -> dict[str, int]:
        """How many connections were refused, by reason."""
        with self._lock:
            return dict(self._refused)

    def penalties(self) -> int:
        """How many sources have a penalty, enforced or not."""
        with self._lock:
            return self._admission.penalties(self._clock.monotonic())

    def log_in(self, number: int) -> bool:
        """Whether a connection may log in; when not, it is about to be ended."""
        with self._lock:
            return self._admission.log_in(number)

    def leave(self, number: int, offence: Offence | None) -> None:
        """A connection has ended; an event is recorded when its source is refused from now on."""
        now = self._clock.monotonic()
        with self._lock:
            source = self._admission.leave(number, offence, now)
        if source is None or offence is None:
            return
        _log.warning("penalty_begun", source=str(source.address), offence=offence.value)
        public = {"reason": Reason.PENALTY.value, "offence": offence.value}
        event = Event("session.refused", None, public, {"address": str(source.address)})
        self._ledger.defer(lambda unit: unit.record(event))
