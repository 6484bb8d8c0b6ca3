"""What a gate says of a file, and how exit statuses and several hooks come to one verdict."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from sftpd.errors import HookError

REASON_LIMIT = 200
"""Longest reason in characters; it travels in SFTP status messages."""

_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa1-\xac\xae-\u024f]+")


class Kind(Enum):
    """The three things a gate can decide."""

    ACCEPT = "accept"
    QUARANTINE = "quarantine"
    REJECT = "reject"


_KIND_OF_STATUS = MappingProxyType({0: Kind.ACCEPT, 10: Kind.QUARANTINE, 20: Kind.REJECT})
_DEFAULT_REASON = MappingProxyType(
    {Kind.ACCEPT: "", Kind.QUARANTINE: "held for inspection", Kind.REJECT: "refused by policy"}
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A kind with its reason, which is bounded and printable: the partner is shown it."""

    kind: Kind
    reason: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the file may pass."""
        return self.kind is Kind.ACCEPT


ACCEPTED = Verdict(Kind.ACCEPT)
HOOK_FAILED = Verdict(Kind.QUARANTINE, "hook failed")
"""What stands in for the verdict of a gate that could not give one: no file passes it."""


def from_exit(status: int, stdout: bytes) -> Verdict:
    """The verdict of a hook that ended by itself; the first line of its output is the reason.

    Raises HookError for a status that has no meaning.
    """
    kind = _KIND_OF_STATUS.get(status)
    if kind is None:
        raise HookError(f"exit status {status}", expected="0 (accept), 10 (quarantine) or 20 (reject)")
    if kind is Kind.ACCEPT:
        return ACCEPTED
    return Verdict(kind, printable_reason(stdout) or _DEFAULT_REASON[kind])


def printable_reason(output: bytes) -> str:
    """The first line of `output` as one line of printable Latin text of at most REASON_LIMIT characters."""
    line = output[: 4 * REASON_LIMIT].split(b"\n", 1)[0].decode("utf-8", "replace")
    return _UNPRINTABLE.sub(" ", line).strip()[:REASON_LIMIT]


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The first verdict that does not accept; verdicts after it are not drawn from the iterable."""
    return next((verdict for verdict in verdicts if not verdict.accepted), ACCEPTED)
