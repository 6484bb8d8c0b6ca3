"""The error tree: each error says what was wrong, where, what was expected and what to do."""

from typing import ClassVar


class SftpdError(Exception):
    """Base of every error that sftpd raises on purpose.

    `what` is the fault in one clause; `where` a file, key, account or path; `expected` what would have
    been right; `remedy` what the operator can do. All four may be shown to an operator and none to a partner.
    """

    code: ClassVar[str] = "ERROR"
    exit_code: int = 1

    def __init__(
        self, what: str, *, where: str | None = None, expected: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [self.what if self.where is None else f"{self.where}: {self.what}"]
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        if self.remedy is not None:
            parts.append(self.remedy)
        return "; ".join(parts)


class UsageError(SftpdError):
    """The command line asks for something that does not exist or does not fit together."""

    code = "USAGE"
    exit_code = 2


class ConfigError(SftpdError):
    """The configuration has faults; `faults` holds one line for each."""

    code = "CONFIG"
    exit_code = 2

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class InvalidNameError(SftpdError, ValueError):
    """A name or path from outside does not have the form it must have."""

    code = "NAME"


class NotFoundError(SftpdError):
    """What was asked for does not exist."""

    code = "NOT_FOUND"


class RefusedError(SftpdError):
    """A rule forbids it: a gate, a permission, a hold, a state that does not allow the step."""

    code = "REFUSED"

    def __init__(
        self, what: str, *, reason: str, where: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.reason = reason
        """The stable, machine-readable reason, such as `LINK_NOT_ACTIVE`."""


class NotOpenError(RefusedError):
    """A link may not be used now."""


class LimitError(RefusedError):
    """An account has reached a limit of what it may use."""

    code = "LIMIT"


class ContainmentError(SftpdError):
    """A path would leave the folder that holds it."""

    code = "CONTAINMENT"


class LedgerError(SftpdError):
    """The ledger could not be opened, read or written."""

    code = "LEDGER"


class AuditError(SftpdError):
    """The audit log is damaged or contradicts its own checkpoint."""

    code = "AUDIT"


class ProcessError(SftpdError):
    """A child process could not be started, ended early or sent something it may not send."""

    code = "PROCESS"


class MessageError(ProcessError):
    """A message between processes is too long, malformed or of a kind that is not allowed here."""

    code = "MESSAGE"


class HookError(SftpdError):
    """A hook could not give a verdict: it is missing, crashed, hung or spoke nonsense."""

    code = "HOOK"


class RemoteError(SftpdError):
    """A remote could not do what was asked; trying again later may help."""

    code = "REMOTE"


class RemoteRefusedError(RemoteError):
    """The remote answered and said no: authentication or permission. Trying again will not help."""

    code = "REMOTE_REFUSED"


class RemoteFailedError(RemoteError):
    """The remote answered that it could not do what was asked, as if full; the connection is well."""

    code = "REMOTE_FAILED"


class OwnFaultError(RemoteError):
    """What was under way with a remote failed for a reason of ours, as our disk; no remote is to blame."""

    code = "OWN_FAULT"


class ChangedThereError(RemoteRefusedError):
    """A file at the remote changed while it was read: what came may be of two versions.

    That is no fault of the remote's. A later look finds it as it is then.
    """

    code = "CHANGED_THERE"


class NotPlacedError(RemoteRefusedError):
    """The remote was to give a file its final name, and certainly has not got it there now.

    It refused, or another file is there and ours is nowhere. Sending it anew may help.
    """

    code = "NOT_PLACED"


class TakenAwayError(NotPlacedError):
    """A file is taken away there before it has its final name: to go on is to deliver it on and on."""

    code = "TAKEN_AWAY"


class RemoteAwayError(RemoteError):
    """The remote cannot be asked now: it is down or left alone, and no file is to blame.

    `tried`: whether it was asked just now.
    """

    code = "REMOTE_AWAY"

    def __init__(
        self, what: str, *, where: str | None = None, remedy: str | None = None, tried: bool = False
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.tried = tried


class HostKeyError(RemoteRefusedError):
    """The remote shows a host key that is not pinned."""

    code = "HOST_KEY"
