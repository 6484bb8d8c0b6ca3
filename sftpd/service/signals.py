"""Signals to the daemon, as its main thread waits for them."""

import os
import select
import signal
from collections import deque
from collections.abc import Sequence


class Signals:
    """The signals of some kinds, each as often as it came; for the main thread.

    Handlers run in the main thread, and only where a signal finds it asleep does it wake it: one that comes a
    moment before it goes to sleep would wait for the next. So each is written to a pipe at once, by whichever
    thread it reaches, and the pipe is what is waited for.
    """

    def __init__(self, numbers: Sequence[signal.Signals]) -> None:
        """Take these signals from now on, for good. Raises ValueError in another thread than the main one."""
        self._numbers = frozenset(numbers)
        self._came: deque[int] = deque()
        self._reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _leave_to_the_pipe)

    def wait(self, timeout: float | None) -> int | None:
        """The next signal; None where none came within so many seconds."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        while not self._came and poll.poll(None if timeout is None else timeout * 1000):
            self._came.extend(number for number in os.read(self._reader, 4096) if number in self._numbers)
        return self._came.popleft() if self._came else None


def _leave_to_the_pipe(_number: int, _frame: object) -> None:
    """What Python does besides it has written the number."""
