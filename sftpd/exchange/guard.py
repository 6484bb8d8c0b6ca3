"""Guards of remotes: nobody connects to one that is down, paused or has refused us, until it is time."""

import random
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import inf

import structlog

from sftpd.clock import Clock
from sftpd.errors import (
    HostKeyError,
    OwnFaultError,
    RefusedError,
    RemoteAwayError,
    RemoteError,
    RemoteFailedError,
    RemoteRefusedError,
)
from sftpd.exchange.bell import Bell
from sftpd.exchange.circuit import REFUSALS, Circuit, Phase, Room
from sftpd.exchange.halts import Cause, Halts, Subject
from sftpd.exchange.learner import Learner, Stopped
from sftpd.exchange.remote import Remote, Remotes
from sftpd.link.model import Backoff
from sftpd.link.model import Remote as ConfiguredRemote
from sftpd.names import RemoteName

_log = structlog.get_logger()


_TAKES = Circuit(Phase.UP)
"""What is thought of a remote at first: else a first file would go alone, however long it is."""


class RouteGuard(Learner):
    """Says whether a route's files may be brought to a remote: not while it takes none, as if full."""

    says, takes_back = "remote_takes_nothing", "remote_takes_again"

    def __init__(self, remote: "RemoteGuard", route: str, clock: Clock, bell: Bell) -> None:
        super().__init__(remote.subject, clock, bell)
        self._circuit = _TAKES
        self._remote = remote
        self._route = route

    def ready_at(self) -> float:
        """As of the remote, and not before the route is to try again."""
        return max(self._remote.ready_at(), self._circuit.ready_at())

    @contextmanager
    def tried(self, backoff: Backoff) -> Iterator[None]:
        """Try to bring some of its files.

        Raises RemoteAwayError while that is not to be tried, and what is raised within.
        """
        self._require_ready(f"it takes nothing of route {self._route} now")
        try:
            yield
        except RemoteFailedError as error:
            now, jitter = self._clock.monotonic(), random.random()
            self._learn(lambda circuit: circuit.asked().lost(now, backoff, jitter), str(error))
            raise
        except BaseException:
            self._learn(Circuit.abandoned)
            raise
        self._learn(Circuit.served)

    def takes(self) -> None:
        """It takes what is being tried, however long that is: others need not wait for its end."""
        self._learn(Circuit.asked)

    def waits(self) -> Stopped | None:
        """Why nothing is brought for a while; None where something may be."""
        with self._lock:
            return self._stopped()

    def revive(self) -> None:
        """Forget what went wrong."""
        self._forget(_TAKES)

    def _about(self) -> dict[str, str]:
        return super()._about() | {"route": self._route}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a remote stands for whoever wants to know."""

    state: Phase | Cause
    reason: str | None
    since: datetime | None
    """Since when it is halted, or down."""
    failures: int
    """In a row."""
    retry_at: datetime | None
    """While it is down: when it is tried again, once something is to be sent."""
    waiting: Mapping[str, Stopped]
    """The routes of which it takes nothing for a while."""
    at_once: int | None = None
    """How many connections it was found to take at once; None: as many as there were."""


class RemoteGuard(Learner):
    """Says whether a remote may be connected to."""

    says, takes_back = "remote_down", "remote_up"

    def __init__(self, subject: Subject, halts: Halts, clock: Clock, bell: Bell) -> None:
        super().__init__(subject, clock, bell)
        self._halts = halts
        self._routes: dict[str, RouteGuard] = {}
        self._room = Room()
        self._begun = 0
        """Connections that are lent, or being made."""
        self._lent = 0
        self._awaited = 0
        """How many wait for one that is given back."""
        self._given_back = threading.Condition(self._lock)
        self._used_at = -inf
        """When one was lent last."""

    def of_route(self, route: str) -> RouteGuard:
        """The guard of a route that brings files there."""
        with self._lock:
            if route not in self._routes:
                self._routes[route] = RouteGuard(self, route, self._clock, self._bell)
            return self._routes[route]

    def ready_at(self) -> float:
        """The monotonic time from which on a connection may be asked for; infinity: not before a ring."""
        if self._halts.of(self.subject):
            return inf
        if self._awaited and self._begun + self._awaited >= self._room.most:
            return inf
        return max(self._circuit.ready_at(), self._room.ready_at(self._begun))

    def standing(self) -> Standing:
        """How the remote stands."""
        with self._lock:
            circuit, reason, routes = self._circuit, self._reason, sorted(self._routes.items())
            stopped, retry_at = self._stopped(), self._retry_at(self._circuit)
            at_once = None if self._room.most == inf else int(self._room.most)
        waiting = {route: why for route, guard in routes if (why := guard.waits()) is not None}
        halt = self._halts.of(self.subject)
        if halt is not None:
            return Standing(halt.cause, halt.reason, halt.since, circuit.failures, None, waiting, at_once)
        since = None if stopped is None else stopped.since
        return Standing(circuit.phase, reason, since, circuit.failures, retry_at, waiting, at_once)

    def require_free(self) -> None:
        """Pass unless the remote is halted. Raises RemoteAwayError."""
        halt = self._halts.of(self.subject)
        if halt is not None:
            raise RemoteAwayError(
                f"it is {halt.cause}: {halt.reason}",
                where=str(self.subject),
                remedy=f"see `sftpd remote resume {self.subject.name}`",
            )

    @contextmanager
    def lent(
        self, remotes: Remotes, name: RemoteName, backoff: Backoff, patience: float = 0.0
    ) -> Iterator[Remote]:
        """A connection from `remotes`, if one may be asked for now.

        Where it takes no more at once, one is waited for, with so many seconds of `patience`.
        Raises RemoteAwayError, for whatever reason there is none, and what its use raises.
        """
        with self._counted(patience) as began, ExitStack() as given_back, ExitStack() as stack:
            try:
                remote = stack.enter_context(remotes.borrow(name))
            except BaseException as error:
                if not isinstance(error, RemoteError) or isinstance(error, OwnFaultError):
                    self._abandon()
                    raise
                if self._is_full(error, began, backoff):
                    raise self._too_many() from error
                self._missed(error, backoff)
                raise RemoteAwayError(str(error), tried=True) from error
            given_back.callback(self._used)
            self._reach()
            try:
                yield remote
            except (RemoteRefusedError, RemoteFailedError):
                self._learn(Circuit.served)
                raise
            except (RemoteAwayError, OwnFaultError):
                raise
            except RemoteError as error:
                reason = str(error)
                now = self._clock.monotonic()
                self._learn(lambda circuit: circuit.lost(now, backoff, random.random()), reason)
                raise
            self._learn(Circuit.served)

    @contextmanager
    def _counted(self, patience: float) -> Iterator[float]:
        """Begin a try, if it is time, and count it until it is over; gives the time of its begin."""
        self.require_free()
        with self._lock:
            self._await_room(patience)
            self._require_ready("it is not tried now")
            self._room = self._room.begin(self._begun)
            self._begun += 1
            began = self._clock.monotonic()
        try:
            yield began
        finally:
            with self._lock:
                self._begun -= 1
                has_room_again = self._begun < self._room.most <= self._begun + 1
                self._given_back.notify()
            if has_room_again:
                self._bell.ring()

    def _await_room(self, patience: float) -> None:
        """Wait for one that is given back, else see whether one more may be made. Raises RemoteAwayError."""
        if patience and self._begun >= self._room.most:
            self._awaited += 1
            try:
                self._given_back.wait_for(lambda: self._begun < self._room.most, patience)
            finally:
                self._awaited -= 1
        if self._room.ready_at(self._begun) > self._clock.monotonic():
            raise self._too_many()

    def _too_many(self) -> RemoteAwayError:
        return RemoteAwayError(
            f"it takes no more than {self._room.most:g} connections at once", where=str(self.subject)
        )

    def _abandon(self) -> None:
        with self._lock:
            self._room = self._room.abandoned()
        self._learn(Circuit.abandoned)

    def _reach(self) -> None:
        with self._lock:
            self._lent += 1
            self._used_at = self._clock.monotonic()
            self._room = self._room.reached(self._lent)
        self._learn(Circuit.reached)

    def _used(self) -> None:
        with self._lock:
            self._lent -= 1
            self._used_at = self._clock.monotonic()

    def _is_full(self, error: RemoteError, began: float, backoff: Backoff) -> bool:
        """Whether a connection failed because of others that we have there, as many servers limit them.

        One does not tell that from a login that it refuses for ever; but it has let the others in.
        """
        with self._lock:
            before = self._room
            if isinstance(error, HostKeyError) or not (self._lent or self._used_at >= began):
                self._room = Room()
                return False
            self._room = before.full(self._lent, self._clock.monotonic(), backoff, random.random())
            most = self._room.most
        self._learn(Circuit.abandoned)
        if most != before.most:
            _log.warning("remote_limits_connections", at_once=most, reason=str(error), **self._about())
        return True

    def _missed(self, error: RemoteError, backoff: Backoff) -> None:
        now, jitter = self._clock.monotonic(), random.random()
        if not isinstance(error, RemoteRefusedError):
            self._learn(lambda circuit: circuit.unreachable(now, backoff, jitter), str(error))
            return
        with self._lock:
            refusals = self._circuit.refusals + 1
            suspend = isinstance(error, HostKeyError) or refusals >= REFUSALS
            if suspend:  # nobody may try while that is being recorded
                self._circuit = self._circuit.closed()
        try:
            if suspend:
                said = str(error)
                self._suspend(said if refusals < REFUSALS else f"{refusals} logins in a row failed: {said}")
        finally:
            self._learn(lambda circuit: circuit.refused(now, backoff, jitter), str(error))

    def _suspend(self, reason: str) -> None:
        try:
            self._halts.suspend(self.subject, reason)
        except RefusedError:
            return  # somebody has halted it meanwhile
        _log.error("remote_suspended", remote=str(self.subject), reason=reason)

    def revive(self) -> None:
        """Forget what went wrong: whoever has the remote resumed wants it tried at once."""
        self._forget(Circuit())
        with self._lock:
            self._room = Room()
            routes = [*self._routes.values()]
        for route in routes:
            route.revive()


class Guards:
    """The guards of an instance's remotes; what they have learnt outlives a reload."""

    def __init__(self, halts: Halts, clock: Clock, bell: Bell) -> None:
        self._halts = halts
        self._clock = clock
        self._bell = bell
        self._lock = threading.Lock()
        self._guards: dict[Subject, RemoteGuard] = {}
        self._configured: Mapping[Subject, ConfiguredRemote] = {}

    def adopt(self, remotes: Iterable[ConfiguredRemote]) -> None:
        """Go by this configuration: a remote that is another by it is tried at once, others are forgotten."""
        before = self._configured
        self._configured = {Subject(remote.link, "remote", remote.name): remote for remote in remotes}
        with self._lock:
            for subject in self._guards.keys() - self._configured.keys():
                del self._guards[subject]
            others = [
                guard
                for subject, guard in self._guards.items()
                if before.get(subject) not in (None, self._configured[subject])
            ]
        for guard in others:
            guard.revive()

    def of(self, link: str, remote: RemoteName) -> RemoteGuard:
        """The guard of a remote."""
        subject = Subject(link, "remote", remote)
        with self._lock:
            if subject not in self._guards:
                self._guards[subject] = RemoteGuard(subject, self._halts, self._clock, self._bell)
            return self._guards[subject]
