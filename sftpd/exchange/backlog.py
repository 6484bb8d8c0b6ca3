"""Work for other threads, of which only so much waits: who finds that much waiting does its own itself."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor

_MOST = 1000


class Backlog:
    """Hands work to threads; for any thread."""

    def __init__(self, workers: Executor, most: int = _MOST) -> None:
        """`most` may wait or be under way."""
        self._workers = workers
        self._room = threading.BoundedSemaphore(most)

    def submit(self, work: Callable[[], object]) -> None:
        """Have it done soon, or do it now. Raises RuntimeError once the threads take nothing any more."""
        if not self._room.acquire(blocking=False):
            work()
            return
        try:
            done = self._workers.submit(work)
        except BaseException:
            self._room.release()
            raise
        done.add_done_callback(lambda _: self._room.release())
