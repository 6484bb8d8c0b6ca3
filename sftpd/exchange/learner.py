"""What tries tell of whether another is worth it: of a remote, and of what is brought to it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from sftpd.clock import Clock
from sftpd.errors import RemoteAwayError
from sftpd.exchange.bell import Bell
from sftpd.exchange.circuit import Circuit, Phase
from sftpd.exchange.halts import Subject

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stopped:
    """That nothing is tried but now and then: since when, why, and when the next time is, where known."""

    since: datetime
    reason: str
    retry_at: datetime | None


class Learner:
    """Learns from tries whether another is worth it; for any thread."""

    says, takes_back = "", ""
    """What the log says when it is not for a while, and when it is again."""

    def __init__(self, subject: Subject, clock: Clock, bell: Bell) -> None:
        self.subject = subject
        self._clock = clock
        self._bell = bell
        self._lock = threading.RLock()
        self._circuit = Circuit()
        self._reason: str | None = None
        self._since: datetime | None = None
        """Since when another is not worth it but now and then."""

    def _require_ready(self, why: str) -> None:
        """Begin a try. Raises RemoteAwayError while it is not time."""
        with self._lock:
            if self._circuit.ready_at() > self._clock.monotonic():
                raise RemoteAwayError(
                    f"{why}: {self._reason or 'a first try is being made'}", where=str(self.subject)
                )
            self._circuit = self._circuit.begin()

    def _forget(self, circuit: Circuit) -> None:
        with self._lock:
            self._since = None
        self._learn(lambda _: circuit)

    def _retry_at(self, circuit: Circuit) -> datetime | None:
        if circuit.phase is not Phase.DOWN:
            return None
        return self._clock.now() + timedelta(seconds=circuit.retry_at - self._clock.monotonic())

    def _learn(self, lesson: Callable[[Circuit], Circuit], reason: str | None = None) -> None:
        with self._lock:
            before, self._circuit = self._circuit, lesson(self._circuit)
            after = self._circuit
            known, since = self._reason, self._since
            if after.failures == 0:
                self._reason = self._since = None
            else:
                self._reason = reason or known
            if after.phase is Phase.DOWN and since is None:
                self._since = self._clock.now()
        if after.phase is not before.phase:
            is_news = reason is not None and (since is None or reason != known)
            if after.phase is Phase.DOWN and is_news:
                _log.warning(self.says, reason=reason, failures=after.failures, **self._about())
            self._bell.ring()
        if since is not None and after == Circuit(Phase.UP):
            _log.info(self.takes_back, since=since.isoformat(), failures=before.failures, **self._about())

    def _about(self) -> dict[str, str]:
        return {"remote": str(self.subject)}

    def _stopped(self) -> Stopped | None:
        """Why it is not worth a try, if so; call it with the lock."""
        if self._since is None or self._circuit.phase is Phase.UP:
            return None
        return Stopped(self._since, self._reason or "", self._retry_at(self._circuit))
