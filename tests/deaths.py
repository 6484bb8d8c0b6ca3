"""kill -9 at a step of one's own choosing: a process that dies at the next change it makes to the disk."""

import os
import signal
from collections.abc import Callable, Iterable
from typing import Any


def die_after(steps: int, *calls: tuple[Any, Iterable[str]]) -> None:
    """Let this process take `steps` steps and die at the next, half done if that is a write.

    A step is a write, or one of `calls`, which are given by their owner and their names.
    """
    remaining = steps
    write = os.write

    def due():
        nonlocal remaining
        remaining -= 1
        return remaining < 0

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def counted(call):
        def step(*args, **kwargs):
            if due():
                die()
            return call(*args, **kwargs)

        return step

    def torn_write(fd, data):
        if due():
            write(fd, data[: len(data) // 2])
            die()
        return write(fd, data)

    os.write = torn_write
    for owner, names in calls:
        for name in names:
            setattr(owner, name, counted(getattr(owner, name)))


def die_before(step: int, *calls: tuple[Any, Iterable[str]]) -> Callable[[], int]:
    """Let this process take so many steps, each one of `calls`, and die before the next.

    Returns what tells how many it has taken.
    """
    taken = 0

    def counted(call):
        def wrapper(*args, **kwargs):
            nonlocal taken
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)
            taken += 1
            return call(*args, **kwargs)

        return wrapper

    for owner, names in calls:
        for name in names:
            setattr(owner, name, counted(getattr(owner, name)))
    return lambda: taken
