"""Replay: what the erasure ledger tells of is removed again from a state that was restored from a backup.

A file is known by its content: wherever in the folders of its link a content lies that was erased, it goes,
or loses the same records by their marks. One that went for its name, or by decision, is known by that and a
name that it had, for others may have its content. Entries are taken in order, for a file may have been
redacted twice, and the state notes each with what was done for it: after a crash the rest is done. An entry
that cannot be carried out keeps the state from passing it, and so the daemon from serving.
"""

import base64
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from sftpd.erasure import exceptions, openings, records, traces
from sftpd.erasure.afresh import decide_afresh
from sftpd.erasure.contents import ContentError, Contents, remove, unnamed
from sftpd.erasure.desk import Links
from sftpd.erasure.erased import FileErased, FileExcepted, Head, RequestClosed, Told
from sftpd.erasure.erasures import Erasures, Standing
from sftpd.erasure.grounds import Ground
from sftpd.erasure.marks import unseal_places
from sftpd.erasure.messages import Found, Repeat
from sftpd.erasure.plan import Parts, Place, Unsearched
from sftpd.erasure.readers import Readers
from sftpd.erasure.removal import drop_drafts
from sftpd.erasure.whereabouts import Whereabouts
from sftpd.errors import ContainmentError, LedgerError, NotFoundError
from sftpd.files import durable
from sftpd.files.fingerprint import Fingerprint, fingerprint
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

_LISTED = 20
"""Files that are listed of those that have the content of an entry and may be another's."""


