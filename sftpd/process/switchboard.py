"""The monitor's ear: reads every child's channel and has each message handled."""

import os
import selectors
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Self

import structlog

from sftpd.errors import ProcessError, SftpdError
from sftpd.process.channel import Answer, ChannelClosedError, Delivery
from sftpd.process.descriptors import close_all
from sftpd.process.handling import Asked, Attended, FailureText, Handler, OnOver, Result, Together, code_only
from sftpd.process.messages import Failure, Message, Notice, Request

_log = structlog.get_logger()

_QUEUE_LIMIT = 64
_TOGETHER_LIMIT = 16
_SLOW_LIMIT = 2
"""Messages known to be slow that may be handled at once: more would leave no worker for the others."""
_MOMENT = 0.02
"""Seconds that a handler may take before another thread reads on."""


class _Line:
    """One attended child: its messages that wait, and how many are being handled."""

    def __init__(
        self,
        child: Attended,
        handler: Handler,
        slow: tuple[type[Message], ...],
        together: Callable[[Message], Together | None],
        on_over: OnOver | None,
    ) -> None:
        self.child = child
        self.on_over = on_over
        self.handler = handler
        self.slow = slow
        self._together = together
        self.waiting: deque[Delivery] = deque()
        self.unhandled = 0
        self.busy = False
        self.heard = False
        self.over = False

    def together(self) -> Together | None:
        """How its next message may be handled with those of others."""
        envelope, fds = self.waiting[0]
        return None if fds or not isinstance(envelope, Request) else self._together(envelope.body)


