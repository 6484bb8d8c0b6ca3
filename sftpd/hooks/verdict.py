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


class Ruling(Enum):
    """The three things a gate can decide."""

    ACCEPT = "accept"
    QUARANTINE = "quarantine"
    REJECT = "reject"


_RULING_OF_STATUS = MappingProxyType({0: Ruling.ACCEPT, 10: Ruling.QUARANTINE, 20: Ruling.REJECT})
_DEFAULT_REASON = MappingProxyType(
    {Ruling.ACCEPT: "", Ruling.QUARANTINE: "held for inspection", Ruling.REJECT: "refused by policy"}
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ruling with its reason, which is bounded and printable: the partner is shown it."""

    ruling: Ruling
    reason: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the file may pass."""
        return self.ruling is Ruling.ACCEPT


ACCEPTED = Verdict(Ruling.ACCEPT)
HOOK_FAILED = Verdict(Ruling.QUARANTINE, "hook failed")
"""What stands in for the verdict of a gate that could not give one: no file passes it."""


def from_exit(status: int, stdout: bytes) -> Verdict:
    """The verdict of a hook that ended by itself; the first line of its output is the reason.

    Raises HookError for a status that has no meaning.
    """
    ruling = _RULING_OF_STATUS.get(status)
    if ruling is None:
        raise HookError(f"exit status {status}", expected="0 (accept), 10 (quarantine) or 20 (reject)")
    if ruling is Ruling.ACCEPT:
        return ACCEPTED
    return Verdict(ruling, printable_reason(stdout) or _DEFAULT_REASON[ruling])


def printable_reason(output: bytes) -> str:
    """The first line of `output` as one line of printable Latin text of at most REASON_LIMIT characters."""
    line = output[: 4 * REASON_LIMIT].split(b"\n", 1)[0].decode("utf-8", "replace")
    return _UNPRINTABLE.sub(" ", line).strip()[:REASON_LIMIT]


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The first verdict that does not accept; verdicts after it are not drawn from the iterable."""
    return next((verdict for verdict in verdicts if not verdict.accepted), ACCEPTED)
