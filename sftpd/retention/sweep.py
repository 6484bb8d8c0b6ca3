"""Carries disposals out on disk: intent, removal, done; what a crash leaves behind, the same code ends."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import structlog

from sftpd.clock import Clock
from sftpd.errors import ContainmentError, RefusedError
from sftpd.files.beneath import Parts, Root
from sftpd.files.fingerprint import snapshot
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.retention import holds
from sftpd.retention.disposal import REMOVED, Intent, Result, conclude, intend
from sftpd.retention.rule import Kept, covers
from sftpd.retention.schedule import Item

BATCH = 64
"""Files a transaction: few commits, and after a crash no more than this many to finish."""

FolderOf = Callable[[str, str], Path]
"""The directory of a folder of a link: (link, folder) → absolute path."""

Roots = Mapping[tuple[str, str], Root]
_log = structlog.get_logger()


class Sweep:
    """Removes the files of intents, in batches."""

    def __init__(self, ledger: Ledger, folder_of: FolderOf, clock: Clock) -> None:
        self._ledger = ledger
        self._folder_of = folder_of
        self._clock = clock

    def run(self, plan: str, items: Sequence[Item]) -> dict[str, Result]:
        """Dispose of `items`; returns file id → result.

        Raises RefusedError `FOLDER_MISSING`, before anything is done, when a folder is not there: it may
        not be mounted. The files of an empty folder are left out for the same reason.
        """
        results: dict[str, Result] = {}
        with ExitStack() as opened:
            roots = self._open((item.file for item in items), opened)
            empty = {place for place, root in roots.items() if _is_empty(root)}
            for link, folder in sorted(empty):
                _log.warning("retention_folder_empty", link=link, folder=folder)
            reachable = [item for item in items if _folder(item.file) not in empty]
            for start in range(0, len(reachable), BATCH):
                intents = self._intend(plan, reachable[start : start + BATCH])
                results |= self._finish(intents, roots, missing=Result.ABSENT)
        return results

    def resume(self, intents: Sequence[Intent]) -> dict[str, Result]:
        """Finish intents that a crash left behind; returns file id → result. Raises as `run` does."""
        with ExitStack() as opened:
            roots = self._open((intent.file for intent in intents), opened)
            return self._finish(intents, roots, missing=Result.GONE)

    def _intend(self, plan: str, items: Sequence[Item]) -> list[Intent]:
        return self._ledger.write(lambda unit: intend(unit, plan, items))

    def _finish(self, intents: Sequence[Intent], roots: Roots, missing: Result) -> dict[str, Result]:
        held = self._held(intents)
        results = []
        for intent in intents:
            file = intent.file
            result = Result.HELD if file.id in held else _remove(roots[_folder(file)], file, missing)
            results.append((intent, result))
        _make_durable((intent.file for intent, result in results if result in REMOVED), roots)

        def work(unit: Unit) -> None:
            conclude(unit, results)

        self._ledger.write(work)
        return {intent.file.id: result for intent, result in results}

    def _held(self, intents: Sequence[Intent]) -> set[str]:
        """The files on which a hold was placed after the plan was made."""
        with self._ledger.read() as conn:
            standing = [hold for hold in holds.listed(conn) if hold.stands(self._clock.now())]
        return {i.file.id for i in intents if any(covers(hold, i.file) for hold in standing)}

    def _open(self, files: Iterable[Kept], opened: ExitStack) -> Roots:
        roots = {}
        for link, folder in sorted({_folder(file) for file in files}):
            path = self._folder_of(link, folder)
            try:
                roots[link, folder] = opened.enter_context(Root.at(path))
            except OSError as error:
                raise RefusedError(
                    f"folder cannot be opened: {error.strerror}",
                    reason="FOLDER_MISSING",
                    where=str(path),
                    remedy="restore or mount it; nothing was disposed of",
                ) from error
        return roots


def _folder(file: Kept) -> tuple[str, str]:
    return file.link, file.folder


def _parts(file: Kept) -> Parts:
    return tuple(file.path.split(b"/"))


def _is_empty(root: Root) -> bool:
    with root.scan() as entries:
        return next(entries, None) is None


def _remove(root: Root, file: Kept, missing: Result) -> Result:
    try:
        status = root.stat(_parts(file), follow=False)
        if file.source != str(snapshot(status)):
            return Result.CHANGED
        root.unlink(_parts(file))
    except (FileNotFoundError, NotADirectoryError):
        return missing
    except (OSError, ContainmentError) as error:
        _log.error("disposal_failed", file=file.id, link=file.link, error=str(error))
        return Result.FAILED
    return Result.DISPOSED if status.st_nlink == 1 else Result.LINKED


def _make_durable(files: Iterable[Kept], roots: Roots) -> None:
    """Sync each directory that lost a file; one that is gone itself has nothing left to lose."""
    for place, parts in {(_folder(file), _parts(file)[:-1]) for file in files}:
        try:
            with roots[place].sub(parts) as directory:
                directory.sync()
        except (FileNotFoundError, NotADirectoryError):
            continue
