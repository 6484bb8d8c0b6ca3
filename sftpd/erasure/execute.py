"""Carrying a plan out, file by file: intent on record, the file replaced or removed, the outcome on record.

Every step may be repeated: after a crash the same plan runs again, finds what is done, and does the rest.
Before a file is touched the erasure ledger has it durably, so that a restored backup can lose it again.
"""

import base64
import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from sftpd.erasure import records, traces
from sftpd.erasure.contents import ContentError, Contents, unnamed
from sftpd.erasure.erased import FileErased
from sftpd.erasure.erasures import Digests, Erasures
from sftpd.erasure.marks import noted, seal_places
from sftpd.erasure.messages import Found, Redact, Unsearchable
from sftpd.erasure.plan import Action, Place
from sftpd.erasure.readers import Readers
from sftpd.erasure.records import Item, Request
from sftpd.erasure.search import NAME_FORMAT, look_into
from sftpd.errors import ContainmentError
from sftpd.files.beneath import Parts
from sftpd.files.fingerprint import Fingerprint, fingerprint
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

Held = Callable[[str, Parts], str | None]
"""The reason of the legal hold on a file, given its folder's name and its path; None when there is none."""

Receiptless = Callable[[Sequence[str]], AbstractContextManager[None]]
"""Removes the receipts of transfers, and lets none be written until the context ends."""

_CHANGED = "it is not what was approved any more"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one step; a file that was replaced has a `new` content, whose mark is `seen`."""

    done: bool
    records: int = 0
    reason: str | None = None
    old: Fingerprint | None = None
    new: Fingerprint | None = None
    seen: str | None = None
    replaced: str | None = None
    """The mark of the content that another took the place of."""


class Executor:
    """Carries out the removals of one approved request; `folders` are its folders by name."""

    def __init__(
        self,
        ledger: Ledger,
        readers: Readers,
        erasures: Erasures,
        request: Request,
        folders: Mapping[str, Contents],
        held: Held,
        receiptless: Receiptless,
    ) -> None:
        self._ledger = ledger
        self._readers = readers
        self._erasures = erasures
        self._request = request
        self._folders = folders
        self._held = held
        self._receiptless = receiptless

    def carry_out(self, items: Sequence[Item]) -> None:
        """Carry out what is not done yet; what cannot be done as approved goes back to `planned`, with why.

        Raises ProcessError when no reader can be started, LedgerError and ErasureLedgerError.
        """
        for item in items:
            if item.is_undone:
                self._ledger.write(partial(self._intend, item))
                outcome = self._remove(item)
                # Receipts tell the name and the hash, which the ledger forgets with the next commit.
                with self._receiptless(self._transfers(item, outcome)):
                    self._ledger.write(partial(self._conclude, item, outcome))
                if outcome.replaced is not None:
                    self._folders[item.step.folder].retire(outcome.replaced)

    def _intend(self, item: Item, unit: Unit) -> None:
        records.intend(unit, self._request.id, item.seq)
        self._erasures.reserve(unit, self._request.id)
        unit.record(Event("erasure.intended", self._request.link, self._public(item)))

    def _conclude(self, item: Item, outcome: Outcome, unit: Unit) -> None:
        place: Place = (item.step.folder, item.step.path)
        link = self._request.link
        if outcome.new is not None and outcome.seen is not None:
            traces.redacted(unit, link, place, outcome.old, outcome.new, outcome.seen)
        elif outcome.done and outcome.records:
            traces.erased(unit, link, place, outcome.old)
        removed = outcome.records if outcome.done else None
        records.conclude(unit, self._request.id, item.seq, removed, outcome.reason)
        self._erasures.note(unit)
        public = {**self._public(item), "records": outcome.records}
        unit.record(Event("erasure.removed" if outcome.done else "erasure.left", link, public))

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
            "folder": item.step.folder,
            "action": item.step.action,
        }

    def _remove(self, item: Item) -> Outcome:
        contents, path = self._folders[item.step.folder], item.step.path
        if (kept := self._kept(item)) is not None:
            return kept
        try:
            contents.drop_draft(path, draft_name(self._request, item))
            fd, mark = contents.open(path)
        except (FileNotFoundError, NotADirectoryError):
            return _nothing_left(item, "it was not there any more")
        except ContentError as fault:
            return Outcome(done=False, reason=fault.what)
        except (OSError, ContainmentError):
            return Outcome(done=False, reason=_CHANGED)
        try:
            # A shared lock is refused while somebody writes the file under the lock that staging takes.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            change = self._delete if item.step.action is Action.DELETE else self._redact
            return change(contents, item, fd, mark)
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
        return None if hold is None else Outcome(done=False, reason=f"legal hold: {hold}")

    def _delete(self, contents: Contents, item: Item, fd: int, mark: str) -> Outcome:
        path, old = item.step.path, fingerprint(fd)
        answer = look_into(fd, path[-1], self._request.identifiers, self._readers)
        if isinstance(answer, Found) and not answer.records:
            return Outcome(done=True, reason="it did not carry the person any more")
        if not (isinstance(answer, Found) and answer.whole and contents.is_still(path, mark)):
            return Outcome(done=False, reason=_CHANGED)
        if (kept := self._kept(item)) is not None:
            return kept
        self._enter(item, old, answer)
        contents.remove(path, mark)
        return Outcome(True, answer.records, _other_names(fd), old)

    def _redact(self, contents: Contents, item: Item, fd: int, mark: str) -> Outcome:
        path, draft, old = item.step.path, draft_name(self._request, item), fingerprint(fd)
        plain = tuple(known.plain() for known in self._request.identifiers)
        question = Redact(path[-1], plain, key=self._erasures.digests.mark_key(old.sha256))
        with contents.draft(path, draft) as out, unnamed() as marks:
            answer = self._readers.ask(question, [fd, out, marks])
            if isinstance(answer, Unsearchable) or answer.whole:
                return Outcome(done=False, reason=_CHANGED)
            if not answer.records:
                nothing = _nothing_left(item, "it did not carry the person any more")
                return replace(nothing, new=old, seen=mark) if nothing.records else nothing
            new = fingerprint(out)
            if not contents.is_still(path, mark):
                return Outcome(done=False, reason=_CHANGED)
            if (kept := self._kept(item)) is not None:
                return kept
            self._enter(item, old, answer, _Redaction(new, noted(marks), question))
            seen = contents.replace(path, draft, out, os.fstat(fd))
        return Outcome(True, answer.records, _other_names(fd), old, new, seen, replaced=mark)

    def _enter(
        self, item: Item, old: Fingerprint, answer: Found, redaction: "_Redaction | None" = None
    ) -> None:
        """Have the erasure ledger know, durably, what is about to be removed."""
        told: dict[str, str | None] = {} if redaction is None else redaction.told(self._erasures.digests)
        place = (item.step.folder, item.step.path)
        digests = self._erasures.digests
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
                only_here=answer.format == NAME_FORMAT,
                **told,
            )

        self._erasures.append(entry)


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


def draft_name(request: Request, item: Item) -> bytes:
    """The new file's name until it is whole: hidden, and the same after a crash."""
    return f".erasure-{request.id}-{item.seq}.tmp".encode()


def _nothing_left(item: Item, reason: str) -> Outcome:
    """The outcome where there is nothing to remove: a run before this one did, where it left its intent."""
    if item.state == "intended":
        return Outcome(True, item.step.records, "finished after an interruption")
    return Outcome(done=True, reason=reason)


def _other_names(fd: int) -> str | None:
    """What to say of a file that has names left after the one that was removed."""
    others = os.fstat(fd).st_nlink
    return f"{others} other hard links keep the old content" if others else None
