"""What the monitor and the zygote say to each other."""

import signal

from sftpd.process.messages import Message
from sftpd.process.sandbox import Sandbox

FAILED_STATUS = 70
"""Exit status of a child that ended by an exception nobody caught (EX_SOFTWARE)."""

CAUSE_LIMIT = 1024
"""Bytes of an exception's summary that reach the monitor; the traceback goes to stderr."""


class Spawn(Message, frozen=True):
    """Fork a child that runs `entry` ("module:function"); its channel and further descriptors come along."""

    child: int
    kind: str
    entry: str
    args: bytes
    sandbox: Sandbox | None


class Started(Message, frozen=True):
    """The child runs; its pidfd comes along."""

    pid: int


class Ready(Message, frozen=True):
    """The zygote has loaded its modules and takes requests."""


class Ended(Message, frozen=True):
    """How a child ended: by exit `status` or by `signal`, the other is None; `cause` names an exception."""

    child: int
    status: int | None
    signal: int | None
    cause: str = ""

    @property
    def well(self) -> bool:
        """Whether it ended with status 0."""
        return self.status == 0

    def __str__(self) -> str:
        how = f"status {self.status}" if self.signal is None else signal.Signals(self.signal).name
        return f"{how}: {self.cause}" if self.cause else how
