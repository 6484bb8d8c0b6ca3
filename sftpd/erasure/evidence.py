"""From what was done and what the second search saw to a signed certificate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from sftpd.audit.canonical import instant
from sftpd.audit.checkpoint import SigningKey
from sftpd.erasure.certificate import (
    Certificate,
    Completion,
    FileEntry,
    FolderCount,
    IdentifierDigest,
    Physical,
    Recipient,
    SecondSearch,
    sign,
)
from sftpd.erasure.grounds import is_exception
from sftpd.erasure.medium import Medium
from sftpd.erasure.plan import Action, Place, Searched, Step
from sftpd.erasure.records import Item, Request

_HELD_UNTIL = "the legal hold on each file listed as held is released"
_EXCEPTED_UNTIL = "the ground of each exception has ended"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a certificate rests on."""

    items: Sequence[Item]
    """The steps as carried out."""
    files: Mapping[str, int]
    """What the first search looked into."""
    second: Searched
    """The search after the removal."""
    steps: Sequence[Step]
    """What that would lead to: holds, and what cannot be searched."""
    media: Mapping[str, Medium]
    """Where the contents of each folder lie."""
    recipients: Sequence[Recipient]
    kept_until: datetime
    """When the certificate is to be removed."""


def certify(request: Request, evidence: Evidence, now: datetime, key: SigningKey) -> str:
    """Return the signed certificate of a request."""
    steps, second = evidence.steps, evidence.second
    kept = sum(item.state == "kept" and not item.step.is_unread for item in evidence.items)
    carriers = {(finding.folder, finding.path) for finding in second.findings if finding.records}
    holds = {(step.folder, step.path) for step in steps if step.action is Action.KEEP}
    held = tuple(_entry(request, step) for step in steps if step.action is Action.KEEP)
    unsearchable = tuple(_entry(request, step) for step in _unsearchable(evidence))
    certificate = Certificate(
        request=request.id,
        link=request.link,
        received=instant(request.received_at),
        due=instant(request.due_at),
        issued=instant(now),
        identifiers=tuple(
            IdentifierDigest(known.kind, known.digest(request.secret)) for known in request.identifiers
        ),
        searched=_counts(evidence.files),
        removed=tuple(_removed(evidence.items)),
        held=held,
        unsearchable=unsearchable,
        remains_until=_remains_until(held),
        second_search=SecondSearch(instant(now), _counts(second.files), len(carriers - holds), len(held)),
        completion=Completion(instant(now), tuple(_physical(evidence))),
        recipients=tuple(evidence.recipients),
        kept_until=instant(evidence.kept_until),
        possible_kept=kept or msgspec.UNSET,
    )
    return sign(certificate, key).decode()


def _unsearchable(evidence: Evidence) -> Iterable[Step]:
    """What could not be searched; where somebody decided that it stays, its reason tells so."""
    stays = {
        (item.step.folder, item.step.path, item.step.mark): item.step
        for item in evidence.items
        if item.step.is_unread and item.state == "kept"
    }
    for step in evidence.steps:
        if step.action is Action.UNSEARCHABLE:
            yield stays.get((step.folder, step.path, step.mark), step)


def _remains_until(held: Sequence[FileEntry]) -> str | None:
    excepted = {is_exception(entry.reason) for entry in held}
    told = [text for kind, text in ((False, _HELD_UNTIL), (True, _EXCEPTED_UNTIL)) if kind in excepted]
    return ", and ".join(told) or None


def _removed(items: Iterable[Item]) -> Iterable[FileEntry]:
    for item in items:
        done = item.step
        if item.is_done:
            yield FileEntry(item.file, done.folder, done.action, done.format, done.records, done.reason)


def _physical(evidence: Evidence) -> Iterable[Physical]:
    """How the bytes went, of each folder from which some did."""
    for folder in sorted({item.step.folder for item in evidence.items if item.is_done}):
        medium = evidence.media.get(folder)
        if medium is not None:
            yield Physical(folder, medium.way, medium.file_system)


def _entry(request: Request, step: Step) -> FileEntry:
    place: Place = (step.folder, step.path)
    return FileEntry(request.digest(place), step.folder, step.action, step.format, step.records, step.reason)


def _counts(files: Mapping[str, int]) -> tuple[FolderCount, ...]:
    return tuple(FolderCount(folder, count) for folder, count in sorted(files.items()))
