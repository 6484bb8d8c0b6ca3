"""What can become of a file on its way, and one run of it in which a process dies at a crash point."""

import contextlib
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import leaks
from daemon import Daemon, holds
from faults_crossing import CROSSINGS, PATIENCE, Upload, contents
from faults_points import PASSED, REACHED, Order, trace_environment
from faults_reckoning import BLOCKED, DELIVERED, FAILED, VANISHED, Reckoning, reckon

from sftpd.exchange.transfer import TransferState

_HERE = Path(__file__).parent
_LAST_EVENTS = 2.0
"""Seconds after which the events of what is done are in the log too."""
_SLOW = "#!/bin/sh\nsleep 0.5\n"
S = TransferState
_GIVEN_UP = frozenset({S.SENDING, S.WAITING, S.FAILING, S.FAILED})
_SENT = frozenset({S.SENDING, S.PLACING, S.PLACED, S.DONE})
_TAKEN_IN = frozenset({S.PLACING, S.DONE})
_HELD_BACK = frozenset({S.QUARANTINING, S.QUARANTINED})


@dataclass(frozen=True)
class Course:
    """A way to an end: the flow, what happens on the way, and every state that is passed."""

    flow: str
    happens: str
    states: frozenset[TransferState]
    end: TransferState = DELIVERED
    lines: tuple[str, ...] = ()
    """Further lines of the route."""

    def __str__(self) -> str:
        return f"{self.flow}-{self.happens}"


COURSES = (
    Course("remote", "delivered", _SENT),
    Course("download", "delivered", _SENT),
    Course("upload", "delivered", _TAKEN_IN),
    Course("pull", "delivered", _TAKEN_IN),
    Course("remote", "late", _SENT | {S.WAITING}),
    Course("remote", "given up", _GIVEN_UP, FAILED, ("attempts = 2",)),
    Course("remote", "gone", frozenset({S.SENDING, S.WAITING, S.VANISHED}), VANISHED),
    Course("remote", "blocked", _HELD_BACK, BLOCKED),
    Course("download", "blocked", _HELD_BACK, BLOCKED),
    Course("upload", "blocked", _HELD_BACK, BLOCKED),
    Course("pull", "blocked", _HELD_BACK, BLOCKED),
    Course("upload", "screened long", _TAKEN_IN | {S.SCREENING}),
)  # fmt: skip
"""Every flow as it should go, and what else becomes of a file."""


class Runs:
    """One run after another of a course, in one instance, with files of other names."""

    def __init__(self, course: Course, folder: Path) -> None:
        self.course = course
        self.crossing = CROSSINGS[course.flow](folder, *course.lines)
        self._numbers = iter(range(1, 1_000_000))
        if course.happens == "screened long":
            self.daemon.configure("screening", "acknowledge_within = 0")
            self.daemon.add_hook("pre-receive", "slow", _SLOW)

    @property
    def daemon(self) -> Daemon:
        """The instance."""
        return self.crossing.daemon

    def __enter__(self) -> "Runs":
        self.crossing.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.crossing.__exit__()

    def points(self) -> "Counter[str]":
        """How often each point is passed when nobody dies, in the first run and in later ones."""
        return self._trace() & self._trace()

    def _trace(self) -> "Counter[str]":
        before = len(self.daemon.log)
        names = self._set_out()
        self._launch(trace_environment())
        self._go(lambda: False)
        self.crossing.settle()
        assert self._reckoned(names).faults == []
        self._end()
        return Counter(re.findall(rf"^{PASSED}(.*)$", self.daemon.log[before:], re.MULTILINE))

    def crash(self, order: Order) -> "Reckoning | None":
        """Run with a death at the point, then as usual until all is done; None: it never came there."""
        before = len(self.daemon.log)
        names = self._set_out()
        self._launch(order.environment())

        def struck() -> bool:
            return REACHED in self.daemon.log[before:]

        self._go(struck)
        holds(lambda: struck() or self.crossing.is_idle(), PATIENCE)
        reached = holds(struck, _LAST_EVENTS)
        if order.act == "stop":
            self._end()
        elif order.point.startswith("monitor"):
            holds(lambda: not self.daemon.runs)
        self.crossing.shore.look()
        if self.crossing.server is not None and self.course.happens != "given up":
            self._restore_server()
        if not self.daemon.runs:
            self._end()
            self.daemon.start()
        self.crossing.again()
        self.crossing.settle()
        reckoning = self._reckoned(names)
        self._end()
        self._restore_server()
        return reckoning if reached or reckoning.faults else None

    def _set_out(self) -> list[str]:
        number = next(self._numbers)
        suffix = ".exe" if self.course.end is BLOCKED else ".csv"
        files = contents(self.crossing, f"run{number:04}", suffix)
        if isinstance(self.crossing, Upload):
            self.crossing.resumes = self.course.end is not BLOCKED
        if self.course.happens in ("late", "gone", "given up"):
            assert self.crossing.server is not None
            self.crossing.server.kill()
        self.crossing.put(files)
        return sorted(files)

    def _launch(self, environment: dict[str, str]) -> None:
        before = len(self.daemon.log)
        here = {"PYTHONPATH": str(_HERE), **environment}
        self.daemon.launch(sys.executable, _HERE / "faults_launch.py", environment=here)
        started = holds(lambda: " serves " in self.daemon.log[before:] or not self.daemon.runs, PATIENCE)
        assert started, self.daemon.log[before:]

    def _go(self, struck: Callable[[], bool]) -> None:
        """What happens on the way, as long as nobody has died."""
        if self.daemon.runs and not struck():
            self.crossing.begin()
        if self.course.happens in ("late", "gone"):
            holds(lambda: struck() or self._waiting(), PATIENCE)
            if self.course.happens == "gone":
                for path in self.crossing.left():
                    os.unlink(path)
            self._restore_server()

    def _waiting(self) -> bool:
        """Whether all that was dropped is known and waits for the remote."""
        rows = self.crossing.rows("SELECT id FROM transfer WHERE state = ?", S.WAITING)
        return len(rows) == len(self.crossing.left()) > 0

    def _restore_server(self) -> None:
        server = self.crossing.server
        if server is not None and not server.runs:
            server.start()

    def _end(self) -> None:
        """SIGKILL to all of sftpd, a child that stands still too."""
        if self.daemon.runs:
            for pid in (self.daemon.pid, *leaks.processes(self.daemon.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.daemon.kill()

    def _reckoned(self, names: list[str]) -> Reckoning:
        return reckon(self.crossing, names, self.course.end)
