"""What a session still knows of the files it dealt with, bounded: the oldest is forgotten first."""

from collections import OrderedDict
from typing import Generic, TypeVar

from sftpd.names import VirtualPath

V = TypeVar("V")

_LIMIT = 1024


class Recent(Generic[V]):
    """A value a path, for the paths last set."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._values: OrderedDict[VirtualPath, V] = OrderedDict()
        self._limit = limit

    def get(self, path: VirtualPath) -> V | None:
        """What is known of a path."""
        return self._values.get(path)

    def put(self, path: VirtualPath, value: V) -> None:
        """Know `value` of a path from now on."""
        self._values[path] = value
        self._values.move_to_end(path)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)

    def pop(self, path: VirtualPath) -> V | None:
        """Forget a path and return what was known of it."""
        return self._values.pop(path, None)
