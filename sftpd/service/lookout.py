"""Looks at something again and again, by the monotonic clock: the wall clock may be what is wrong."""

import threading
from collections.abc import Callable

import structlog

_log = structlog.get_logger()


class Lookout:
    """A thread `sftpd-lookout` that calls `look` each `every` seconds until it is stopped."""

    def __init__(self, look: Callable[[], object], every: float) -> None:
        self._look = look
        self._every = every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sftpd-lookout", daemon=True)

    def start(self) -> None:
        """Look, and go on looking."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._look()
            except Exception:
                # One look that fails must not be the last.
                _log.exception("look_failed")
            if self._stopped.wait(self._every):
                return
