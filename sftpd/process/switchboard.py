"""The monitor's ear: reads every child's channel and has each message handled."""

import os
import selectors
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Protocol, Self

import structlog

from sftpd.errors import ProcessError, SftpdError
from sftpd.process.channel import Answer, Channel, ChannelClosedError, Delivery, close_all
from sftpd.process.messages import Failure, Message, Notice, Request

_log = structlog.get_logger()

_QUEUE_LIMIT = 64


class Attended(Protocol):
    """Whose channel it is: a child, or what stands for a part of one."""

    id: int
    kind: str
    channel: Channel

    def kill(self) -> None:
        """End it."""
        ...


Handler = Callable[[Attended, Message, tuple[int, ...]], Message | Answer]
"""Handles one message of a child. Given descriptors are closed when it returns, those of its answer when
they are sent. What it returns for a notice is dropped."""

OnOver = Callable[[], None]
"""Called by a worker once a child has gone and none of its messages is being handled any more."""

FailureText = Callable[[Exception], tuple[str, str]]
"""What a child may know of an exception: a stable code and a text."""


def code_only(fault: Exception) -> tuple[str, str]:
    """The failure text that tells nothing of our inside."""
    return (fault.code if isinstance(fault, SftpdError) else SftpdError.code), ""


class _Line:
    """One attended child: its messages that wait, and how many are being handled."""

    def __init__(
        self, child: Attended, handler: Handler, concurrent: tuple[type[Message], ...], on_over: OnOver | None
    ) -> None:
        self.child = child
        self.on_over = on_over
        self.handler = handler
        self.concurrent = concurrent
        self.waiting: deque[Delivery] = deque()
        self.unhandled = 0
        self.busy = False
        self.heard = False
        self.over = False


class Switchboard:
    """One thread, `sftpd-switchboard`, reads all channels; a few workers run the handlers.

    The messages of one child are handled one at a time, in order; those of the kinds it was attached with
    as concurrent start at once. A child with too many unhandled messages is not read until it has fewer;
    one that breaks the rules of its channel is killed.
    """

    def __init__(self, *, workers: int, failure_text: FailureText = code_only) -> None:
        self._failure_text = failure_text
        self._lock = threading.Lock()
        self._lines: set[_Line] = set()
        self._touched: set[_Line] = set()
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._stopping = False
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._workers = [
            threading.Thread(target=self._work, name=f"sftpd-worker_{number}", daemon=True)
            for number in range(workers)
        ]
        for worker in self._workers:
            worker.start()
        self._thread = threading.Thread(target=self._run, name="sftpd-switchboard", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attach(
        self,
        child: Attended,
        handler: Handler,
        concurrent: tuple[type[Message], ...] = (),
        on_over: OnOver | None = None,
    ) -> None:
        """Take over a child's channel: read it, have `handler` answer, close it when the child has gone."""
        child.channel.attend()
        line = _Line(child, handler, concurrent, on_over)
        with self._lock:
            self._lines.add(line)
        self._touch(line)

    def close(self) -> None:
        """Stop reading, let the handlers that run finish, and close all channels."""
        with self._lock:
            self._stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for _ in self._workers:
            self._tasks.put(None)
        for worker in self._workers:
            worker.join()
        for line in self._lines:
            _discard(line)
            if line.on_over is not None:
                self._tell_over(line.on_over)
        self._selector.close()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select():
                if key.fd == self._wake:
                    os.eventfd_read(self._wake)
                else:
                    self._listen(key.data)
            with self._lock:
                touched, self._touched = self._touched, set()
            for line in touched:
                self._tune(line)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

    def _touch(self, line: _Line) -> None:
        """Have the thread look at a line anew."""
        with self._lock:
            self._touched.add(line)
        os.eventfd_write(self._wake, 1)

    def _tune(self, line: _Line) -> None:
        """Listen to a child if it may speak; let it go when it is over and nothing is left to do."""
        wanted = not line.over and line.unhandled < _QUEUE_LIMIT
        if wanted and not line.heard:
            self._selector.register(line.child.channel, selectors.EVENT_READ, line)
        elif line.heard and not wanted:
            self._selector.unregister(line.child.channel)
        line.heard = wanted
        if line.over and not line.unhandled and line in self._lines:
            with self._lock:
                self._lines.remove(line)
            _discard(line)
            if line.on_over is not None:
                self._tasks.put(partial(self._tell_over, line.on_over))

    def _listen(self, line: _Line) -> None:
        try:
            delivery = line.child.channel.pump()
            if delivery is not None:
                self._accept(line, delivery)
            if line.unhandled < _QUEUE_LIMIT:
                return
        except ChannelClosedError:
            line.over = True
        except ProcessError as fault:
            _log.warning("child_broke_protocol", kind=line.child.kind, child=line.child.id, fault=str(fault))
            line.over = True
            line.child.kill()
        self._touch(line)

    def _accept(self, line: _Line, delivery: Delivery) -> None:
        with self._lock:
            line.unhandled += 1
            if not isinstance(_body(delivery), line.concurrent):
                line.waiting.append(delivery)
                if line.busy:
                    return
                line.busy = True
                self._tasks.put(partial(self._work_through, line))
                return
        self._tasks.put(partial(self._handle, line, delivery))

    def _work_through(self, line: _Line) -> None:
        """Handle one waiting message, then queue up again: no child keeps a worker to itself."""
        with self._lock:
            delivery = line.waiting.popleft()
        self._handle(line, delivery)
        with self._lock:
            line.busy = bool(line.waiting) and not self._stopping
            if line.busy:
                self._tasks.put(partial(self._work_through, line))

    def _handle(self, line: _Line, delivery: Delivery) -> None:
        envelope, fds = delivery
        try:
            if isinstance(envelope, Request):
                self._answer(line, envelope, fds)
            elif isinstance(envelope, Notice):
                line.handler(line.child, envelope.body, fds)
        except ChannelClosedError:
            line.child.kill()
        except Exception:
            _log.exception("message_handler_failed", kind=line.child.kind, child=line.child.id)
        finally:
            close_all(fds)
            with self._lock:
                line.unhandled -= 1
                noteworthy = line.over or line.unhandled == _QUEUE_LIMIT - 1
            if noteworthy:
                self._touch(line)

    def _answer(self, line: _Line, request: Request[Message], fds: tuple[int, ...]) -> None:
        channel = line.child.channel
        try:
            result = line.handler(line.child, request.body, fds)
            answer = result if isinstance(result, Answer) else Answer(result)
            try:
                channel.reply(request, answer.body, answer.fds)
            finally:
                close_all(answer.fds)
        except ChannelClosedError:
            raise
        except Exception as fault:
            if not isinstance(fault, SftpdError):
                _log.exception("message_handler_failed", kind=line.child.kind, child=line.child.id)
            channel.send(Failure(request.id, *self._failure_text(fault)))

    @staticmethod
    def _tell_over(on_over: OnOver) -> None:
        try:
            on_over()
        except Exception:
            _log.exception("child_over_callback_failed")


def _body(delivery: Delivery) -> Message:
    envelope = delivery.envelope
    assert isinstance(envelope, Request | Notice)
    return envelope.body


def _discard(line: _Line) -> None:
    """Close a channel and what still waits on it."""
    for delivery in line.waiting:
        close_all(delivery.fds)
    line.child.channel.leave()
