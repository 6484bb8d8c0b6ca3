"""What can become of a file on its way, and one run of it in which a process dies at a crash point."""

import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon import Daemon
from faults_crossing import CROSSINGS, PATIENCE, Upload, contents
from faults_disorder import frozen
from faults_points import PASSED, REACHED, Board, Order
from faults_reckoning import BLOCKED, DELIVERED, FAILED, SKIPPED, VANISHED, Reckoning, reckon
from waiting import holds

from sftpd.exchange.transfer import TransferState

_LAST_EVENTS = 2.0
"""Seconds after which the events of what is done are in the log too."""
_SLOW = "#!/bin/sh\nsleep 0.5\n"
S = TransferState
_GIVEN_UP = frozenset({S.SENDING, S.WAITING, S.FAILING, S.FAILED})
_SENT = frozenset({S.SENDING, S.PLACING, S.PLACED, S.DONE})
_TAKEN_IN = frozenset({S.PLACING, S.DONE})
_HELD_BACK = frozenset({S.QUARANTINING, S.QUARANTINED})
_SKIPPED = frozenset({S.SENDING, S.SKIPPING, S.SKIPPED})
_UNREACHED = ("late", "gone", "cancelled")
"""What happens where the remote is down at first."""
_OBSTRUCTED = ("given up", "sent again")
"""What happens where something is in the way at the remote."""


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
    Course("remote", "cancelled", _GIVEN_UP | {S.CANCELLED}, FAILED),
    Course("remote", "sent again", _SENT | _GIVEN_UP | {S.RETURNING}, DELIVERED, ("attempts = 2",)),
    Course("remote", "skipped", _SKIPPED, SKIPPED, ('conflict = "skip"',)),
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
        self._names: list[str] = []
        self._in_the_way: Path | None = None
        self._configured: str | None = None
        """The configuration of the link while it has another."""
        self._board = Board(folder / "board")
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
        self._board.close()

    def points(self, *, live: bool) -> "Counter[str]":
        """How often each point is passed when nobody dies, in every run; `live` as in `crash`."""
        return self._trace(live) & self._trace(live)

    def _trace(self, live: bool) -> "Counter[str]":
        mark = self.daemon.log_mark
        self._set_out(self._board.trace, live)
        self._go(lambda: False)
        self.crossing.settle()
        assert self._reckoned().faults == []
        self._board.wipe()
        return Counter(re.findall(rf"^{PASSED}(.*)$", self.daemon.log_after(mark), re.MULTILINE))

    def crash(self, order: Order, *, live: bool = True, twice: bool = False) -> "Reckoning | None":
        """Run with a death at the point, then as usual until all is done; None: it never came there.

        The files come while the daemon runs; unless `live`, they and the order are there when it starts. With
        `twice` whoever comes there in the next life dies too, in the midst of recovery.
        """
        struck = self._watched()
        self._set_out(lambda: self._board.order(order), live)
        self._go(struck)
        reached = self._obeyed(order, struck, self.crossing.is_idle)
        self.crossing.shore.look()
        self._make_way()
        if twice and not self.daemon.runs:
            self._die_again(order)
        if not self.daemon.runs:
            self.crossing.end()
            self._launch()
        self._order_again()
        self.crossing.again()
        self.crossing.settle()
        reckoning = self._reckoned()
        return reckoning if reached or reckoning.faults else None

    def _die_again(self, order: Order) -> None:
        self.crossing.end()
        struck = self._watched()
        self._board.order(order)
        self._launch()
        self._obeyed(order, struck, lambda: not self.crossing.unfinished())

    def _watched(self) -> Callable[[], bool]:
        """Asks whether an order was obeyed since now."""
        mark = self.daemon.log_mark
        return lambda: REACHED in self.daemon.log_after(mark)

    def _obeyed(self, order: Order, struck: Callable[[], bool], done: Callable[[], bool]) -> bool:
        """Wait until somebody has died or all is done, and say which."""
        holds(lambda: struck() or done(), PATIENCE)
        reached = holds(struck, _LAST_EVENTS)
        if order.act == "stop":
            self.crossing.end()
        elif reached and order.point.startswith("monitor"):
            holds(lambda: not self.daemon.runs)
        self._board.wipe()
        return reached

    def _set_out(self, board: Callable[[], None], live: bool) -> None:
        """Have two files on their way as soon as the board says what is to happen."""
        if not live:
            self.crossing.end()
            self._depart()
            board()
            self._launch()
            return
        if not self.daemon.runs:
            self._launch()
        with frozen(self.daemon.pid):
            self._depart()
            board()

    def _depart(self) -> None:
        number = next(self._numbers)
        suffix = ".exe" if self.course.end is BLOCKED else ".csv"
        files = contents(self.crossing, f"run{number:04}", suffix)
        if isinstance(self.crossing, Upload):
            self.crossing.resumes = self.course.end is not BLOCKED
        self._obstruct(sorted(files))
        self.crossing.put(files)

    def _launch(self) -> None:
        mark = self.daemon.log_mark
        self.daemon.launch(environment=self._board.environment)
        started = holds(lambda: " serves " in self.daemon.log_after(mark) or not self.daemon.runs, PATIENCE)
        assert started, self.daemon.log_after(mark)

    def _go(self, struck: Callable[[], bool]) -> None:
        """What happens on the way, as long as nobody has died."""
        if self.daemon.runs and not struck():
            self.crossing.begin()
        if self.course.happens in _UNREACHED:
            holds(lambda: struck() or self._known(S.WAITING), PATIENCE)
            if self.course.happens == "gone":
                for path in self.crossing.left():
                    os.unlink(path)
            if self.course.happens == "cancelled":
                self._without_its_route(struck)
            else:
                self._make_way()
        if self.course.happens == "sent again":
            holds(lambda: struck() or (self._known(S.FAILED) and not self.crossing.unfinished()), PATIENCE)
            if not struck():
                self._make_way()
                self._order_again()

    def _without_its_route(self, struck: Callable[[], bool]) -> None:
        """Have an operator cancel what waits while its route is not configured, and then put that back."""
        self._configured = self.daemon.link_config.read_text()
        head, _, tail = self._configured.partition("[[route]]")
        self.daemon.link_config.write_text(head + tail[tail.index("[[retention]]") :])
        self._reload(struck)
        self._cancel(struck)
        self._make_way()
        self._reload(struck)

    def _reload(self, struck: Callable[[], bool]) -> None:
        mark = self.daemon.log_mark
        if self.daemon.runs and not struck():
            os.kill(self.daemon.pid, signal.SIGHUP)
            holds(lambda: struck() or " reloaded " in self.daemon.log_after(mark), PATIENCE)

    def _cancel(self, struck: Callable[[], bool] = lambda: False) -> None:
        for row in self._own_rows():
            if row["state"] in (S.SENDING, S.WAITING) and self.daemon.runs and not struck():
                self.daemon.cli("transfer", "cancel", row["id"], "--reason", "test", "--by", "Ina")

    def _known(self, state: TransferState) -> bool:
        """Whether one of this run has come to that state, and the other is known at least."""
        states = [row["state"] for row in self._own_rows()]
        return (
            len(states) == len(self._names)
            and state in states
            and (state is S.WAITING or {*states} == {state})
        )

    def _own_rows(self) -> list[dict[str, str]]:
        rows = self.crossing.rows("SELECT id, path, state FROM transfer")
        return [row for row in rows if row["path"] in self._names]

    def _obstruct(self, names: list[str]) -> None:
        """Put at the remote what the course needs in the way, or have it down."""
        self._names = names
        server = self.crossing.server
        if server is None:
            return
        if self.course.happens in _UNREACHED:
            server.kill()
        elif self.course.happens in _OBSTRUCTED:
            self._in_the_way = server.root / os.path.dirname(names[0])
            os.mkfifo(self._in_the_way)
        elif self.course.happens == "skipped":
            for name in names:
                (server.root / name).mkdir(parents=True)

    def _make_way(self) -> None:
        """Let the remote and the configuration be as they should, unless the files are never to arrive."""
        if self.course.happens == "cancelled":
            self.daemon.link_config.write_text(self._configured or self.daemon.link_config.read_text())
            return
        server = self.crossing.server
        if server is not None and not server.runs:
            server.start()
        if self.course.happens == "sent again":
            self._clear()

    def _clear(self) -> None:
        if self._in_the_way is not None:
            self._in_the_way.unlink()
            self._in_the_way = None

    def _order_again(self) -> None:
        """Have an operator send again what failed, or cancel what waits still."""
        if self.course.happens == "cancelled":
            holds(lambda: not self.crossing.left() or self._known(S.WAITING), PATIENCE)
            self._cancel()
        if self.course.happens != "sent again":
            return
        holds(lambda: not self.crossing.left() and not self.crossing.unfinished(), PATIENCE)
        for row in self._own_rows():
            if row["state"] == S.FAILED:
                self.daemon.cli("transfer", "retry", row["id"], "--reason", "test", "--by", "Ina")

    def _reckoned(self) -> Reckoning:
        self._clear()
        event = "transfer.cancelled" if self.course.happens == "cancelled" else None
        return reckon(self.crossing, self._names, self.course.end, event)
