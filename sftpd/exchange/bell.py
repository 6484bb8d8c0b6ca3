"""Word that something has changed for what waits, so that whoever waits looks again."""

import threading
from collections.abc import Callable


class Bell:
    """Tells everybody who asked to be told; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def heard_by(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have `listener` called at each ring, briefly and on any thread; returns what ends that."""
        with self._lock:
            self._listeners.append(listener)
        return lambda: self._forget(listener)

    def ring(self) -> None:
        """Tell them."""
        with self._lock:
            listeners = [*self._listeners]
        for listener in listeners:
            listener()

    def _forget(self, listener: Callable[[], None]) -> None:
        with self._lock:
            self._listeners.remove(listener)
