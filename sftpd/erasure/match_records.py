"""Records that may be a person's, and the decisions on them, as rows of the ledger."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sftpd.erasure.finder import Why
from sftpd.erasure.plan import UNREAD, Action, Place, Possible, Step
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.writer import Unit

_item, _match, _decision = tables.erasure_item, tables.erasure_match, tables.erasure_decision
_OPEN = (_item.c.action == Action.REVIEW, _item.c.state != "kept")
"""What a step is on which somebody has to decide."""


@dataclass(frozen=True, slots=True)
class Match:
    """What is known of a step that is about a possible match; `draft` is the hash of the next content."""

    possible: Possible
    mark: str
    draft: str


def listed(conn: sa.Connection, request_id: str, seq: int | None = None) -> Mapping[int, Match]:
    """The possible matches of a request, or the one of a step, by the number of the step."""
    query = sa.select(_match).where(_match.c.request == request_id)
    rows = conn.execute(query if seq is None else query.where(_match.c.seq == seq))
    return {
        row.seq: Match(Possible(row.place, row.why, row.whole), row.mark, row.draft or "") for row in rows
    }


def replace(unit: Unit, request_id: str, secret: bytes, steps: Sequence[tuple[int, Step]]) -> None:
    """Enter the possible matches of a new plan beside those that are done, and decide on them as before."""
    still = sa.exists().where(_item.c.request == request_id, _item.c.seq == _match.c.seq)
    # The numbers of a plan are higher than those of what is done.
    gone = sa.or_(~still, _match.c.seq >= steps[0][0]) if steps else ~still
    unit.conn.execute(_match.delete().where(_match.c.request == request_id, gone))
    rows = [_row(request_id, secret, seq, step) for seq, step in steps if step.possible is not None]
    if not rows:
        return
    unit.conn.execute(_match.insert(), rows)
    decisions = unit.conn.execute(sa.select(_decision).where(_decision.c.request == request_id))
    known = {row.match: row for row in decisions}
    for seq, step in steps:
        if step.possible is None:
            continue
        decided = known.get(_key(secret, step, step.possible.place))
        if decided is not None and step.is_unread:
            _apply_unread(unit, request_id, seq, step.possible.why, decided.remove, decided.reason)
        elif decided is not None:
            _apply(unit, request_id, [seq], remove=decided.remove, whole=step.possible.whole)


def decide(
    unit: Unit, request_id: str, seqs: Sequence[int], *, remove: bool, reason: str | None
) -> list[int]:
    """Have possible matches go or stay, also after the next search as long as the content is the same.

    Returns those of `seqs` that are no possible match; nothing is decided then.
    """
    query = sa.select(_match.c.seq, _match.c.decision, _match.c.whole, _match.c.place, _match.c.why)
    known = {row.seq: row for row in unit.conn.execute(query.where(_match.c.request == request_id))}
    unknown = [seq for seq in seqs if seq not in known]
    for some in in_parts(() if unknown else seqs):
        keys = [known[seq].decision for seq in some]
        here = (_decision.c.request == request_id, _decision.c.match.in_(keys))
        unit.conn.execute(_decision.delete().where(*here))
        decision = {"request": request_id, "remove": remove, "reason": reason}
        unit.conn.execute(_decision.insert(), [decision | {"match": key} for key in keys])
        unread = {seq for seq in some if known[seq].place == UNREAD}
        for seq in unread:
            _apply_unread(unit, request_id, seq, known[seq].why, remove, reason)
        for whole in (True, False):
            alike = [seq for seq in some if known[seq].whole is whole and seq not in unread]
            _apply(unit, request_id, alike, remove=remove, whole=whole)
    return unknown


def carry_over(
    unit: Unit, request_id: str, secret: bytes, place: Place, mark: str, places: Sequence[str]
) -> None:
    """Have records of the next content of a file stay, as it was decided on them in the one before."""
    step = Step(*place, Action.REVIEW, mark=mark)
    for some in in_parts([_key(secret, step, each) for each in places]):
        here = (_decision.c.request == request_id, _decision.c.match.in_(some))
        unit.conn.execute(_decision.delete().where(*here))
        rows = [{"request": request_id, "match": key, "remove": False} for key in some]
        unit.conn.execute(_decision.insert(), rows)


def undecided_of(conn: sa.Connection, request_id: str, forms: Sequence[Why]) -> list[int]:
    """The numbers of the possible matches of some forms on which nobody has decided."""
    both = sa.and_(_item.c.request == _match.c.request, _item.c.seq == _match.c.seq)
    query = sa.select(_match.c.seq).join(_item, both).where(_match.c.request == request_id, *_OPEN)
    return list(conn.scalars(query.where(_match.c.why.in_(forms)).order_by(_match.c.seq)))


def unread(conn: sa.Connection, request_id: str, seqs: Sequence[int]) -> list[int]:
    """Those of some steps that are about files that could not be searched."""
    query = sa.select(_match.c.seq).where(_match.c.request == request_id, _match.c.place == UNREAD)
    return sorted(set(conn.scalars(query)) & {*seqs})


def undecided(conn: sa.Connection, request_id: str) -> int:
    """How many possible matches nobody has decided on."""
    query = sa.select(sa.func.count()).select_from(_item).where(_item.c.request == request_id, *_OPEN)
    return conn.scalar(query) or 0


def note_draft(unit: Unit, request_id: str, seq: int, sha256: str) -> None:
    """Note the content that is about to take the place of a step's file."""
    row = _match.update().where(_match.c.request == request_id, _match.c.seq == seq)
    unit.conn.execute(row.values(draft=sha256))


def forget(unit: Unit, request_id: str) -> None:
    """Drop what is known of the possible matches of a closed request."""
    for table in (_match, _decision):
        unit.conn.execute(table.delete().where(table.c.request == request_id))


def _apply(unit: Unit, request_id: str, seqs: Sequence[int], *, remove: bool, whole: bool) -> None:
    action = (Action.DELETE if whole else Action.REDACT) if remove else Action.REVIEW
    row = _item.update().where(_item.c.request == request_id, _item.c.seq.in_(seqs))
    unit.conn.execute(row.values(action=action, state="planned" if remove else "kept"))


def _apply_unread(unit: Unit, request_id: str, seq: int, why: str, remove: bool, reason: str | None) -> None:
    """As `_apply`, of a file that could not be searched, and `why` that was so."""
    row = _item.update().where(_item.c.request == request_id, _item.c.seq == seq)
    if remove:
        action, state, told = Action.DELETE, "planned", f"removed by decision: {why}"
    else:
        action, state, told = Action.UNSEARCHABLE, "kept", f"{why}; stays by decision: {reason}"
    unit.conn.execute(row.values(action=action, state=state, reason=told))


def _row(request_id: str, secret: bytes, seq: int, step: Step) -> dict[str, str | int | bool]:
    assert step.possible is not None
    return {
        "request": request_id,
        "seq": seq,
        "place": step.possible.place,
        "why": step.possible.why,
        "whole": step.possible.whole,
        "mark": step.mark,
        "decision": _key(secret, step, step.possible.place),
    }


def _key(secret: bytes, step: Step, place: str) -> str:
    """What tells a record of a content in a file from all others, and nobody what it is."""
    parts = (
        step.folder.encode(),
        b"/".join(step.path),
        step.mark.encode(),
        place.encode("utf-8", "surrogatepass"),
    )
    return hmac.new(secret, b"\0".join(parts), hashlib.sha256).hexdigest()[:32]
