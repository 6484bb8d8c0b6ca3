"""What a switchboard is told of a child: how its messages are handled."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from sftpd.errors import SftpdError
from sftpd.process.channel import Answer, Channel
from sftpd.process.messages import Message


class Attended(Protocol):
    """Whose channel it is: a child, or what stands for a part of one."""

    id: int
    kind: str
    channel: Channel

    def kill(self) -> None:
        """End it."""
        ...


Handler = Callable[[Attended, Message, tuple[int, ...]], Message | Answer]
"""Handles one message of a child. Given descriptors are closed when it returns, those of its answer when
they are sent. What it returns for a notice is dropped."""


class Asked(NamedTuple):
    """A request that is handled with those of other children: whose handler it is for, and its message."""

    handler: Handler
    message: Message


Result: TypeAlias = Message | Exception | Callable[[], Message]
"""The answer to one of them, or what does the rest, where that takes long, and returns it."""

Together: TypeAlias = Callable[[Sequence[Asked]], Sequence[Result]]
"""Handles requests of several children at once; a result for each, in their order."""

OnOver = Callable[[], None]
"""Called by a worker once a child has gone and none of its messages is being handled any more."""

FailureText = Callable[[Exception], tuple[str, str]]
"""What a child may know of an exception: a stable code and a text."""


def code_only(fault: Exception) -> tuple[str, str]:
    """The failure text that tells nothing of our inside."""
    return (fault.code if isinstance(fault, SftpdError) else SftpdError.code), ""
