"""Carries disposals out on disk: intent, removal, done; what a crash leaves behind, the same code ends."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

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
    OF_PLAN,
    OFFERED,
    REMOVED,
    Done,
    Intent,
    Result,
    Returns,
    conclude,
    intend,
)
from sftpd.retention.in_care import account_of
from sftpd.retention.removal import Copied, Target, failed, make_durable
from sftpd.retention.roots import Place, Roots
from sftpd.retention.rule import STAGING, Copy, Kept
from sftpd.retention.schedule import Item

BATCH = 500
"""Files a transaction: so many that its commits and syncs cost little beside them, and no more, as whatever
else the ledger is to record waits for one transaction."""
_UNSEEN = 64
"""Files that are removed before holds are looked at again."""
_HANDS = 2
"""Threads that remove files: while one waits for the file system the other goes on."""

Opened = Mapping[Place, Root]
Held = Callable[[Kept], bool]
Vaults = Callable[[str], Vault | None]
"""The vault of a link, None where it has none."""


class Reach(NamedTuple):
    """What retention reaches besides the folders of links."""

    vaults: Vaults = lambda _: None
    returns: Returns | None = None
    """None: nothing goes back to a remote."""


_Group: TypeAlias = tuple[Intent, Target | Copied, Mapping[Copy, Target]]
"""An intent, with its file and what goes with it, each where it is."""


@dataclass(slots=True)
class _Came:
    """What came of files; `missing` is the result for one that is not there."""

    copies: Copies
    missing: Result
    outcomes: dict[Target | Copied, Result] = field(default_factory=dict)
    placed: dict[str, bytes] = field(default_factory=dict)
    """The paths in `/download` of those that were given back, by their ids."""
    directories: dict[Place, Path] = field(default_factory=dict)
    """Where folders are: to ask takes as long as to remove a file."""

    def settled(self) -> dict[Target | Copied, Result]:
        """The outcomes, durable and looked at once more."""
        make_durable(target for target, result in self.outcomes.items() if result in REMOVED)
        return {target: target.verified(result) for target, result in self.outcomes.items()}


_NOTHING: Mapping[str, Sequence[Copy]] = MappingProxyType({})
_log = structlog.get_logger()


class Sweep:
    """Removes the files of intents, in batches."""

    def __init__(self, ledger: Ledger, roots: Roots, clock: Clock, reach: Reach) -> None:
        self._ledger = ledger
        self._roots = roots
        self._clock = clock
        self._looking = threading.Lock()
        self.adopt(reach)

    def adopt(self, reach: Reach) -> None:
        """Reach this from now on."""
        self._vaults, self._returns = reach

    def catch_up(self) -> None:
        """Wait until what is removed is removed by the holds and rules that there are now."""
        with self._looking:
            pass

    def run(
        self,
        plan: str,
        batches: Iterable[Sequence[Item]],
        places: Collection[Place],
        require: Callable[[], None] = lambda: None,
        parts: Iterable[Kept] = (),
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> dict[str, Result]:
        """Dispose of items, or give them back, while `require` raises nothing; returns file id → result.

        Where `may_go_on` does not let a batch end, `require` is to raise, and what is left is for `resume`.
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
            usable = roots.keys() - empty
            for link, folder in sorted(empty):
                _log.warning("retention_folder_empty", link=link, folder=folder)
            copies = Copies(self._roots, opened, parts)
            again = bool(self._ledger.look_up(OF_PLAN, of_plan=plan))
            for items in batches:
                require()
                lying = [Item(item.file.where_it_lies, item.decision) for item in items]
                reachable = [item for item in lying if _folder(item.file) in usable]
                if not reachable:
                    continue
                beside = {i.file.id: _beside(i.file, roots, copies) for i in reachable}
                intents = self._intend(plan, reachable, beside, again=again)
                done = self._finish(intents, roots, copies, Result.ABSENT, may_go_on)
                results |= done
                if len(done) < len(intents):
                    require()
        return results

    def resume(self, intents: Sequence[Intent], not_due: Collection[str]) -> dict[str, Result]:
        """Finish intents that a crash left behind, but for those of folders that `run` leaves out.

        The files `not_due` stay, if they are still there.
        """
        with ExitStack() as opened:
            roots, _ = self._roots.open({_folder(intent.file) for intent in intents}, opened)
            reachable = [intent for intent in intents if _folder(intent.file) in roots]
            return self._finish(reachable, roots, Copies(self._roots, opened), Result.GONE, not_due=not_due)

    def _intend(
        self,
        plan: str,
        items: Sequence[Item],
        copies: Mapping[str, Sequence[Copy]] = _NOTHING,
        *,
        again: bool = True,
    ) -> list[Intent]:
        return self._ledger.write(lambda unit: intend(unit, plan, items, copies, again=again))

    def _finish(
        self,
        intents: Sequence[Intent],
        roots: Opened,
        copies: Copies,
        missing: Result,
        may_go_on: Callable[[], bool] = lambda: True,
        not_due: Collection[str] = (),
    ) -> dict[str, Result]:
        """Carry intents out as long as they may go on; returns file id → result of those that were."""
        groups = [(intent, *self._targets(intent, roots, copies)) for intent in intents]
        came = _Came(copies, missing)
        begun = 0
        with ThreadPoolExecutor(_HANDS, thread_name_prefix="sftpd-remove") as hands:
            while begun < len(groups):
                some = groups[begun : begun + _UNSEEN]
                with self._looking:
                    if not may_go_on():
                        break
                    carry_out = partial(self._carry_out, self._held(some), not_due, came)
                    wait(shares := [hands.submit(carry_out, share) for share in _shares(some)])
                for share in shares:
                    share.result()
                begun += len(some)
        if not begun:
            return {}
        outcomes = came.settled()
        done = [
            Done(
                intent,
                outcomes[target],
                {copy: outcomes[at] for copy, at in also.items() if at in outcomes},
                came.placed.get(intent.file.id),
            )
            for intent, target, also in groups[:begun]
        ]

        def work(unit: Unit) -> None:
            conclude(unit, done, self._returns)

        self._ledger.write(work)
        return {one.intent.file.id: one.result for one in done}

    def _carry_out(
        self, is_held: Held, not_due: Collection[str], came: _Came, groups: Sequence[_Group]
    ) -> None:
        for group in groups:
            self._carry_out_one(group, is_held, not_due, came)

    def _carry_out_one(self, group: _Group, is_held: Held, not_due: Collection[str], came: _Came) -> None:
        """Dispose of one file or give it back, and then of what goes with it."""
        intent, target, also = group
        file = target.file
        download = came.copies.root((file.link, OFFERED)) if intent.action == "return" else None
        path = None
        with self._alone(target, came):
            if is_held(file):
                result, path = target.stays(Result.HELD, download, came.missing)
            elif file.id in not_due:
                result, path = target.stays(Result.NOT_DUE, download, came.missing)
            elif intent.return_by is not None:
                result = self._send_back(target, intent.return_by)
            elif intent.action == "return":
                result, path = target.give_back(download, came.missing)
            else:
                result = target.remove(came.missing)
        came.outcomes[target] = result
        if path is not None:
            came.placed[file.id] = b"/".join(path)
        if result not in REMOVED | {Result.RETURNED}:
            return
        for copy in also.values():
            with self._alone(copy, came):
                came.outcomes[copy] = Result.HELD if is_held(copy.file) else copy.remove(came.missing)

    def _alone(self, target: Target | Copied, came: _Came) -> AbstractContextManager[None]:
        """Let nobody publish, change or remove what lies there meanwhile: it would be what is removed."""
        if isinstance(target, Copied):
            return nullcontext()
        place = _folder(target.file)
        if place not in came.directories:
            came.directories[place] = self._roots.folder(place)
        return self._roots.alone(came.directories[place], target.parts)

    def _send_back(self, target: Target | Copied, route: str) -> Result:
        file = target.file
        if self._returns is not None and self._returns.has(file.link, route):
            return target.stay()
        return failed(file, f"its link has no route {route} by which it could go back")

    def _held(self, groups: Sequence[_Group]) -> Held:
        """Says whether a hold covers a file, as of now: it may have been placed after the plan was made."""
        if not self._ledger.look_up(held.ANYWHERE):
            return lambda _: False
        files = [one.file for _, target, also in groups for one in (target, *also.values())]
        with self._ledger.read() as conn:
            return held.as_of(conn, self._clock.now(), files)

    def _targets(
        self, intent: Intent, roots: Opened, copies: Copies
    ) -> tuple[Target | Copied, dict[Copy, Target]]:
        """The file of an intent and what goes with it, each where it is."""
        file = intent.file
        if file.folder == vaulted.FOLDER:
            return Copied(file, self._vaults(file.link)), {}
        also = {
            copy: Target(_beside_it(file, copy), copies.root((file.link, copy.folder)))
            for copy in intent.copies
        }
        return Target(file, roots[_folder(file)]), also


def _beside_it(file: Kept, copy: Copy) -> Kept:
    """What goes with a file; an unfinished upload is of the account that made it."""
    peer = account_of(copy.path) if copy.folder == STAGING else file.peer
    return replace(file, folder=copy.folder, path=copy.path, source=copy.source, peer=peer)


def _folder(file: Kept) -> tuple[str, str]:
    return file.link, file.folder


def _shares(groups: Sequence[_Group]) -> list[list[_Group]]:
    """What each hand takes; the names of one file go together, or it would be in use for the other hand."""
    names: dict[str, list[_Group]] = {}
    for group in groups:
        names.setdefault(group[0].file.source, []).append(group)
    files = [*names.values()]
    return [[*chain.from_iterable(files[n::_HANDS])] for n in range(_HANDS)]


def _is_empty(root: Root) -> bool:
    with root.scan() as entries:
        return next(entries, None) is None


def _beside(file: Kept, roots: Opened, copies: Copies) -> Sequence[Copy]:
    target = Target(file, roots[_folder(file)])
    return copies.of(_folder(file), roots[_folder(file)], target.parts)
