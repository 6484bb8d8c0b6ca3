"""How a session asks the monitor, and how errors cross between them."""

import errno
from typing import Protocol, TypeVar

from sftpd.errors import ContainmentError, LimitError, NotFoundError, RefusedError
from sftpd.process.channel import CallFailedError
from sftpd.process.messages import Message
from sftpd.ssh.long_answer import Steps

M = TypeVar("M", bound=Message)
_PATIENCE = 0.01
"""Seconds; most replies come in a third of that."""
_LIMIT = "LIMIT "
"""How the code of a failure begins that tells of a limit."""


class Monitor(Protocol):
    """The session's end of its channel to the monitor."""

    def call(self, body: Message, expect: type[M]) -> M:
        """Send a request and return its reply. Raises CallFailedError for a failure."""
        ...

    def call_in_steps(self, body: Message, expect: type[M], patience: float) -> Steps[M]:
        """The same, giving way to the caller each `patience` seconds until the reply is there."""
        ...

    def notify(self, body: Message) -> None:
        """Send a notice."""
        ...


def ask(monitor: Monitor, body: Message, expect: type[M]) -> M:
    """Send a request and return its reply. Raises OSError or RefusedError as `error_for` has it."""
    try:
        return monitor.call(body, expect)
    except CallFailedError as failed:
        raise error_for(failed) from failed


def ask_in_steps(monitor: Monitor, body: Message, expect: type[M]) -> Steps[M]:
    """As `ask` for what takes long at times: the session goes on serving others meanwhile."""
    try:
        return (yield from monitor.call_in_steps(body, expect, _PATIENCE))
    except CallFailedError as failed:
        raise error_for(failed) from failed


def failure_for(error: Exception) -> tuple[str, str]:
    """Code and message of the Failure that tells a session of `error`; nothing of our inside is in it."""
    match error:
        case LimitError():
            return _LIMIT + error.reason, error.what
        case RefusedError():
            return error.reason, error.what
        case NotFoundError():
            return "ENOENT", ""
        case ContainmentError():
            return "EACCES", ""
        case OSError():
            return errno.errorcode.get(error.errno or 0, "EIO"), ""
    return "EIO", ""


def error_for(failed: CallFailedError) -> OSError | RefusedError:
    """The error that `failure_for` told of, as far as it was told."""
    number = getattr(errno, failed.failure_code, None) if failed.failure_code.startswith("E") else None
    if isinstance(number, int):
        return OSError(number, "")
    if failed.failure_code.startswith(_LIMIT):
        return LimitError(failed.message, reason=failed.failure_code.removeprefix(_LIMIT))
    return RefusedError(failed.message or "refused", reason=failed.failure_code)
