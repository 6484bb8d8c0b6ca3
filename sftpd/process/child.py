"""The monitor's handle on one child process."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Self

import structlog

from sftpd.process.channel import Channel
from sftpd.process.control import Ended

_log = structlog.get_logger()


class Child:
    """A child process: its channel, and how to end it and wait for it.

    Signals go through a pidfd, so that they never reach another process that got the same pid.
    """

    def __init__(
        self, number: int, kind: str, channel: Channel, on_end: Callable[["Child"], None] | None
    ) -> None:
        self.id = number
        self.kind = kind
        self.channel = channel
        self.pid = 0
        self._pidfd = -1
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._ended: Ended | None = None
        self._on_end = on_end

    def __repr__(self) -> str:
        return f"Child({self.id}, {self.kind!r}, pid={self.pid})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        self.channel.close()

    @property
    def ended(self) -> Ended | None:
        """How it ended; None while it runs."""
        return self._ended

    def terminate(self) -> None:
        """Ask it to end (SIGTERM); nothing happens when it has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it (SIGKILL), and with it all that is left in its process group."""
        self._signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> Ended:
        """Wait for its end, and for `on_end`. Raises TimeoutError after `timeout` seconds."""
        self._done.wait(timeout)
        if self._ended is None:
            raise TimeoutError(f"{self!r} still runs")
        return self._ended

    def end_descriptor(self) -> int:
        """A descriptor, the caller's to close, that turns readable when the process ends."""
        with self._lock:
            if self._pidfd >= 0:
                return os.dup(self._pidfd)
        return os.eventfd(1, os.EFD_CLOEXEC)

    def started(self, pid: int, pidfd: int) -> None:
        """Take note of its process; for the pool alone."""
        with self._lock:
            self.pid = pid
            if self._ended is None:
                self._pidfd = pidfd
                return
        os.close(pidfd)

    def finish(self, ended: Ended) -> None:
        """Take note of its end and tell who asked to know; for the pool alone."""
        with self._lock:
            self._ended = ended
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1
        try:
            # It may lead back here, and is not needed again.
            on_end, self._on_end = self._on_end, None
            if on_end is not None:
                on_end(self)
        except Exception:
            _log.exception("child_end_callback_failed", kind=self.kind, child=self.id)
        finally:
            self._done.set()

    def _signal(self, number: signal.Signals) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, number)
