"""What is to happen to each file in which a person was found or could not be looked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

Parts = tuple[bytes, ...]
Place = tuple[str, Parts]
"""A file: the name of its folder, and its path there."""

IN_TRANSIT = frozenset({"screening"})
"""Folders whose files another part of sftpd is at work on; they are searched and not touched."""


class Action(StrEnum):
    """What happens to a file: `keep` is for a legal hold, `wait` for a file that is in transit.

    `review` is a record that may be the person's: it stays until somebody decides that it goes.
    """

    DELETE = "delete"
    REDACT = "redact"
    KEEP = "keep"
    WAIT = "wait"
    REVIEW = "review"
    UNSEARCHABLE = "unsearchable"


REMOVALS = frozenset({Action.DELETE, Action.REDACT})
UNREAD = "unread"
"""The place of what may be in a file that could not be searched: anywhere."""
LEFT_BEHIND = REMOVALS | {Action.WAIT}
"""What may not be found any more once a request is to be closed."""


@dataclass(frozen=True, slots=True)
class Possible:
    """A record that may be the person's: its locator, what makes it one, whether it is the whole file."""

    place: str
    why: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that carries the person: `records` of it, or the whole of it; `possible` ones are not counted.

    Of a file with possible matches `mark` changes with its content.
    """

    folder: str
    path: Parts
    format: str
    records: int
    whole: bool
    locators: tuple[str, ...] = ()
    possible: tuple[Possible, ...] = ()
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Unsearched:
    """A file or folder that could not be searched, and why; a file that could be opened has a `mark`."""

    folder: str
    path: Parts
    reason: str
    mark: str = ""


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
    """One file and what happens to it; `reason` says why it is kept or cannot be searched.

    Of a possible match it is what happens to this record alone, in a file whose content has `mark`.
    """

    folder: str
    path: Parts
    action: Action
    format: str | None = None
    records: int = 0
    reason: str | None = None
    locators: tuple[str, ...] = ()
    possible: Possible | None = None
    mark: str = ""

    @property
    def is_unread(self) -> bool:
        """Whether it is about a file that could not be searched, on which somebody may decide or has."""
        return self.possible is not None and self.possible.place == UNREAD


def plan(searched: Searched, kept: Mapping[Place, str]) -> list[Step]:
    """Return a step for each finding and each file that could not be searched, in that order.

    `kept` says of each file that must stay why: a legal hold, or an exception.
    """
    steps = [
        step
        for finding in searched.findings
        for step in _steps(finding, kept.get((finding.folder, finding.path)))
    ]
    steps += [_unread(item, kept.get((item.folder, item.path))) for item in searched.unsearched]
    return steps


def _unread(item: Unsearched, kept: str | None) -> Step:
    """Nobody decides on what must stay, or cannot be told from what comes in its place."""
    step = Step(item.folder, item.path, Action.UNSEARCHABLE, reason=item.reason)
    if kept is not None:
        return replace(step, reason=f"{item.reason}; {kept}")
    if not item.mark or item.folder in IN_TRANSIT:
        return step
    return replace(step, possible=Possible(UNREAD, item.reason, whole=True), mark=item.mark)


def _steps(finding: Finding, kept: str | None) -> Iterator[Step]:
    """What is not touched anyway needs no review yet."""
    certain = _step(finding, kept)
    if finding.records or certain.action not in REMOVALS:
        yield certain
    if certain.action in REMOVALS:
        yield from (_reviewed(finding, possible) for possible in finding.possible)


def _reviewed(finding: Finding, possible: Possible) -> Step:
    return Step(
        finding.folder,
        finding.path,
        Action.REVIEW,
        finding.format,
        records=1,
        reason=f"possible match: {possible.why}",
        locators=(possible.place,),
        possible=possible,
        mark=finding.mark,
    )


def _step(finding: Finding, kept: str | None) -> Step:
    action = Action.DELETE if finding.whole else Action.REDACT
    reason = None
    if kept is not None:
        action, reason = Action.KEEP, kept
    elif finding.folder in IN_TRANSIT:
        action, reason = Action.WAIT, "in transit: search again once it has arrived"
    return Step(
        finding.folder, finding.path, action, finding.format, finding.records, reason, finding.locators
    )
