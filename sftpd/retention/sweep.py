"""Carries disposals out on disk: intent, removal, done; what a crash leaves behind, the same code ends."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import structlog

from sftpd.clock import Clock
from sftpd.errors import RefusedError
from sftpd.files.beneath import Root
from sftpd.files.vault import Vault
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.link import vaulted
from sftpd.retention import held
from sftpd.retention.copies import Copies
from sftpd.retention.disposal import (
    OFFERED,
    REMOVED,
    Done,
    Intent,
    Result,
    Returns,
    conclude,
    intend,
)
from sftpd.retention.removal import Copied, Target, failed, make_durable
from sftpd.retention.roots import Place, Roots
from sftpd.retention.rule import Action, Copy, Kept
from sftpd.retention.schedule import Item

BATCH = 500
"""Files a transaction: so many that its commits and syncs cost little beside them, and no more, as whatever
else the ledger is to record waits for one transaction."""
_UNSEEN = 64
"""Files that are removed before holds are looked at again."""

Opened = Mapping[Place, Root]
Held = Callable[[Kept], bool]
Vaults = Callable[[str], Vault | None]
"""The vault of a link, None where it has none."""


class Reach(NamedTuple):
    """What retention reaches besides the folders of links."""

    vaults: Vaults = lambda _: None
    returns: Returns | None = None
    """None: nothing goes back to a remote."""


_NOTHING: Mapping[str, Sequence[Copy]] = MappingProxyType({})
_log = structlog.get_logger()


class Sweep:
    """Removes the files of intents, in batches."""

    def __init__(self, ledger: Ledger, roots: Roots, clock: Clock, reach: Reach) -> None:
        self._ledger = ledger
        self._vaults, self._returns = reach
        self._roots = roots
        self._clock = clock

    def run(
        self,
        plan: str,
        batches: Iterable[Sequence[Item]],
        places: Collection[Place],
        require: Callable[[], None] = lambda: None,
        parts: Iterable[Kept] = (),
    ) -> dict[str, Result]:
        """Dispose of items, or give them back, while `require` raises nothing; returns file id → result.

        Their files lie in `places`; `parts` are those of them that are unfinished uploads. The files of a
        folder that is missing or replaced are left out: it may not be mounted. So are those of an empty one.
        Raises RefusedError, before anything is done, when no folder is left.
        """
        results: dict[str, Result] = {}
        with ExitStack() as opened:
            roots, against = self._roots.open(set(places), opened)
            if against and not roots:
                raise RefusedError(
                    against[0].text,
                    reason=against[0].code,
                    remedy=f"{against[0].remedy}; nothing was disposed of",
                )
            empty = {place for place, root in roots.items() if _is_empty(root)}
            for link, folder in sorted(empty):
                _log.warning("retention_folder_empty", link=link, folder=folder)
            copies = Copies(self._roots, opened, parts)
            for items in batches:
                require()
                lying = [replace(item, file=item.file.where_it_lies) for item in items]
                reachable = [item for item in lying if _folder(item.file) in roots.keys() - empty]
                if not reachable:
                    continue
                intents = self._intend(
                    plan, reachable, {i.file.id: _beside(i.file, roots, copies) for i in reachable}
                )
                results |= self._finish(intents, roots, copies, missing=Result.ABSENT)
        return results

    def resume(self, intents: Sequence[Intent]) -> dict[str, Result]:
        """Finish intents that a crash left behind, but for those of folders that `run` leaves out."""
        with ExitStack() as opened:
            roots, _ = self._roots.open({_folder(intent.file) for intent in intents}, opened)
            reachable = [intent for intent in intents if _folder(intent.file) in roots]
            return self._finish(reachable, roots, Copies(self._roots, opened), missing=Result.GONE)

    def _intend(
        self, plan: str, items: Sequence[Item], copies: Mapping[str, Sequence[Copy]] = _NOTHING
    ) -> list[Intent]:
        return self._ledger.write(lambda unit: intend(unit, plan, items, copies))

    def _finish(
        self, intents: Sequence[Intent], roots: Opened, copies: Copies, missing: Result
    ) -> dict[str, Result]:
        outcomes: dict[Target | Copied, Result] = {}
        placed: dict[str, bytes] = {}

        def remove(
            target: Target | Copied, is_held: Held, action: Action = "dispose", by: str | None = None
        ) -> Result:
            if is_held(target.file):
                outcomes[target] = Result.HELD
            elif by is not None:
                outcomes[target] = self._send_back(target, by)
            elif action == "return":
                outcomes[target], path = target.give_back(copies.root((target.file.link, OFFERED)), missing)
                if path is not None:
                    placed[target.file.id] = b"/".join(path)
            else:
                outcomes[target] = target.remove(missing)
            return outcomes[target]

        groups = [(intent, *self._targets(intent, roots, copies)) for intent in intents]
        for start in range(0, len(groups), _UNSEEN):
            some = groups[start : start + _UNSEEN]
            is_held = self._held([intent for intent, _, _ in some])
            for intent, target, also in some:
                if remove(target, is_held, intent.action, intent.return_by) in REMOVED | {Result.RETURNED}:
                    for copy in also.values():
                        remove(copy, is_held)
        make_durable(target for target, result in outcomes.items() if result in REMOVED)
        outcomes = {target: target.verified(result) for target, result in outcomes.items()}
        done = [
            Done(
                intent,
                outcomes[target],
                {copy: outcomes[at] for copy, at in also.items() if at in outcomes},
                placed.get(intent.file.id),
            )
            for intent, target, also in groups
        ]

        def work(unit: Unit) -> None:
            conclude(unit, done, self._returns)

        self._ledger.write(work)
        return {one.intent.file.id: one.result for one in done}

    def _send_back(self, target: Target | Copied, route: str) -> Result:
        file = target.file
        if self._returns is not None and self._returns.has(file.link, route):
            return target.stay()
        return failed(file, f"its link has no route {route} by which it could go back")

    def _held(self, intents: Sequence[Intent]) -> Held:
        """Says whether a hold covers a file, as of now: it may have been placed after the plan was made."""
        with self._ledger.read() as conn:
            return held.as_of(conn, self._clock.now(), [intent.file for intent in intents])

    def _targets(
        self, intent: Intent, roots: Opened, copies: Copies
    ) -> tuple[Target | Copied, dict[Copy, Target]]:
        """The file of an intent and what goes with it, each where it is."""
        file = intent.file
        if file.folder == vaulted.FOLDER:
            return Copied(file, self._vaults(file.link)), {}
        also = {
            copy: Target(
                replace(file, folder=copy.folder, path=copy.path, source=copy.source),
                copies.root((file.link, copy.folder)),
            )
            for copy in intent.copies
        }
        return Target(file, roots[_folder(file)]), also


def _folder(file: Kept) -> tuple[str, str]:
    return file.link, file.folder


def _is_empty(root: Root) -> bool:
    with root.scan() as entries:
        return next(entries, None) is None


def _beside(file: Kept, roots: Opened, copies: Copies) -> Sequence[Copy]:
    target = Target(file, roots[_folder(file)])
    return copies.of(_folder(file), roots[_folder(file)], target.parts)