class Result(StrEnum):
    """What came of an entry; only `left` has to be done still."""

    DONE = "done"
    ABSENT = "absent"
    OTHER = "other"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one entry; `file` is an id or the digest of a place, `path` for the operator alone."""

    epoch: int
    request: str
    link: str
    folder: str
    file: str
    action: str
    result: Result
    records: int = 0
    path: Parts | None = None
    reason: str | None = None

    @property
    def public(self) -> dict[str, str | int | None]:
        """What its event says openly."""
        told = ("epoch", "request", "folder", "file", "action", "result", "records")
        return {name: getattr(self, name) for name in told}


@dataclass(frozen=True, slots=True)
class _Step:
    """What was done to one file, and what the ledger has to follow with."""

    result: Result
    records: int = 0
    reason: str | None = None
    old: Fingerprint | None = None
    new: Fingerprint | None = None
    seen: str | None = None
    replaced: str | None = None


class Replay:
    """Carries out what a restored state does not know to be erased."""

    def __init__(self, ledger: Ledger, readers: Readers, erasures: Erasures, links: Links) -> None:
        self._ledger = ledger
        self._readers = readers
        self._erasures = erasures
        self._links = links
        self._excepted: dict[str, dict[str, FileExcepted]] = {}
        """What requests have left as it is, by request and place."""
        self._erased: dict[str, list[FileErased]] = {}
        """The entries that this state does not know, by the content that went."""
        self._closed: set[str] = set()
        """Requests that were closed since."""

    def run(self, by: str) -> list[Outcome]:
        """Replay all entries that the state does not know; nothing is done where there are none.

        Raises RefusedError `ERASURE_LEDGER_LOST`, ProcessError when no reader can be started, LedgerError.
        """
        found = self._erasures.compare()
        if found.standing is Standing.LOST:
            self._erasures.require_current()
        if found.standing is Standing.CURRENT:
            return []
        public = {"after": found.after, "entries": found.epoch - found.after}

        def begin(unit: Unit) -> None:
            unit.record(Event("erasure.replay_begun", None, public, {"by": by}))
            decide_afresh(unit)

        self._ledger.write(begin)
        with ExitStack() as opened:
            outcomes = list(self._replay(found.after, opened))
        if not any(outcome.result is Result.LEFT for outcome in outcomes):
            counts = {str(result): sum(each.result is result for each in outcomes) for result in Result}
            self._ledger.write(lambda unit: unit.record(Event("erasure.replay_done", None, counts)))
            self._compact()
        return outcomes

    def _compact(self) -> None:
        try:
            self._ledger.compact()
        except LedgerError:
            return  # it is emptied when the ledger is closed

    def _replay(self, after: int, opened: ExitStack) -> Iterator[Outcome]:
        links: dict[str, Whereabouts] = {}
        self._read_ahead(after)
        passing = True
        for entry, head in self._erasures.pending(after):
            if entry.link not in links:
                links[entry.link] = self._look(entry.link, opened)
            if isinstance(entry, FileErased):
                outcomes = list(self._file(entry, links[entry.link]))
            elif isinstance(entry, FileExcepted):
                outcomes = list(self._keep(entry, links[entry.link]))
            else:
                self._drop_drafts(entry.request, links[entry.link])
                outcomes = [_outcome(entry, Result.DONE)]
            passing = passing and not any(outcome.result is Result.LEFT for outcome in outcomes)
            if passing:
                self._pass(entry, head)
            yield from outcomes

    def _read_ahead(self, after: int) -> None:
        # Exceptions that this state knows too: it does not know all that went for the same request.
        for entry, head in self._erasures.pending(0):
            if isinstance(entry, FileExcepted):
                self._excepted.setdefault(entry.request, {})[entry.place] = entry
            elif isinstance(entry, RequestClosed):
                self._closed.add(entry.request)
            elif head.epoch > after:
                self._erased.setdefault(entry.content, []).append(entry)

    def _drop_drafts(self, request: str, here: Whereabouts) -> None:
        with self._ledger.read() as conn:
            if (asked := records.known(conn, request)) is not None:
                drop_drafts(asked, records.items(conn, request), here.contents)

    def _pass(self, entry: Told, head: Head) -> None:
        def work(unit: Unit) -> None:
            if isinstance(entry, RequestClosed):
                records.close_again(unit, entry.request, entry.epoch)
            self._erasures.pass_on(unit, head)

        self._ledger.write(work)

    def _look(self, link: str, opened: ExitStack) -> Whereabouts:
        here = Whereabouts(link, self._ledger, self._erasures.digests)
        sizes = {entry.size for entries in self._erased.values() for entry in entries if entry.link == link}
        every = (entry for places in self._excepted.values() for entry in places.values())
        excepted = [entry for entry in every if entry.link == link]
        try:
            here.look(self._links.folders(link), sizes, excepted, opened)
        except NotFoundError as fault:
            here.closed.append(Unsearched("", (), f"{fault}; put its configuration back"))
        return here

    def _file(self, entry: FileErased, here: Whereabouts) -> Iterator[Outcome]:
        """Carry out an entry wherever its content lies, or say what is at the place that it names."""
        later = (other for other in self._erased[entry.content] if other.epoch > entry.epoch)
        found, exceptions = here.of(entry, later), self._excepted.get(entry.request, {}).values()
        excepted = {place: why for place in found if (why := here.excepted(entry, place, exceptions))}
        places = [place for place in found if place not in excepted]
        alike = here.alike(entry, found)
        for place in places:
            step = self._remove(entry, place, here)
            self._conclude(entry, place, step, here)
            if step.result is not Result.LEFT:
                here.became(entry, place, step.new)
            yield _outcome(entry, step.result, place[1], step.records, step.reason)
        for place, exception in excepted.items():
            self._conclude(entry, place, _Step(Result.OTHER), here)
            yield _outcome(entry, Result.OTHER, place[1], 0, _kept(exception))
        for closed in here.closed:
            yield _outcome(entry, Result.LEFT, None, 0, f"{closed.folder} {closed.reason}")
        if not (found or here.closed or (alike and here.own(entry) is None)):
            yield self._nowhere(entry, here)
        if alike:
            yield from self._list(entry, alike, here)

    def _keep(self, entry: FileExcepted, here: Whereabouts) -> Iterator[Outcome]:
        """Have what an open request left stay when that goes on, or say what it takes to keep it."""
        is_last = self._excepted[entry.request][entry.place] == entry
        with self._ledger.read() as conn:
            request = records.known(conn, entry.request)
        if request is None or not request.identifiers or entry.request in self._closed or not is_last:
            return
        for place in here.places(entry):
            if entry.ground is None and self._links.hold(here.link, *place) is not None:
                continue
            result, reason = Result.DONE, _kept(entry)
            if not entry.ground:
                what = "hold" if entry.ground is None else "except"
                result, reason = Result.OTHER, f"{reason}: {what} it again before the request is approved"
            outcome = _outcome(entry, result, place[1], 0, reason)
            self._ledger.write(partial(self._except, entry, place, outcome))
            yield outcome

    def _except(self, entry: FileExcepted, place: Place, outcome: Outcome, unit: Unit) -> None:
        if entry.ground:
            reason = f"as before the restore, entry {entry.epoch} of the erasure ledger"
            exceptions.keep(unit, entry.request, place, Ground(entry.ground), reason)
        unit.record(Event("erasure.replayed", entry.link, outcome.public))

    def _list(self, entry: FileErased, alike: Sequence[Place], here: Whereabouts) -> Iterator[Outcome]:
        """The outcomes on files of which only people can tell whether they are the one that went."""
        self._conclude(entry, alike[0], _Step(Result.OTHER), here)
        for folder, path in alike[:_LISTED]:
            reason = f"a file in {folder} has its content: look whether it is about the person"
            yield _outcome(entry, Result.OTHER, path, 0, reason)
        if (more := len(alike) - _LISTED) > 0:
            yield _outcome(entry, Result.OTHER, None, 0, f"{more} more have its content")

    def _nowhere(self, entry: FileErased, here: Whereabouts) -> Outcome:
        """The outcome where the content lies nowhere: what is left to do is to follow in the ledger."""
        own = here.own(entry)
        if own is None:
            blind = [f"{one.folder} {one.reason}" for one in here.unsearched]
            step = _Step(Result.ABSENT, reason="it is not in this state")
            if blind:
                step = _Step(Result.OTHER, reason=f"it was not found, and not all could be read: {blind[0]}")
        else:
            step = self._met(entry, here.contents[own[0]], own[1])
            self._conclude(entry, own, step, here)
        return _outcome(entry, step.result, None if own is None else own[1], step.records, step.reason)

    def _met(self, entry: FileErased, contents: Contents, path: Parts) -> _Step:
        """What is at a place whose content is not the one that went."""
        try:
            fd, mark = contents.open(path)
        except (FileNotFoundError, NotADirectoryError):
            return _Step(Result.ABSENT, 0 if entry.result else entry.records, "it is not there any more")
        except (OSError, ContainmentError, ContentError) as fault:
            return _Step(Result.OTHER, reason=f"it cannot be opened: {fault}")
        try:
            now = fingerprint(fd)
        finally:
            os.close(fd)
        if entry.result is not None and self._erasures.digests.content(now.sha256) == entry.result:
            reason = "it has lost them already"
            return _Step(Result.ABSENT, entry.records, reason, new=now, seen=mark)
        return _Step(Result.OTHER, reason="it has another content: look whether it is about the person")

    def _remove(self, entry: FileErased, place: Place, here: Whereabouts) -> _Step:
        folder, path = place
        contents, draft = here.contents[folder], f".erasure-replay-{entry.epoch}.tmp".encode()
        hold = self._links.hold(here.link, folder, path)
        if hold is not None:
            return _left(f"legal hold: {hold}; it was released before the file was erased: release it again")
        try:
            contents.drop_draft(path, draft)
            fd, mark = contents.open(path)
        except (FileNotFoundError, NotADirectoryError):
            return _Step(Result.ABSENT, reason="it is not there any more")
        except (OSError, ContainmentError, ContentError) as fault:
            return _left(f"it cannot be opened: {fault}")
        try:
            # As in an erasure: a shared lock is refused while somebody writes the file.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            old = fingerprint(fd)
            if self._erasures.digests.content(old.sha256) != entry.content:
                return _left("it changed meanwhile")
            if entry.result is None:
                remove(
                    contents, path, mark, lambda other: self._links.hold(here.link, folder, other) is not None
                )
                return _Step(Result.DONE, entry.records, old=old)
            return self._redact(entry, contents, path, draft, fd, mark, old)
        except BlockingIOError:
            return _left("it is being written")
        except ContentError as fault:
            return _left(fault.what)
        except OSError as fault:
            return _left(f"the file system does not allow it: {fault.strerror}")
        finally:
            os.close(fd)

    def _redact(
        self,
        entry: FileErased,
        contents: Contents,
        path: Parts,
        draft: bytes,
        fd: int,
        mark: str,
        old: Fingerprint,
    ) -> _Step:
        if entry.marks is None:
            return _left("too many texts in it were about the person to note them: remove the file by hand")
        key = self._erasures.digests.mark_key(old.sha256)
        places = () if entry.places is None else unseal_places(key, base64.b64decode(entry.places))
        question = Repeat(path[-1], key, places)
        with contents.draft(path, draft) as out, unnamed() as marks:
            durable.write_all(marks, base64.b64decode(entry.marks))
            readers = self._readers.knowing(self._links.layouts(entry.link))
            answer = readers.ask(question, [fd, out, marks])
            if not isinstance(answer, Found):
                return _left(f"a reader cannot read it any more: {answer.reason}; remove the file by hand")
            if answer.whole or not answer.records:
                return _left("its records are not told apart as they were then: remove the file by hand")
            new = fingerprint(out)
            if not contents.is_still(path, mark):
                return _left("it changed meanwhile")
            seen = contents.replace(path, draft, out, os.fstat(fd))
        reason = None
        if self._erasures.digests.content(new.sha256) != entry.result:
            reason = "it is written otherwise than then: look whether it is as it should be"
        return _Step(Result.DONE, answer.records, reason, old, new, seen, mark)

    def _conclude(self, entry: FileErased, place: Place, step: _Step, here: Whereabouts) -> None:
        """Have the ledger follow, with the event of it."""
        follows = step.result in (Result.DONE, Result.ABSENT)
        gone = follows and entry.result is None
        crossed: Sequence[str] = ()
        told: Sequence[str] = ()
        if follows and (gone or step.new is not None):
            with self._ledger.read() as conn:
                crossed = traces.transfers(conn, here.link, place, step.old)
                told = openings.of_hashes(conn, traces.crossed(conn, here.link, place, step.old)[1])

        def work(unit: Unit) -> None:
            openings.forget(unit, told, openings.OF_FILES if gone else openings.OF_HASHES)
            if step.new is not None and step.seen is not None:
                traces.redacted(unit, here.link, place, step.new, step.seen)
            elif gone:
                traces.erased(unit, here.link, place, self._erasures.digests)
            outcome = _outcome(entry, step.result, None, step.records)
            unit.record(Event("erasure.replayed", here.link, outcome.public))

        with self._links.receiptless(here.link, crossed):
            self._ledger.write(work)
        if step.replaced is not None:
            here.contents[place[0]].retire(step.replaced)


def _left(reason: str) -> _Step:
    return _Step(Result.LEFT, reason=reason)


def _kept(entry: FileExcepted) -> str:
    return "a legal hold kept it" if entry.ground is None else "it was excepted on a ground of GDPR 17(3)"


def _outcome(
    entry: Told,
    result: Result,
    path: Parts | None = None,
    count: int = 0,
    reason: str | None = None,
) -> Outcome:
    if isinstance(entry, RequestClosed):
        return Outcome(entry.epoch, entry.request, entry.link, "", "", "close", result)
    if isinstance(entry, FileExcepted):
        action = "hold" if entry.ground is None else "except"
    else:
        action = "delete" if entry.result is None else "redact"
    file = entry.file or entry.place
    told = (entry.epoch, entry.request, entry.link, entry.folder, file, action, result, count, path, reason)
    return Outcome(*told)
