"""Carrying a plan out, file by file: intent on record, the file replaced or removed, the outcome on record.

Every step may be repeated: after a crash the same plan runs again, finds what is done, and does the rest.
Before a file is touched the erasure ledger has it durably, so that a restored backup can lose it again.
"""

import base64
import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import msgspec

from sftpd.erasure import deliveries, match_records, records, traces
from sftpd.erasure.contents import ContentError, Contents, remove, unnamed
from sftpd.erasure.erased import FileErased, FileExcepted
from sftpd.erasure.erasures import Digests, Erasures
from sftpd.erasure.file_names import file_name_carries, file_name_may_carry
from sftpd.erasure.freed import HELD
from sftpd.erasure.grounds import ground_of
from sftpd.erasure.marks import noted, seal_places
from sftpd.erasure.messages import Carried, Found, Redact, Unsearchable, Which
from sftpd.erasure.plan import REMOVALS, Action, Place, Step
from sftpd.erasure.readers import Readers
from sftpd.erasure.records import Item, Request
from sftpd.erasure.removal import Outcome, Work, by_file, draft_name, steps_by_file
from sftpd.erasure.search import NAME_FORMAT, NAME_PLACE, look_into
from sftpd.erasure.staying import carried_over, of_files
from sftpd.errors import ContainmentError
from sftpd.files.beneath import Parts
from sftpd.files.fingerprint import Fingerprint, fingerprint
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.link import beside

Held = Callable[[str, Parts], str | None]
"""The reason of the legal hold on a file, given its folder's name and its path; None when there is none."""

Receiptless = Callable[[Sequence[str]], AbstractContextManager[None]]
"""Removes the receipts of transfers, and lets none be written until the context ends."""

Alone = Callable[[str, Parts], AbstractContextManager[None]]
"""Lets nobody else publish, change or remove the file at a path of a folder, until the context ends."""


class Around(NamedTuple):
    """What else is done with the files of a link."""

    held: Held
    receiptless: Receiptless
    alone: Alone


_CARRIES = REMOVALS | {Action.KEEP, Action.REVIEW}
"""What happens to a file that carries the person, or may."""
_CHANGED = "it is not what was approved any more"


