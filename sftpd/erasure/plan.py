"""What is to happen to each file in which a person was found or could not be looked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Parts = tuple[bytes, ...]
Place = tuple[str, Parts]
"""A file: the name of its folder, and its path there."""

IN_TRANSIT = frozenset({"screening"})
"""Folders whose files another part of sftpd is at work on; they are searched and not touched."""


class Action(StrEnum):
    """What happens to a file: `keep` is for a legal hold, `wait` for a file that is in transit."""

    DELETE = "delete"
    REDACT = "redact"
    KEEP = "keep"
    WAIT = "wait"
    UNSEARCHABLE = "unsearchable"


REMOVALS = frozenset({Action.DELETE, Action.REDACT})
LEFT_BEHIND = REMOVALS | {Action.WAIT}
"""What may not be found any more once a request is to be closed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that carries the person: `records` of it, or the whole of it."""

    folder: str
    path: Parts
    format: str
    records: int
    whole: bool
    locators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unsearched:
    """A file or folder that could not be searched, and why."""

    folder: str
    path: Parts
    reason: str


@dataclass(frozen=True, slots=True)
class Searched:
    """The outcome of one search: what carries the person, what could not be read, files seen a folder."""

    findings: tuple[Finding, ...]
    unsearched: tuple[Unsearched, ...]
    files: Mapping[str, int]
    looked_up: int = 0
    """Files among them that were not read: the index knows that they do not carry the person."""


@dataclass(frozen=True, slots=True)
class Step:
    """One file and what happens to it; `reason` says why it is kept or cannot be searched."""

    folder: str
    path: Parts
    action: Action
    format: str | None = None
    records: int = 0
    reason: str | None = None
    locators: tuple[str, ...] = ()


def plan(searched: Searched, holds: Mapping[Place, str]) -> list[Step]:
    """Return a step for each finding and each file that could not be searched, in that order.

    `holds` gives the reason of the legal hold on each file that is under one.
    """
    steps = [_step(finding, holds.get((finding.folder, finding.path))) for finding in searched.findings]
    steps += [
        Step(item.folder, item.path, Action.UNSEARCHABLE, reason=item.reason) for item in searched.unsearched
    ]
    return steps


def _step(finding: Finding, hold: str | None) -> Step:
    action = Action.DELETE if finding.whole else Action.REDACT
    reason = None
    if hold is not None:
        action, reason = Action.KEEP, f"legal hold: {hold}"
    elif finding.folder in IN_TRANSIT:
        action, reason = Action.WAIT, "in transit: search again once it has arrived"
    return Step(
        finding.folder, finding.path, action, finding.format, finding.records, reason, finding.locators
    )
