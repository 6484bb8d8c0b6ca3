"""Carries disposals out on disk: intent, removal, done; what a crash leaves behind, the same code ends."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

import structlog

from sftpd.clock import Clock
from sftpd.errors import ContainmentError, RefusedError
from sftpd.files.beneath import Parts, Root
from sftpd.files.fingerprint import snapshot
from sftpd.files.writers import is_in_use
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.retention import held
from sftpd.retention.disposal import REMOVED, Intent, Result, conclude, intend
from sftpd.retention.guards import Reason
from sftpd.retention.roots import Place, Roots, is_covered
from sftpd.retention.rule import Kept
from sftpd.retention.schedule import Item

BATCH = 64
"""Files a transaction: few commits, and after a crash no more than this many to finish."""

Opened = Mapping[Place, Root]
_log = structlog.get_logger()


class Sweep:
    """Removes the files of intents, in batches."""

    def __init__(self, ledger: Ledger, roots: Roots, clock: Clock) -> None:
        self._ledger = ledger
        self._roots = roots
        self._clock = clock

    def run(
        self, plan: str, items: Sequence[Item], require: Callable[[], None] = lambda: None
    ) -> dict[str, Result]:
        """Dispose of `items` while `require` raises nothing; returns file id → result.

        The files of a folder that is missing or replaced are left out: it may not be mounted. So are those
        of an empty one. Raises RefusedError, before anything is done, when no folder is left.
        """
        results: dict[str, Result] = {}
        with ExitStack() as opened:
            roots, against = self._open((item.file for item in items), opened)
            if against and not roots:
                raise RefusedError(
                    against[0].text,
                    reason=against[0].code,
                    remedy=f"{against[0].remedy}; nothing was disposed of",
                )
            empty = {place for place, root in roots.items() if _is_empty(root)}
            for link, folder in sorted(empty):
                _log.warning("retention_folder_empty", link=link, folder=folder)
            reachable = [item for item in items if _folder(item.file) in roots.keys() - empty]
            for start in range(0, len(reachable), BATCH):
                require()
                intents = self._intend(plan, reachable[start : start + BATCH])
                results |= self._finish(intents, roots, missing=Result.ABSENT)
        return results

    def resume(self, intents: Sequence[Intent]) -> dict[str, Result]:
        """Finish intents that a crash left behind, but for those of folders that `run` leaves out."""
        with ExitStack() as opened:
            roots, _ = self._open((intent.file for intent in intents), opened)
            reachable = [intent for intent in intents if _folder(intent.file) in roots]
            return self._finish(reachable, roots, missing=Result.GONE)

    def _intend(self, plan: str, items: Sequence[Item]) -> list[Intent]:
        return self._ledger.write(lambda unit: intend(unit, plan, items))

    def _finish(self, intents: Sequence[Intent], roots: Opened, missing: Result) -> dict[str, Result]:
        kept = self._held(intents)
        results = []
        for intent in intents:
            file = intent.file
            result = Result.HELD if file.id in kept else _remove(roots[_folder(file)], file, missing)
            results.append((intent, result))
        _make_durable((intent.file for intent, result in results if result in REMOVED), roots)

        def work(unit: Unit) -> None:
            conclude(unit, results)

        self._ledger.write(work)
        return {intent.file.id: result for intent, result in results}

    def _held(self, intents: Sequence[Intent]) -> set[str]:
        """The files on which a hold was placed after the plan was made."""
        with self._ledger.read() as conn:
            return held.held_of(conn, self._clock.now(), [intent.file for intent in intents])

    def _open(self, files: Iterable[Kept], opened: ExitStack) -> tuple[Opened, list[Reason]]:
        return self._roots.open({_folder(file) for file in files}, opened)


def _folder(file: Kept) -> tuple[str, str]:
    return file.link, file.folder


def _parts(file: Kept) -> Parts:
    return tuple(file.path.split(b"/"))


def _is_empty(root: Root) -> bool:
    with root.scan() as entries:
        return next(entries, None) is None


def _remove(root: Root, file: Kept, missing: Result) -> Result:
    parts = _parts(file)
    try:
        status = root.stat(parts, follow=False)
        if file.source != str(snapshot(status)):
            return Result.CHANGED
        if _is_in_use(root, parts):
            return Result.IN_USE
        root.unlink(parts)
    except (FileNotFoundError, NotADirectoryError):
        return Result.COVERED if is_covered(root, parts) else missing
    except (OSError, ContainmentError) as error:
        _log.error("disposal_failed", file=file.id, link=file.link, error=str(error))
        return Result.FAILED
    return Result.DISPOSED if status.st_nlink == 1 else Result.LINKED


def _is_in_use(root: Root, parts: Parts) -> bool:
    """Whether anybody has the file open; where the kernel does not tell, it is taken for unused."""
    try:
        fd = root.open(parts, os.O_RDONLY | os.O_NOFOLLOW)
    except BlockingIOError:
        return True  # another process has a write lease and is asked to give it back
    except PermissionError:
        return False  # it may be removed without being read
    try:
        return bool(is_in_use(fd))
    finally:
        os.close(fd)


def _make_durable(files: Iterable[Kept], roots: Opened) -> None:
    """Sync each directory that lost a file; one that is gone itself has nothing left to lose."""
    for place, parts in {(_folder(file), _parts(file)[:-1]) for file in files}:
        try:
            with roots[place].sub(parts) as directory:
                directory.sync()
        except (FileNotFoundError, NotADirectoryError):
            continue
