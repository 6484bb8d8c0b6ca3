"""The review of a plan: what may be the person is decided on, and what must stay is excepted."""

import os
from collections.abc import Callable, Sequence

from sftpd.erasure import exceptions, match_records, records
from sftpd.erasure.contents import ContentError, Searchable
from sftpd.erasure.finder import Why
from sftpd.erasure.grounds import Ground
from sftpd.erasure.messages import Show, Shown
from sftpd.erasure.plan import REMOVALS, Action
from sftpd.erasure.readers import Readers
from sftpd.erasure.records import Item, Request
from sftpd.erasure.request import State
from sftpd.erasure.search import NAME_FORMAT, NAME_PLACE
from sftpd.errors import ContainmentError, NotFoundError, RefusedError, UsageError
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit

Folders = Callable[[str], Sequence[Searchable]]
"""The folders of a link. Raises NotFoundError."""


class Reviewer:
    """Shows possible matches, and takes decisions on them and exceptions, while a request is in review."""

    def __init__(self, ledger: Ledger, readers: Callable[[str], Readers], folders: Folders) -> None:
        self._ledger = ledger
        self._readers = readers
        self._folders = folders

    def matches(self, request_id: str) -> list[Item]:
        """The possible matches of a request, decided or not, and unsearchable files that are decided on.

        Raises NotFoundError.
        """
        with self._ledger.read() as conn:
            records.get(conn, request_id)
            items = records.items(conn, request_id)
        return [item for item in items if item.step.possible is not None and not item.is_unsearched]

    def look(self, request_id: str, seq: int, by: str, reason: str) -> str:
        """Read what a possible match says, once it is on record that `by` looks at it and why.

        It is stored nowhere. Raises NotFoundError, and RefusedError `ERASURE_CHANGED` where the file is not
        what was searched any more.
        """

        def work(unit: Unit) -> tuple[Request, Item]:
            request = records.get(unit.conn, request_id)
            item = records.match(unit.conn, request_id, seq)
            private = {"by": by, "reason": reason}
            unit.record(Event("erasure.looked", request.link, {"request": request.id, "item": seq}, private))
            return request, item

        request, item = self._ledger.write(work)
        return self._said(request, item)

    def decide(
        self,
        request_id: str,
        seqs: Sequence[int],
        forms: Sequence[Why] = (),
        *,
        remove: bool,
        by: str,
        reason: str | None,
    ) -> None:
        """Decide on possible matches, and on all of some forms on which nobody has decided yet.

        Of a file that could not be searched it is decided whether the whole goes, for a `reason`. A decision
        may be changed until the plan is approved.

        Raises RefusedError `ERASURE_STATE`, NotFoundError where there is nothing to decide on in one of
        `seqs`, UsageError where a reason is wanted.
        """

        def work(unit: Unit) -> None:
            request = records.get(unit.conn, request_id)
            _require_review(request, "possible matches to decide on")
            chosen = list(dict.fromkeys((*seqs, *match_records.undecided_of(unit.conn, request.id, forms))))
            for unknown in match_records.decide(unit, request.id, chosen, remove=remove, reason=reason):
                records.match(unit.conn, request.id, unknown)
            if not reason and (unread := match_records.unread(unit.conn, request.id, chosen)):
                raise UsageError(
                    "to decide on a file that could not be searched needs a reason",
                    where=f"step {unread[0]}",
                    expected="--reason TEXT",
                )
            private = {"by": by} if reason is None else {"by": by, "reason": reason}
            for seq in chosen:
                public = {"request": request.id, "item": seq, "decision": "remove" if remove else "keep"}
                unit.record(Event("erasure.decided", request.link, public, private))

        self._ledger.write(work)

    def except_files(
        self, request_id: str, seqs: Sequence[int], ground: Ground, reason: str, by: str
    ) -> None:
        """Have the files of some steps stay, with all that is in them of the person.

        It holds for the files of that name until the request is closed. Raises RefusedError `ERASURE_STATE`,
        NotFoundError where one of `seqs` is no step that removes anything, or may.
        """

        def work(unit: Unit) -> None:
            request = records.get(unit.conn, request_id)
            _require_review(request, "plan that can be changed")
            known = {item.seq: item.step for item in records.items(unit.conn, request_id)}
            for seq in seqs:
                if seq not in known or known[seq].action not in REMOVALS | {Action.REVIEW}:
                    raise NotFoundError(
                        f"request {request_id} removes nothing in step {seq}",
                        remedy="see its steps with `sftpd erasure show`",
                    )
            places = {seq: (known[seq].folder, known[seq].path) for seq in seqs}
            exceptions.enter(unit, request_id, request.link, places, ground, reason, by)

        self._ledger.write(work)

    def _said(self, request: Request, item: Item) -> str:
        step, possible = item.step, item.step.possible
        assert possible is not None
        folder = next((each for each in self._folders(request.link) if each.name == step.folder), None)
        if folder is None:
            raise _changed(item)
        if step.is_unread:
            return ""
        if possible.place == NAME_PLACE:
            return step.path[-1].decode("utf-8", "backslashreplace")
        plain = tuple(known.plain() for known in request.identifiers)
        try:
            with folder.open() as contents:
                fd, _ = contents.open(step.path)
        except (OSError, ContainmentError, ContentError) as fault:
            raise _changed(item) from fault
        try:
            shown = self._readers(request.link).show(Show(step.path[-1], plain, (possible.place,)), fd)
        finally:
            os.close(fd)
        if isinstance(shown, Shown) and step.mark in (shown.mark, NAME_FORMAT):
            return shown.text
        raise _changed(item)


def _require_review(request: Request, lacking: str) -> None:
    if request.state is not State.REVIEW:
        raise RefusedError(
            f"a request that is {request.state} has no {lacking}",
            reason="ERASURE_STATE",
            where=request.id,
            remedy="search it with `sftpd erasure find`",
        )


def _changed(item: Item) -> RefusedError:
    return RefusedError(
        "the file is not what was searched any more",
        reason="ERASURE_CHANGED",
        where=f"item {item.seq}",
        remedy="search the request again with `sftpd erasure find`",
    )
