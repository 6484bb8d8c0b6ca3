"""Several pieces of work over one conversation: while one waits for an answer, the others go on.

Each is written as if it were alone and runs as a greenlet, a strand. They take turns in one thread, and only
where one waits, so that what they share needs no lock.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from greenlet import getcurrent, greenlet

from sftpd.errors import RemoteError

T = TypeVar("T")


class Conversation(Protocol):
    """Where answers come from."""

    wait_for: Callable[[int, float], object]
    """Called by who waits for the answer to a request, with its number and so many seconds more patience."""

    def have_answered(self, number: int, more_patience: float = 0.0) -> None:
        """Wait for an answer, and serve the connection meanwhile."""
        ...


def together(conversation: Conversation, works: Sequence[Callable[[], T]]) -> list[T | RemoteError]:
    """Do several works at once; returns what each returned, or the RemoteError that it raised.

    What else is raised, as when the connection is lost, ends all of them.
    """
    results: dict[int, T | RemoteError] = {}
    hub = getcurrent()

    def strand(index: int) -> None:
        try:
            results[index] = works[index]()
        except RemoteError as error:
            results[index] = error

    waiting: deque[tuple[greenlet, tuple[int, float]]] = deque()
    before, conversation.wait_for = conversation.wait_for, hub.switch
    try:
        for index in range(len(works)):
            begun = greenlet(strand)
            wanted = begun.switch(index)
            if not begun.dead:
                waiting.append((begun, wanted))
        while waiting:
            waits, wanted = waiting.popleft()
            conversation.have_answered(*wanted)
            wanted = waits.switch()
            if not waits.dead:
                waiting.append((waits, wanted))
    finally:
        conversation.wait_for = before
    return [results[index] for index in range(len(works))]
