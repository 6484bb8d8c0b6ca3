"""The monitor's side of its children: the supervised zygote, and a handle on each child."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Self

import structlog

from sftpd import logs
from sftpd.errors import ProcessError
from sftpd.process.channel import Channel, channel_pair
from sftpd.process.child import Child
from sftpd.process.control import Ended, Ready, Spawn, Started
from sftpd.process.deadline import Deadline
from sftpd.process.messages import Accepts, Done, Notice
from sftpd.process.sandbox import Sandbox

_log = structlog.get_logger()

_START_PATIENCE = 60.0
_SPAWN_PATIENCE = 10.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_STOP_PATIENCE = 10.0
_ENVIRONMENT = frozenset(
    (
        "PATH",
        "LANG",
        "LANGUAGE",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "TZDIR",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONUTF8",
        logs.VARIABLE,
    )
)
"""All that children see of the monitor's environment: it may hold secrets."""


class Children:
    """All children of one monitor.

    One thread, `sftpd-children`, hears of their ends and restarts the zygote when it dies.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        self._preload = tuple(preload)
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._children: dict[int, Child] = {}
        self._zygote: Channel | None = None
        self._ready = False
        self._fault: ProcessError | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="sftpd-children", daemon=True)

    @classmethod
    def start(cls, preload: Sequence[str] = ()) -> Self:
        """Start the zygote, with these modules loaded, and wait until it is ready.

        Raises ProcessError when it does not get ready.
        """
        children = cls(preload)
        children._thread.start()
        try:
            children._ready_zygote(_START_PATIENCE)
        except ProcessError:
            children.stop(0)
            raise
        return children

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0)

    def spawn(
        self,
        entry: str,
        *,
        kind: str,
        args: bytes = b"",
        sandbox: Sandbox | None,
        fds: Sequence[int] = (),
        accepts: Accepts = Done,
        on_end: Callable[[Child], None] | None = None,
    ) -> Child:
        """Fork a child that runs `entry` ("module:function", a `child.Entry`), and return its handle.

        `accepts` are the kinds of message it may send; `fds` stay the caller's. `on_end` runs in the
        thread that hears of every end: it must be quick. The caller closes `child.channel`, or has a
        Switchboard do it. Raises ProcessError when the child cannot be started.
        """
        ours, theirs = channel_pair()
        child = Child(next(self._numbers), kind, Channel(ours, accepts), on_end)
        request = Spawn(child.id, kind, entry, args, sandbox)
        try:
            zygote = self._ready_zygote(_SPAWN_PATIENCE, child)
            started, pidfds = zygote.call_for_fds(
                request, Started, [theirs.fileno(), *fds], timeout=_SPAWN_PATIENCE
            )
            child.started(started.pid, *pidfds)
        except (ProcessError, TimeoutError) as fault:
            with self._changed:
                self._children.pop(child.id, None)
            child.channel.close()
            raise ProcessError(f"{kind} process cannot be started: {fault}") from fault
        finally:
            theirs.close()
        return child

    def running(self) -> tuple[Child, ...]:
        """The children that have not ended."""
        with self._changed:
            return tuple(self._children.values())

    def stop(self, grace: float) -> None:
        """End all children, by SIGTERM and after `grace` seconds by SIGKILL, and the zygote; then return."""
        self._stopping.set()
        for child in self.running():
            child.terminate()
        self._await_ends(grace)
        for child in self.running():
            child.kill()
        self._await_ends(_STOP_PATIENCE)
        with self._changed:
            zygote = self._zygote
            self._changed.notify_all()
        if zygote is not None:
            zygote.close()
        self._thread.join()

    def _await_ends(self, patience: float) -> None:
        deadline = Deadline(patience)
        for child in self.running():
            with contextlib.suppress(TimeoutError):
                child.wait(deadline.remaining())

    def _ready_zygote(self, patience: float, child: Child | None = None) -> Channel:
        """The zygote's channel, when it is ready, with `child` registered as one of its own."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._fault or self._stopping.is_set(), patience)
            if self._stopping.is_set() or self._zygote is None or not self._ready:
                raise self._fault or ProcessError("zygote is not ready")
            if child is not None:
                self._children[child.id] = child
            return self._zygote

    def _supervise(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            cause = self._serve_one_zygote()
            if self._stopping.is_set():
                return
            _log.error("zygote_ended", cause=cause, restart_in=pause)
            if self._stopping.wait(pause):
                return
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _serve_one_zygote(self) -> str:
        ours, theirs = channel_pair()
        with Channel(ours, Ended | Ready | Started) as channel, theirs:
            try:
                process = _launch(theirs, self._preload)
            except OSError as fault:
                self._lose()
                return str(fault)
            theirs.close()
            with self._changed:
                self._zygote = channel
                stopping = self._stopping.is_set()
            cause = "stopped" if stopping else self._listen(channel)
        self._lose()
        return f"{cause}, exit status {self._bury(process)}"

    def _listen(self, channel: Channel) -> str:
        """Take note of what the zygote says until it says no more; returns why."""
        while True:
            try:
                envelope = channel.receive().envelope
            except ProcessError as fault:
                return str(fault)
            if isinstance(envelope, Notice):
                self._hear(envelope.body)

    def _hear(self, body: object) -> None:
        if isinstance(body, Ready):
            with self._changed:
                self._ready, self._fault = True, None
                self._changed.notify_all()
        elif isinstance(body, Ended):
            with self._changed:
                child = self._children.pop(body.child, None)
            if child is not None:
                child.finish(body)

    def _lose(self) -> None:
        """Let nobody spawn until there is a zygote again."""
        with self._changed:
            if not self._ready:
                self._fault = ProcessError("zygote does not get ready", remedy="its log says why")
            self._zygote, self._ready = None, False
            self._changed.notify_all()

    def _bury(self, process: "subprocess.Popen[bytes]") -> int:
        """Wait for the zygote to end and report all it had as ended: it, or else the kernel, sees to that."""
        try:
            status = process.wait(_STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        with self._changed:
            orphans, self._children = self._children, {}
        for child in orphans.values():
            child.finish(Ended(child.id, None, signal.SIGKILL, "the zygote ended"))
        return status


def _launch(theirs: socket.socket, preload: Sequence[str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "sftpd.process.zygote", str(theirs.fileno()), *preload]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.__stderr__,
        pass_fds=(theirs.fileno(),),
        env={name: value for name, value in os.environ.items() if name in _ENVIRONMENT},
        cwd="/",
        start_new_session=True,
    )