class Switchboard:
    """A few workers take turns at the lead: who leads reads all channels and handles what it reads.

    To hand a message to another thread costs more than most messages do. Kinds that are known to be slow are
    handled without the lead and few at once, whoever sends them, and any other handler loses it to the next
    worker, by `sftpd-switchboard`, once it has taken longer than a moment.

    The messages of one child are handled one at a time, in order. A child with too many unhandled messages is
    not read until it has fewer; one that breaks the rules of its channel is killed.
    """

    def __init__(self, *, workers: int, failure_text: FailureText = code_only) -> None:
        self._failure_text = failure_text
        self._lock = threading.Lock()
        self._lines: set[_Line] = set()
        self._touched: set[_Line] = set()
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._stopping = threading.Event()
        self._tasks: deque[_Line | Callable[[], None]] = deque()
        """Lines whose next message is to be handled, and what else is to be done."""
        self._slow = 0
        self._put_off: deque[_Line] = deque()
        """Lines whose next message is a slow one, while as many as may be are being handled."""
        self._lead = threading.Lock()
        """Held by whoever leads, and released for him once he is found to be kept."""
        self._leader = 0
        """The leading thread; 0 where it has lost the lead."""
        self._handled = 0
        self._handling = False
        self._active = threading.Event()
        """Set when the leader begins to handle something, cleared when nothing was handled for a moment."""
        self._workers = [
            threading.Thread(target=self._work, name=f"sftpd-worker_{number}", daemon=True)
            for number in range(workers)
        ]
        self._thread = threading.Thread(target=self._relieve, name="sftpd-switchboard", daemon=True)
        for thread in (*self._workers, self._thread):
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attach(
        self,
        child: Attended,
        handler: Handler,
        slow: tuple[type[Message], ...] = (),
        together: Callable[[Message], Together | None] = lambda _message: None,
        on_over: OnOver | None = None,
    ) -> None:
        """Take over a child's channel: read it, have `handler` answer, close it when the child has gone.

        Requests of several children that wait at the same time, and for which `together` gives one and the
        same function, are handled by that.
        """
        child.channel.attend()
        line = _Line(child, handler, slow, together, on_over)
        with self._lock:
            self._lines.add(line)
        self._touch(line)

    def close(self) -> None:
        """Stop reading, let the handlers that run finish, and close all channels."""
        self._stopping.set()
        self._active.set()
        os.eventfd_write(self._wake, 1)
        for thread in (*self._workers, self._thread):
            thread.join()
        for line in self._lines:
            _discard(line)
            if line.on_over is not None:
                self._tell_over(line.on_over)
        self._selector.close()
        os.close(self._wake)

    def _work(self) -> None:
        me = threading.get_ident()
        while not self._stopping.is_set():
            self._lead.acquire()
            self._leader = me
            while self._leader == me and not self._stopping.is_set():
                self._read()
                self._handle_next(me)
            self._give_up_lead()

    def _give_up_lead(self) -> None:
        with self._lock:
            if self._leader == threading.get_ident():
                self._leader, self._handling = 0, False
                self._lead.release()

    def _handle_next(self, me: int) -> None:
        """Do the task that has waited longest, if there is one; the lead may be lost by that."""
        if not self._tasks:
            return
        task = self._tasks.popleft()
        with self._lock:
            # As one step, for `sftpd-switchboard` goes to sleep on what it sees here.
            self._handled += 1
            self._handling = True
            unwatched = not self._active.is_set()
        if unwatched:
            self._active.set()
        if isinstance(task, _Line):
            self._work_through(task)
        else:
            task()
        with self._lock:
            if self._leader == me:
                self._handling = False

    def _relieve(self) -> None:
        """Take the lead from a worker that has been handling the same thing for a moment."""
        seen = 0
        while not self._stopping.is_set():
            self._active.wait()
            self._stopping.wait(_MOMENT)
            with self._lock:
                if self._handled != seen:
                    seen = self._handled
                elif self._handling:
                    self._leader, self._handling = 0, False
                    self._lead.release()
                else:
                    self._active.clear()

    def _read(self) -> None:
        """Take in what has come; wait for something where nothing is left to do."""
        for key, _ in self._selector.select(0 if self._tasks else None):
            if key.fd == self._wake:
                os.eventfd_read(self._wake)
            else:
                self._listen(key.data)
        if not self._touched:
            return
        with self._lock:
            touched, self._touched = self._touched, set()
        for line in touched:
            self._tune(line)

    def _put(self, task: "_Line | Callable[[], None]") -> None:
        """Have a task done after those that wait."""
        with self._lock:
            self._tasks.append(task)
        if self._leader != threading.get_ident():
            os.eventfd_write(self._wake, 1)

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
                self._put(partial(self._tell_over, line.on_over))

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
            line.waiting.append(delivery)
            if line.busy:
                return
            line.busy = True
        self._put(line)

    def _work_through(self, line: _Line) -> None:
        """Handle one waiting message, then queue up again: no child keeps the others waiting."""
        slow = isinstance(_body(line.waiting[0]), line.slow)
        if slow and self._is_put_off(line):
            return
        together = line.together()
        others = [] if together is None else self._take_others(together)
        if together is not None and others:
            self._handle_together([line, *others], together)
            return
        with self._lock:
            delivery = line.waiting.popleft()
        if slow:
            self._give_up_lead()
        self._handle(line, delivery)
        if slow:
            self._let_another_be_slow()
        self._go_on(line)

    def _is_put_off(self, line: _Line) -> bool:
        """Take a place among the slow, or the last one in their queue."""
        with self._lock:
            if self._slow >= _SLOW_LIMIT:
                self._put_off.append(line)
                return True
            self._slow += 1
            return False

    def _let_another_be_slow(self) -> None:
        with self._lock:
            self._slow -= 1
            following = [self._put_off.popleft()] if self._put_off else []
        for line in following:
            self._put(line)

    def _take_others(self, together: Together) -> list[_Line]:
        """Take from the tasks the lines whose next message may be handled with another one."""
        with self._lock:
            fit = (task for task in self._tasks if isinstance(task, _Line) and task.together() is together)
            others = list(islice(fit, _TOGETHER_LIMIT - 1))
            for line in others:
                self._tasks.remove(line)
        return others

    def _go_on(self, line: _Line) -> None:
        """Queue up for what waits still."""
        with self._lock:
            line.busy = bool(line.waiting) and not self._stopping.is_set()
        if line.busy:
            self._put(line)

    def _handle_together(self, lines: list[_Line], together: Together) -> None:
        with self._lock:
            requests = [_request(line.waiting.popleft()) for line in lines]
        asked = [Asked(line.handler, request.body) for line, request in zip(lines, requests, strict=True)]
        try:
            results: Sequence[Result] = together(asked)
        except Exception as fault:
            results = [fault] * len(lines)
        for line, request, result in zip(lines, requests, results, strict=True):
            rest = partial(self._finish, line, request, result)
            if callable(result):
                self._put(rest)
            else:
                rest()

    def _finish(self, line: _Line, request: Request[Message], result: Result) -> None:
        """Answer a request that was handled with others."""

        def handler(*_: object) -> Message:
            if isinstance(result, Exception):
                raise result
            return result() if callable(result) else result

        self._handle(line, Delivery(request, ()), handler)
        self._go_on(line)

    def _handle(self, line: _Line, delivery: Delivery, handler: Handler | None = None) -> None:
        envelope, fds = delivery
        handler = handler or line.handler
        try:
            if isinstance(envelope, Request):
                self._answer(line, envelope, fds, handler)
            elif isinstance(envelope, Notice):
                handler(line.child, envelope.body, fds)
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

    def _answer(self, line: _Line, request: Request[Message], fds: tuple[int, ...], handler: Handler) -> None:
        channel = line.child.channel
        try:
            result = handler(line.child, request.body, fds)
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


def _request(delivery: Delivery) -> Request[Message]:
    assert isinstance(delivery.envelope, Request)
    return delivery.envelope


def _discard(line: _Line) -> None:
    """Close a channel and what still waits on it."""
    for delivery in line.waiting:
        close_all(delivery.fds)
    line.child.channel.leave()
