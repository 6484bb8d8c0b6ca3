"""The answer to a request that may take long: worked out in steps, between which others have their turn."""

from collections.abc import Callable, Generator
from typing import TypeVar

from sftpd.errors import ProcessError

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Takes a step, of some milliseconds, each time it is asked, and returns what came of all."""

STEP = 4 << 20
"""Bytes that a step may move."""


class LongAnswer:
    """One such answer. Whoever drops it closes it."""

    def __init__(
        self, steps: Steps[bytes], refusal: Callable[[Exception], bytes], *, outlasts: bool = False
    ) -> None:
        """`refusal` makes the reply that tells of what a step raises."""
        self._steps = steps
        self._refusal = refusal
        self.outlasts = outlasts
        """Whether all steps are to be taken although nobody waits for the reply any more."""

    def go_on(self) -> bytes | None:
        """Take a step; the reply once there are no more. Raises ProcessError when the monitor is gone."""
        try:
            next(self._steps)
        except StopIteration as done:
            reply: bytes = done.value
            return reply
        except ProcessError:
            raise
        except Exception as error:
            return self._refusal(error)
        return None

    def close(self) -> None:
        """Take no more steps."""
        self._steps.close()


def at_once(steps: Steps[T]) -> T:
    """Take all steps and return what came of them."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
