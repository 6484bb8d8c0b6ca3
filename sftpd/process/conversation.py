"""One command that stays and is asked one line after another, each with a deadline."""

import contextlib
import os
import selectors
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sftpd.errors import ProcessError
from sftpd.process.command import Pipes, start_command
from sftpd.process.deadline import Deadline
from sftpd.process.pool import Children
from sftpd.process.sandbox import Sandbox

_TOO_MUCH = "answers with more than a line"


class Said(NamedTuple):
    """What a command answered, without the line's end, and what it wrote to its standard error meanwhile."""

    answer: bytes
    besides: bytes


class Conversation:
    """A running program (`argv[0]` is its path) that answers each line with one. For one thread at a time."""

    def __init__(
        self, children: Children, argv: Sequence[str], *, sandbox: Sandbox | None, env: Mapping[str, str]
    ) -> None:
        """Start it. Raises ProcessError when it cannot be started."""
        self._pipes = Pipes(b"")
        try:
            self._child = start_command(children, argv, self._pipes, sandbox=sandbox, env=env)
        except BaseException:
            self._pipes.__exit__()
            raise
        self._end = self._child.end_descriptor()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._end, selectors.EVENT_READ)
        for output in self._pipes.outputs:
            self._selector.register(output.fd, selectors.EVENT_READ, output.read)

    def ask(self, line: bytes, patience: float) -> Said:
        """Ask; `line` has its end, and so must the answer.

        Raises ProcessError when it does not answer with one line within `patience` seconds or ends first, or
        has said more since its last answer, which would be taken for this one; it must then be closed.
        """
        out, err = self._pipes.outputs
        self._pipes.drain()
        if out.kept:
            raise ProcessError(_TOO_MUCH)
        self._say(line)
        self._hear(Deadline(patience))
        said = Said(bytes(out.kept).rstrip(b"\r\n"), bytes(err.kept))
        out.kept.clear()
        err.kept.clear()
        err.truncated = False
        if b"\n" in said.answer or out.truncated:
            raise ProcessError(_TOO_MUCH)
        return said

    def close(self) -> None:
        """End it."""
        self._selector.close()
        os.close(self._end)
        with self._pipes, self._child:
            pass

    def _say(self, line: bytes) -> None:
        self._pipes.unsent = memoryview(line)
        with contextlib.suppress(BlockingIOError):
            self._pipes.feed()
        if self._pipes.unsent:
            self._selector.register(self._pipes.stdin, selectors.EVENT_WRITE, self._pipes.feed)

    def _hear(self, deadline: Deadline) -> None:
        out = self._pipes.outputs[0]
        while not out.kept.endswith(b"\n") and not out.truncated:
            events = self._selector.select(deadline.remaining())
            for key, _ in events:
                if key.fd != self._end and not key.data():
                    self._selector.unregister(key.fd)
            has_ended = any(key.fd == self._end for key, _ in events)
            if has_ended and not out.kept.endswith(b"\n"):
                raise ProcessError(f"ended without an answer, {self._child.wait()}")
            if not events:
                raise ProcessError("gave no answer in time")
