"""The zygote: a clean single-threaded process that forks every child, and reaps it.

Run as `python -m sftpd.process.zygote FD MODULE…` with one end of a channel as FD. It is deaf to SIGTERM and
the like; when its channel closes it ends all children and itself.
"""

import contextlib
import ctypes
import gc
import importlib
import mmap
import os
import select
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

from sftpd import logs
from sftpd.errors import ProcessError
from sftpd.process import sharing
from sftpd.process.channel import Channel, ChannelClosedError
from sftpd.process.control import CAUSE_LIMIT, Ended, Ready, Spawn, Started
from sftpd.process.deadline import Deadline
from sftpd.process.descriptors import close_all
from sftpd.process.forked import DEFERRED, PR_SET_PDEATHSIG, become
from sftpd.process.messages import Failure, Message, Request

_GRACE = 2.0
_PR_SET_CHILD_SUBREAPER = 36


class Zygote:
    """Forks on request and reports each end. A child leads its own process group, which ends with it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._children: dict[int, tuple[int, mmap.mmap]] = {}
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until the channel closes."""
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # The channel tells of the monitor's end, but not to one that was stopped.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, DEFERRED)
        signal.signal(signal.SIGCHLD, _awake)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self._channel.attend()
        self._channel.notify(Ready())
        try:
            while True:
                self._wait(None)
                self._reap()
                self._serve()
        except ChannelClosedError:
            self._end_all()

    def _wait(self, seconds: float | None) -> None:
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        if seconds is None:
            poll.register(self._channel, select.POLLIN)
        poll.poll(None if seconds is None else seconds * 1000)
        try:
            os.read(self._wake_reader, 4096)
        except BlockingIOError:
            return

    def _serve(self) -> None:
        delivery = self._channel.pump()
        if delivery is None:
            return
        request, fds = delivery
        try:
            if not (isinstance(request, Request) and isinstance(request.body, Spawn)):
                raise ProcessError("zygote takes requests to spawn and nothing else")
            self._spawn(request, request.body, fds)
        finally:
            close_all(fds)

    def _spawn(self, request: Request[Message], spawn: Spawn, fds: tuple[int, ...]) -> None:
        cause = mmap.mmap(-1, CAUSE_LIMIT)
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as fault:
            self._channel.send(Failure(request.id, ProcessError.code, f"cannot fork: {fault.strerror}"))
            return
        if pid == 0:
            become(spawn, fds, cause, zygote)
        cause.madvise(mmap.MADV_DONTFORK)  # the next children shall not share it
        self._children[pid] = (spawn.child, cause)
        pidfd = os.pidfd_open(pid)
        try:
            self._channel.reply(request, Started(pid), [pidfd])
        finally:
            os.close(pidfd)

    def _reap(self) -> None:
        """Bury the dead and report those that were children; orphans that they left come to us too."""
        while (pid := _dead()) is not None:
            _kill_group(pid, signal.SIGKILL)  # until the leader is reaped the group is surely its own
            _, status = os.waitpid(pid, 0)
            if pid in self._children:
                self._report(*self._children.pop(pid), os.waitstatus_to_exitcode(status))

    def _report(self, child: int, cause: mmap.mmap, code: int) -> None:
        ended = Ended(
            child,
            status=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            cause=cause[:].rstrip(b"\0").decode("utf-8", "replace"),
        )
        self._channel.notify(ended)

    def _end_all(self) -> None:
        """End all children, with time to do so in good order, and the orphans they left."""
        for pid in self._children:
            _kill_group(pid, signal.SIGTERM)
        deadline = Deadline(_GRACE)
        while self._children and not deadline.passed():
            self._wait(deadline.remaining())
            with contextlib.suppress(ChannelClosedError):
                self._reap()
        for pid in self._children:
            _kill_group(pid, signal.SIGKILL)
        while left := _left():
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            for pid in left:
                os.waitpid(pid, 0)


def main(arguments: list[str]) -> None:
    """Load the modules that children need, then serve."""
    logs.inherit()
    fd, *modules = arguments
    gc.disable()  # modules leave it nothing, and it takes a fifth of the time to load them
    for module in modules:
        importlib.import_module(module)
    sharing.freeze()
    gc.enable()
    Zygote(Channel(socket.socket(fileno=int(fd)), Spawn)).run()


def _awake(_number: int, _frame: FrameType | None) -> None:
    """Let SIGCHLD interrupt nothing: the wake-up pipe tells of it."""


def _dead() -> int | None:
    """The pid of a child that has ended and is not reaped yet."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def _left() -> list[int]:
    """The pids of all children that are not reaped, orphans that came to us included."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def _kill_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main(sys.argv[1:])
