"""A standing approval: which rules scheduled runs of a link may carry out, how far, and until when. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sftpd.retention.guards import Reason

RuleVersion = tuple[str, int]
"""The name of a rule, and its version."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What somebody approved; without `files` a run may be of any size, without `until` it does not end."""

    id: str
    link: str
    rules: frozenset[RuleVersion]
    files: int | None
    """The most files that one run may dispose of or give back."""
    until: datetime | None
    reason: str
    by: str
    given_at: datetime

    def as_json(self) -> dict[str, Any]:
        """The approval as `sftpd retention approval list --json` prints it."""
        return {
            "id": self.id,
            "link": self.link,
            "rules": [{"rule": rule, "rule_version": version} for rule, version in sorted(self.rules)],
            "files": self.files,
            "until": None if self.until is None else self.until.isoformat(),
            "reason": self.reason,
            "by": self.by,
            "given_at": self.given_at.isoformat(),
        }


def reasons_against_run(
    approval: Approval | None, steps: Mapping[RuleVersion, int], now: datetime
) -> tuple[Reason, ...]:
    """Every reason for which a scheduled run of so many files under each rule lacks an approval."""
    if approval is None:
        return (Reason("APPROVAL_MISSING", "nobody has approved that runs are carried out by schedule"),)
    if approval.until is not None and approval.until <= now:
        return (Reason("APPROVAL_ENDED", f"the standing approval ended at {approval.until.isoformat()}"),)
    over = [
        f"version {version} of the rule {rule} is not approved"
        for rule, version in sorted(steps.keys() - approval.rules)
    ]
    files = sum(steps.values())
    if approval.files is not None and files > approval.files:
        over.append(f"{files} files are due, and a run of {approval.files} is approved")
    return (Reason("APPROVAL_EXCEEDED", "; ".join(over)),) if over else ()
