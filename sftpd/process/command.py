"""One command, run once by the zygote under a sandbox: input, output with a limit, and a deadline."""

import fcntl
import os
import selectors
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Self

import msgspec

from sftpd.process import script
from sftpd.process.child import Child
from sftpd.process.deadline import Deadline
from sftpd.process.descriptors import close_all
from sftpd.process.pool import Children
from sftpd.process.sandbox import Sandbox

OUTPUT_LIMIT = 64 * 1024
"""Bytes kept of each output; what is more is read and dropped."""

_TERM_GRACE = 1.0
_CHUNK = 64 * 1024


class Completed(msgspec.Struct, frozen=True):
    """How a command ended, and the first OUTPUT_LIMIT bytes of each output.

    `status` or `signal` is None; `cause` says why it could not be run at all.
    """

    status: int | None
    signal: int | None
    cause: str
    stdout: bytes
    stderr: bytes
    truncated: bool
    timed_out: bool


class _Command(msgspec.Struct, frozen=True):
    argv: tuple[str, ...]
    env: dict[str, str]


def run_command(
    children: Children,
    argv: Sequence[str],
    *,
    sandbox: Sandbox | None,
    deadline: float,
    stdin: bytes = b"",
    fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a program (`argv[0]` is its path) with `env` as its whole environment, and wait for its end.

    It has `fds` as descriptors 3, 4 and so on. After `deadline` seconds it gets SIGTERM, a second later
    SIGKILL; whatever it leaves in its process group ends with it. Raises ProcessError when there is no
    child to run it in.
    """
    with (
        Pipes(stdin) as pipes,
        start_command(children, argv, pipes, sandbox=sandbox, fds=fds, env=env) as child,
    ):
        timed_out = _converse(child, pipes, Deadline(deadline))
        ended = child.wait()
        pipes.drain()
    out, err = pipes.outputs
    return Completed(
        ended.status,
        ended.signal,
        ended.cause,
        bytes(out.kept),
        bytes(err.kept),
        truncated=out.truncated or err.truncated,
        timed_out=timed_out,
    )


def start_command(
    children: Children,
    argv: Sequence[str],
    pipes: "Pipes",
    *,
    sandbox: Sandbox | None,
    fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
) -> Child:
    """Start a program as `run_command` does, at the other end of `pipes`."""
    child = children.spawn(
        "sftpd.process.command:execute",
        kind="hook",
        args=msgspec.msgpack.encode(_Command(tuple(argv), dict(env or {}))),
        sandbox=sandbox,
        fds=[*pipes.theirs, *fds],
    )
    pipes.close_theirs()
    return child


def execute(_channel: socket.socket, args: bytes, fds: tuple[int, ...]) -> None:
    """The child's side: put the descriptors in their places and become the program, or interpret it."""
    command = msgspec.msgpack.decode(args, type=_Command)
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, len(fds)) for fd in fds]
    for place, copy in enumerate(copies):
        os.dup2(copy, place, inheritable=True)
    if script.is_self_contained(command.argv[0]):
        script.interpret(command.argv, command.env)
        return
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execve(command.argv[0], command.argv, command.env)  # noqa: S606  (no shell is the point)


class Output:
    """One output of the program, up to the limit."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.kept = bytearray()
        self.truncated = False

    def read(self) -> bool:
        """Take what lies ready; False at the end. Raises BlockingIOError where nothing does."""
        chunk = os.read(self.fd, _CHUNK)
        room = OUTPUT_LIMIT - len(self.kept)
        self.kept += chunk[:room]
        self.truncated |= len(chunk) > room
        return bool(chunk)


class Pipes:
    """The three pipes to a program, our ends non-blocking, and the input it has not taken yet."""

    def __init__(self, stdin: bytes) -> None:
        self.unsent = memoryview(stdin)
        their_in, self.stdin = os.pipe2(os.O_CLOEXEC)
        our_out, their_out = os.pipe2(os.O_CLOEXEC)
        our_err, their_err = os.pipe2(os.O_CLOEXEC)
        self.theirs: tuple[int, ...] = (their_in, their_out, their_err)
        self.outputs = (Output(our_out), Output(our_err))
        for fd in (self.stdin, our_out, our_err):
            os.set_blocking(fd, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_theirs()
        self.close_stdin()
        close_all(output.fd for output in self.outputs)

    def close_theirs(self) -> None:
        """Close the program's ends, so that only the program holds them."""
        close_all(self.theirs)
        self.theirs = ()

    def close_stdin(self) -> None:
        """End the input; harmless when repeated."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def feed(self) -> bool:
        """Write what the program takes; False when nothing is left or it wants no more."""
        try:
            self.unsent = self.unsent[os.write(self.stdin, self.unsent) :]
        except BrokenPipeError:
            return False
        return bool(self.unsent)

    def drain(self) -> None:
        """Take what is still in the outputs; one that outlived the program may go on writing in vain."""
        for output in self.outputs:
            try:
                while not output.truncated and output.read():
                    pass
            except BlockingIOError:
                continue


def _converse(child: Child, pipes: Pipes, deadline: Deadline) -> bool:
    """Pass input and outputs until the program ends; returns whether it had to be stopped."""
    end = child.end_descriptor()
    timed_out = False
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(end, selectors.EVENT_READ)
            for output in pipes.outputs:
                selector.register(output.fd, selectors.EVENT_READ, output.read)
            selector.register(pipes.stdin, selectors.EVENT_WRITE, pipes.feed)
            while True:
                events = selector.select(deadline.remaining())
                for key, _ in events:
                    if key.fd == end:
                        return timed_out
                    if not key.data():
                        selector.unregister(key.fd)
                        if key.fd == pipes.stdin:
                            pipes.close_stdin()
                if deadline.passed():
                    deadline = _stop(child, timed_out)
                    timed_out = True
    finally:
        os.close(end)


def _stop(child: Child, asked_already: bool) -> Deadline:
    if asked_already:
        child.kill()
        return Deadline(None)
    child.terminate()
    return Deadline(_TERM_GRACE)
