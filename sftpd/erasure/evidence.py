"""From what was done and what the second search saw to a signed certificate."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from sftpd.audit.checkpoint import SigningKey
from sftpd.erasure.certificate import (
    Certificate,
    FileEntry,
    FolderCount,
    IdentifierDigest,
    SecondSearch,
    sign,
)
from sftpd.erasure.plan import Action, Place, Searched, Step
from sftpd.erasure.records import Item, Request

HELD_UNTIL = "the legal hold on each file listed as held is released"


def certify(
    request: Request,
    items: Sequence[Item],
    files: Mapping[str, int],
    second: Searched,
    steps: Sequence[Step],
    now: datetime,
    key: SigningKey,
) -> str:
    """Return the signed certificate of a request.

    `items` are its steps as carried out, `files` what the first search looked into, `second` the search
    after the removal and `steps` what that would lead to: holds and what cannot be searched.
    """
    kept = sum(item.state == "kept" for item in items)
    carriers = {(finding.folder, finding.path) for finding in second.findings if finding.records}
    holds = {(step.folder, step.path) for step in steps if step.action is Action.KEEP}
    held = tuple(_entry(request, step) for step in steps if step.action is Action.KEEP)
    unsearchable = tuple(_entry(request, step) for step in steps if step.action is Action.UNSEARCHABLE)
    certificate = Certificate(
        request=request.id,
        link=request.link,
        received=_instant(request.received_at),
        due=_instant(request.due_at),
        issued=_instant(now),
        identifiers=tuple(
            IdentifierDigest(known.kind, known.digest(request.secret)) for known in request.identifiers
        ),
        searched=_counts(files),
        removed=tuple(_removed(items)),
        held=held,
        unsearchable=unsearchable,
        remains_until=HELD_UNTIL if held else None,
        second_search=SecondSearch(_instant(now), _counts(second.files), len(carriers - holds), len(held)),
        possible_kept=kept or msgspec.UNSET,
    )
    return sign(certificate, key).decode()


def _removed(items: Iterable[Item]) -> Iterable[FileEntry]:
    for item in items:
        done = item.step
        if item.is_done:
            yield FileEntry(item.file, done.folder, done.action, done.format, done.records, done.reason)


def _entry(request: Request, step: Step) -> FileEntry:
    place: Place = (step.folder, step.path)
    return FileEntry(request.digest(place), step.folder, step.action, step.format, step.records, step.reason)


def _counts(files: Mapping[str, int]) -> tuple[FolderCount, ...]:
    return tuple(FolderCount(folder, count) for folder, count in sorted(files.items()))


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