class Executor:
    """Carries out the removals of one approved request; `folders` are its folders by name."""

    def __init__(
        self,
        ledger: Ledger,
        readers: Readers,
        erasures: Erasures,
        request: Request,
        folders: Mapping[str, Contents],
        around: Around,
    ) -> None:
        self._ledger = ledger
        self._readers = readers
        self._erasures = erasures
        self._request = request
        self._folders = folders
        self._held, self._receiptless, self._alone = around
        self._planned: frozenset[Place] = frozenset()
        self._staying: Mapping[Place, Sequence[Item]] = {}

    def carry_out(self, items: Sequence[Item]) -> None:
        """Carry out what is not done yet; what cannot be done as approved goes back to `planned`, with why.

        Raises ProcessError when no reader can be started, LedgerError and ErasureLedgerError.
        """
        self._planned = frozenset((item.step.folder, item.step.path) for item in items)
        self._staying = of_files(items)
        self._enter_exceptions(items)
        for work in by_file(items):
            self._ledger.write(partial(self._intend, work))
            # Begins with the last look at the file, and ends when the ledger knows what became of it.
            with ExitStack() as turn:
                outcome = self._remove(work, turn)
                # Receipts tell the name and the hash, which the ledger forgets with the next commit.
                with self._receiptless(self._transfers(work.item, outcome)):
                    self._ledger.write(partial(self._conclude, work, outcome))
            if outcome.replaced is not None:
                self._folders[work.item.step.folder].retire(outcome.replaced)

    def _enter_exceptions(self, items: Sequence[Item]) -> None:
        """Have the erasure ledger know what stays, so that a restored backup does not lose it."""
        told = False
        for place, steps in sorted(steps_by_file(items).items()):
            ground = self._ground(place, steps)
            if ground is not msgspec.UNSET:
                self._erasures.append(partial(self._excepted, place, ground))
                told = True
        if told and not any(item.is_undone for item in items):
            self._ledger.write(self._erasures.note)

    def _ground(self, place: Place, steps: Sequence[Step]) -> str | msgspec.UnsetType | None:
        """On which ground of GDPR 17(3) a file stays, None for a legal hold; unset for one that goes."""
        for step in steps:
            if (ground := ground_of(step.reason)) is not None:
                return ground
        carries = any(step.action in _CARRIES for step in steps)
        return None if carries and self._held(*place) is not None else msgspec.UNSET

    def _excepted(self, place: Place, ground: str | None, epoch: int, at: str) -> FileExcepted:
        link, digests = self._request.link, self._erasures.digests
        with self._ledger.read() as conn:
            file = traces.reference(conn, link, place)
        return FileExcepted(
            epoch=epoch,
            at=at,
            request=self._request.id,
            link=link,
            folder=place[0],
            file=file,
            place=digests.place(link, *place),
            names=tuple(sorted(self._names(place, decided=True))),
            ground=ground,
        )

    def _intend(self, work: Work, unit: Unit) -> None:
        self._erasures.reserve(unit, self._request.id)
        for item in work.items:
            records.intend(unit, self._request.id, item.seq)
            unit.record(Event("erasure.intended", self._request.link, self._public(item)))

    def _conclude(self, work: Work, outcome: Outcome, unit: Unit) -> None:
        place: Place = (work.item.step.folder, work.item.step.path)
        link = self._request.link
        if outcome.done and outcome.records:
            deliveries.note(unit, self._request, place, outcome.old, whole=outcome.new is None)
        if outcome.new is not None and outcome.seen is not None:
            traces.redacted(unit, link, place, outcome.new, outcome.seen)
            if outcome.staying is not None:
                match_records.carry_over(
                    unit, self._request.id, self._request.secret, place, *outcome.staying
                )
        elif outcome.done and outcome.records:
            traces.erased(unit, link, place, self._erasures.digests)
        for item in work.items:
            removed = work.records_of(item, outcome)
            reason = outcome.reason or (item.step.reason if item.step.possible else None)
            records.conclude(unit, self._request.id, item.seq, removed, reason)
            public = {**self._public(item), "records": removed or 0}
            unit.record(Event("erasure.removed" if outcome.done else "erasure.left", link, public))
        self._erasures.note(unit)

    def _transfers(self, item: Item, outcome: Outcome) -> Sequence[str]:
        """Whose receipts tell of what was removed."""
        if not (outcome.done and outcome.records):
            return ()
        with self._ledger.read() as conn:
            place = (item.step.folder, item.step.path)
            return traces.transfers(conn, self._request.link, place, outcome.old)

    def _public(self, item: Item) -> dict[str, str | int]:
        return {
            "request": self._request.id,
            "item": item.seq,
            "folder": beside.told(item.step.folder),
            "action": item.step.action,
        }

    def _remove(self, work: Work, turn: ExitStack) -> Outcome:
        item = work.item
        if item.step.folder not in self._folders:
            return Outcome(done=False, reason="its folder is none of the link's any more")
        contents, path = self._folders[item.step.folder], item.step.path
        if (kept := self._kept(item)) is not None:
            return kept
        try:
            contents.drop_draft(path, draft_name(self._request, item))
            fd, mark = contents.open(path)
        except (FileNotFoundError, NotADirectoryError):
            return _nothing_left(work, "it was not there any more")
        except ContentError as fault:
            return Outcome(done=False, reason=fault.what)
        except (OSError, ContainmentError):
            return Outcome(done=False, reason=_CHANGED)
        try:
            # A shared lock is refused while somebody writes the file under the lock that staging takes.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            change = self._delete if item.step.action is Action.DELETE else self._redact
            return change(contents, work, _Opened(fd, mark, turn))
        except ContentError as fault:
            return Outcome(done=False, reason=fault.what)
        except BlockingIOError:
            return Outcome(done=False, reason="it is being written")
        except OSError as fault:
            return Outcome(done=False, reason=f"the file system does not allow it: {fault.strerror}")
        finally:
            os.close(fd)

    def _kept(self, item: Item) -> Outcome | None:
        """The outcome where a hold is on the file: asked before the work, and again before its effect."""
        hold = self._held(item.step.folder, item.step.path)
        return None if hold is None else Outcome(done=False, reason=HELD + hold)

    def _keeps(self, contents: Contents, item: Item, opened: "_Opened") -> Outcome | None:
        """The outcome where the file is another one by now, or held; else it stays as it is until told of."""
        opened.turn.enter_context(self._alone(item.step.folder, item.step.path))
        if not contents.is_still(item.step.path, opened.mark):
            return Outcome(done=False, reason=_CHANGED)
        return self._kept(item)

    def _delete(self, contents: Contents, work: Work, opened: "_Opened") -> Outcome:
        item, fd = work.item, opened.fd
        path, old = item.step.path, fingerprint(fd)
        answer = work.unread(opened.mark) or look_into(fd, path[-1], self._request.identifiers, self._readers)
        if isinstance(answer, Found) and not (answer.records or work.decided):
            return Outcome(done=True, reason="it did not carry the person any more")
        if isinstance(answer, Unsearchable) or not (answer.whole or _is_as_decided(answer, work)):
            return Outcome(done=False, reason=_CHANGED)
        carried = self._carried(fd, work)
        if (kept := self._keeps(contents, item, opened)) is not None:
            return kept
        deliveries.note_ahead(self._ledger, self._request, old, carried, whole=True)
        self._enter(work, old, answer)
        remove(contents, path, opened.mark, partial(self._stays, item.step.folder))
        return Outcome(True, work.gone, _other_names(fd), old)

    def _redact(self, contents: Contents, work: Work, opened: "_Opened") -> Outcome:
        item, fd, mark = work.item, opened.fd, opened.mark
        path, draft, old = item.step.path, draft_name(self._request, item), fingerprint(fd)
        if old.sha256.hex() in {each.draft for each in work.items}:
            return replace(_nothing_left(work, _CHANGED), new=old, seen=mark)
        plain = tuple(known.plain() for known in self._request.identifiers)
        places, key = tuple(each.place for each in work.decided), self._erasures.digests.mark_key(old.sha256)
        question = Redact(path[-1], plain, places=places, mark=work.mark, key=key)
        with contents.draft(path, draft) as out, unnamed() as marks:
            answer = self._readers.ask(question, [fd, out, marks])
            if isinstance(answer, Unsearchable) or (answer.whole and not work.decided):
                return Outcome(done=False, reason=_CHANGED)
            if not answer.records:
                nothing = _nothing_left(work, "it did not carry the person any more")
                return replace(nothing, new=old, seen=mark) if nothing.records else nothing
            new = fingerprint(out)
            kept_items = self._staying.get((item.step.folder, path), ())
            staying = carried_over(self._readers, self._request, kept_items, fd, out)
            carried = self._carried(fd, work)
            if (kept := self._keeps(contents, item, opened)) is not None:
                return kept
            deliveries.note_ahead(self._ledger, self._request, old, carried, whole=answer.whole)
            if answer.whole:
                self._enter(work, old, answer)
                remove(contents, path, mark, partial(self._stays, item.step.folder))
                return Outcome(True, answer.records, _other_names(fd), old)
            if work.decided:
                # Of a content with other records at these places one cannot tell that it is done.
                note = partial(match_records.note_draft, request_id=self._request.id, seq=work.first_decided)
                self._ledger.write(partial(note, sha256=new.sha256.hex()))
            self._enter(work, old, answer, _Redaction(new, noted(marks), question))
            seen = contents.replace(path, draft, out, os.fstat(fd))
        return Outcome(True, answer.records, _other_names(fd), old, new, seen, staying, replaced=mark)

    def _stays(self, folder: str, path: Parts) -> bool:
        """Whether a file does not go with the one that it lies beside: held, or with steps of its own."""
        return (folder, path) in self._planned or self._held(folder, path) is not None

    def _carried(self, fd: int, work: Work) -> Sequence[int]:
        """The numbers of the identifiers that a content carries, which is read for it; all where unknown.

        A name on which was decided carries all that it may.
        """
        name, known = work.item.step.path[-1], self._request.identifiers
        by_name = any(possible.place == NAME_PLACE for possible in work.decided)
        carried = {
            number
            for number, one in enumerate(known)
            if file_name_carries([one], name) or (by_name and file_name_may_carry([one], name))
        }
        if len(known) > 1:
            answer = self._readers.which(Which(name, tuple(one.plain() for one in known)), fd)
            carried |= set(answer.numbers if isinstance(answer, Carried) else ())
        return sorted(carried) or range(len(known))

    def _enter(
        self, work: Work, old: Fingerprint, answer: Found, redaction: "_Redaction | None" = None
    ) -> None:
        """Have the erasure ledger know, durably, what is about to be removed."""
        told: dict[str, str | None] = {} if redaction is None else redaction.told(self._erasures.digests)
        item = work.item
        place = (item.step.folder, item.step.path)
        digests = self._erasures.digests
        only_here = answer.format == NAME_FORMAT or bool(work.decided)
        names = self._names(place, decided=bool(work.decided)) if only_here else set()
        with self._ledger.read() as conn:
            file = traces.reference(conn, self._request.link, place)

        def entry(epoch: int, at: str) -> FileErased:
            return FileErased(
                epoch=epoch,
                at=at,
                request=self._request.id,
                link=self._request.link,
                folder=item.step.folder,
                file=file,
                place=digests.place(self._request.link, *place),
                content=digests.content(old.sha256),
                size=old.size,
                format=answer.format,
                records=answer.records,
                only_here=only_here,
                names=tuple(sorted(names)) or msgspec.UNSET,
                **told,
            )

        self._erasures.append(entry)

    def _names(self, place: Place, *, decided: bool) -> set[str]:
        """Digests of the names by which a file is known that is the person's by its name, or by decision."""
        with self._ledger.read() as conn:
            crossings, _ = traces.crossed(conn, self._request.link, place, None)
            names = {place[1][-1], *traces.names(conn, crossings)}
        if not decided:
            # Under a name that was nobody's another file may have the same content, such as none.
            names = {name for name in names if file_name_carries(self._request.identifiers, name)}
        ids = {crossing.encode() for crossing in crossings}  # what it is called while it is screened
        return {self._erasures.digests.name(self._request.link, name) for name in names | ids}


