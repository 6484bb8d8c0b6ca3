"""What is removed of one file in one go, and what came of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sftpd.erasure.contents import Contents
from sftpd.erasure.messages import Found
from sftpd.erasure.plan import Action, Place, Possible, Step
from sftpd.erasure.records import Item, Request
from sftpd.erasure.staying import Staying
from sftpd.errors import ContainmentError
from sftpd.files.fingerprint import Fingerprint


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one step; a file that was replaced has a `new` content, whose mark is `seen`."""

    done: bool
    records: int = 0
    reason: str | None = None
    old: Fingerprint | None = None
    new: Fingerprint | None = None
    seen: str | None = None
    staying: Staying | None = None
    """Where in the new content the possible matches are that stay by decision."""
    replaced: str | None = None
    """The mark of the content that another took the place of."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is removed of one file in one go: `item` says how, and `items` all steps that are done with it."""

    item: Item
    items: tuple[Item, ...]

    @property
    def decided(self) -> list[Possible]:
        """The possible matches among them."""
        return [item.step.possible for item in self.items if item.step.possible is not None]

    @property
    def mark(self) -> str:
        """The mark of the content on which was decided."""
        return next((item.step.mark for item in self.items if item.step.possible is not None), "")

    @property
    def first_decided(self) -> int:
        """The number of the first possible match among them."""
        return next(item.seq for item in self.items if item.step.possible is not None)

    @property
    def gone(self) -> int:
        """How many records are gone when it is done; what could not be searched counts as one."""
        return sum(item.step.records for item in self.items) or 1

    def unread(self, mark: str) -> Found | None:
        """What to take for found where a file with this mark goes as decided though it cannot be searched."""
        decided = any(item.step.is_unread and item.step.mark == mark for item in self.items)
        return Found(Action.UNSEARCHABLE, 0, whole=True) if decided else None

    def records_of(self, item: Item, outcome: Outcome) -> int | None:
        """How many of the records that went are of one of the steps; None where it is not done."""
        if not outcome.done:
            return None
        if not outcome.records or item.step.possible is not None or self.item.step.action is Action.DELETE:
            return item.step.records if outcome.records else 0
        return outcome.records - len(self.decided)


def by_file(items: Iterable[Item]) -> Iterator[Work]:
    """What is not done yet, file by file; where a whole file goes, that is how."""
    files: dict[Place, list[Item]] = {}
    for item in items:
        if item.is_undone:
            files.setdefault((item.step.folder, item.step.path), []).append(item)
    for together in files.values():
        first = min(together, key=lambda item: (item.step.action is Action.REDACT, item.seq))
        yield Work(first, tuple(together))


def steps_by_file(items: Sequence[Item]) -> dict[Place, list[Step]]:
    """All steps of a plan, by the file that they are about."""
    steps: dict[Place, list[Step]] = {}
    for item in items:
        steps.setdefault((item.step.folder, item.step.path), []).append(item.step)
    return steps


def draft_name(request: Request, item: Item) -> bytes:
    """The new file's name until it is whole: hidden, and the same after a crash."""
    return f".erasure-{request.id}-{item.seq}.tmp".encode()


def drop_drafts(request: Request, items: Sequence[Item], folders: Mapping[str, Contents]) -> None:
    """Remove what a request was about to put in the place of files, and will not any more."""
    for item in items:
        if item.is_undone and item.step.folder in folders:
            with suppress(OSError, ContainmentError):
                folders[item.step.folder].drop_draft(item.step.path, draft_name(request, item))