class _Opened(NamedTuple):
    """A file at work: a descriptor to read it by, its mark, and the turn of whoever changes it."""

    fd: int
    mark: str
    turn: ExitStack


class _Redaction(NamedTuple):
    """How a file was redacted: what it became, and by what its records are found again."""

    new: Fingerprint
    marks: bytes | None
    question: Redact

    def told(self, digests: Digests) -> dict[str, str | None]:
        """What the erasure ledger says of it."""
        sealed = seal_places(self.question.key, self.question.places) if self.question.places else None
        return {
            "result": digests.content(self.new.sha256),
            "marks": None if self.marks is None else base64.b64encode(self.marks).decode(),
            "places": None if sealed is None else base64.b64encode(sealed).decode(),
        }


def _is_as_decided(answer: Found, work: Work) -> bool:
    """Whether the possible matches on which was decided are all still there."""
    decided = {each.place for each in work.decided}
    there = {each.place for each in answer.possible}
    return bool(decided) and answer.mark == work.mark and decided <= there


def _nothing_left(work: Work, reason: str) -> Outcome:
    """The outcome where there is nothing to remove: a run before this one did, where it left its intent."""
    if work.item.state == "intended":
        return Outcome(True, work.gone, "finished after an interruption")
    return Outcome(done=True, reason=reason)


def _other_names(fd: int) -> str | None:
    """What to say of a file that has names left after the one that was removed."""
    others = os.fstat(fd).st_nlink
    return f"{others} other hard links keep the old content" if others else None
