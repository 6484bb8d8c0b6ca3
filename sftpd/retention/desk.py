"""The retention desk: what operators and the scheduler ask of retention."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa
import structlog

from sftpd.clock import Clock
from sftpd.errors import NotFoundError, RefusedError, UsageError
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.link.lifecycle import LinkState
from sftpd.names import new_id
from sftpd.retention import approvals, freezes, holds, left, reviews, unfinished
from sftpd.retention.approval import Approval
from sftpd.retention.disposal import Intent, Result, undone
from sftpd.retention.explain import Explanation, explain
from sftpd.retention.freezes import Freeze
from sftpd.retention.guard import Confirmation, Guard
from sftpd.retention.guards import APPROVAL, VOLUME, Bounds
from sftpd.retention.in_care import by_place, kept_files, rows, singled_out
from sftpd.retention.left import Left
from sftpd.retention.reckoning import Ids, Plan, reckon
from sftpd.retention.report import ReportRow, report, report_left
from sftpd.retention.roots import Roots
from sftpd.retention.rule import STAGING, Answer, Kept, Review, Rule, place
from sftpd.retention.schedule import Item, Schedule, is_step
from sftpd.retention.sweep import BATCH, Reach, Sweep
from sftpd.retention.timekeeper import Timekeeper

Moment = Callable[[datetime, ZoneInfo], datetime]
"""An instant, given the present one and the time zone of the rule."""

_file, _was = tables.kept_file.c, tables.returned.c
_USUAL = Bounds()
_FOLDERS_ALONE = Reach()
_log = structlog.get_logger()


class RetentionDesk:
    """Plans, runs, explains and reports disposals under `rules`; one at a time may run."""

    def __init__(
        self,
        ledger: Ledger,
        rules: Sequence[Rule],
        roots: Roots,
        timekeeper: Timekeeper,
        clock: Clock,
        bounds: Bounds = _USUAL,
        reach: Reach = _FOLDERS_ALONE,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._timekeeper = timekeeper
        self._roots = roots
        self._sweep = Sweep(ledger, roots, clock, reach)
        self._running = threading.Lock()
        self.adopt(rules, bounds, reach)

    def adopt(self, rules: Sequence[Rule], bounds: Bounds, reach: Reach) -> None:
        """Work under other rules from now on; a run under those of before goes no further."""
        self._rules = tuple(rules)
        self._links = sorted({rule.link for rule in rules})
        self._guard = Guard(self._ledger, self._timekeeper, self._roots, bounds)
        self._sweep.adopt(reach)
        self._sweep.catch_up()

    def catch_up(self) -> None:
        """Wait until a run that is under way goes by the holds that there are now."""
        self._sweep.catch_up()

    def plan(self, link: str | None = None, without: Collection[str] = ()) -> Plan:
        """What is to become of each file of one link, or of all, as things stand now, `without` some ids."""
        with self._ledger.read() as conn:
            schedule = self._schedule(conn, link)
            with_peers = schedule.by_peer
            special = singled_out(conn, link, with_peers=with_peers)
            found = rows(conn, link, with_peers=with_peers)
            if without:
                found = (row for row in found if row[0] not in without)
            return reckon(found, schedule, special, tables.instant)

    def items(
        self, link: str | None = None, at: Schedule | None = None, most: int | None = None
    ) -> Iterator[Item]:
        """Every file of one link, or of all, with the decision on it, by place; the first of them, at `most`.

        `at`: as a plan has it.
        """
        with self._ledger.read() as conn:
            schedule = at or self._schedule(conn, link)
            for file in by_place(conn, link, most, with_peers=schedule.by_peer):
                yield Item(file, schedule.decide(file))

    def batches(self, ids: Ids, schedule: Schedule) -> Iterator[list[Item]]:
        """The files of a plan that are still as it found them, with the decisions on them, some at a time."""
        for batch in ids.batches(BATCH):
            with self._ledger.read() as conn:
                found = kept_files(conn, _file.id.in_(batch), with_peers=schedule.by_peer)
            yield [Item(file, schedule.decide(file)) for file in sorted(found, key=_order)]

    def run(self, plan_hash: str, confirmation: Confirmation | None = None) -> dict[str, Result]:
        """Dispose of what the plan of this hash says; returns file id → result.

        Raises RefusedError `PLAN_CHANGED` when no plan that could be made now, of one link or of all, has
        this hash, and as `guards` has it when something speaks against the run.
        """
        with self._running:
            self._guard.require_time()
            self._guard.require_known()
            self._resume()
            rules = self._rules
            current = self._made_again(plan_hash)
            self._ask_for_reviews(current)
            self._guard.require_volume(current, confirmation)
            return self._carry_out(current, rules)

    def run_due(self) -> None:
        """Run what is due, each link by itself: one whose run is refused keeps no other from its own.

        What an earlier run left in its place is left out while nothing else can be told of it. Raises
        RefusedError when the time may not be relied on, or what was held.
        """
        with self._running:
            self._guard.require_time()
            self._guard.require_known()
            self._resume()
            with self._ledger.read() as conn:
                known = left.left(conn)
            for link in self._links:
                rules = self._rules
                self._note_unfinished(link)
                current = self.plan(link, self._as_told(link, known))
                self._ask_for_reviews(current)
                try:
                    self._guard.require_volume(current, None)
                    self._guard.require_approval(link, current)
                    self._carry_out(current, rules)
                except RefusedError as error:
                    _log.warning("retention_refused", link=link, reason=error.reason, error=str(error))

    def _as_told(self, link: str, known: Mapping[str, Left]) -> set[str]:
        """The files of a link that a run leaves out, among those that an earlier one left."""
        of_link = {file: one for file, one in known.items() if one.link == link}
        if not of_link:
            return set()
        with self._ledger.read() as conn:
            schedule = self._schedule(conn, link)
        return left.as_told(self._ledger, self._roots, schedule, of_link)

    def recover(self) -> dict[str, Result]:
        """Finish the disposals that a crash interrupted; returns file id → result. To be called at start.

        Raises RefusedError when the time may not be relied on, or what was held.
        """
        with self._running:
            self._guard.require_time()
            self._guard.require_known()
            return self._resume()

    def frozen(self) -> list[Freeze]:
        """What is frozen, as it was told of last."""
        with self._ledger.read() as conn:
            return freezes.standing(conn)

    def against(self, plan: Plan) -> list[Freeze]:
        """What speaks against running a plan now."""
        self._timekeeper.look()
        links = {"", *plan.links}
        told = [f for f in self.frozen() if f.scope.link in links and f.reason.code not in VOLUME | APPROVAL]
        return told + self._guard.over(plan)

    def unfreeze(self, link: str | None, by: str, why: str) -> list[Freeze]:
        """End what is frozen, of one link or of all, because somebody confirms it. Raises as Guard does."""
        with self._running:
            return self._guard.unfreeze(link, by, why)

    def approve(
        self, link: str, rules: Collection[str], files: int | None, until: datetime | None, why: str, by: str
    ) -> Approval:
        """Approve that scheduled runs carry out `rules`, or all rules of the link, in their versions of now.

        Raises UsageError for a rule that the link has not, and for an `until` that has passed.
        """
        now = self._clock.now()
        known = {(rule.id, rule.version) for rule in self._rules if rule.link == link}
        names = {name for name, _ in known}
        if not known:
            raise UsageError("the link has no retention rules", where=link, expected="a link that has some")
        for name in set(rules) - names:
            expected = f"one among {', '.join(sorted(names))}"
            raise UsageError(f"the link has no rule {name}", where=link, expected=expected)
        if until is not None and until <= now:
            raise UsageError(f"{until.isoformat()} has passed", expected="a time to come")
        chosen = frozenset((name, version) for name, version in known if not rules or name in rules)
        approval = Approval(new_id(now), link, chosen, files, until, why, by, now)
        with self._running:  # so that a run that is under way goes by one approval
            self._ledger.write(lambda unit: approvals.give(unit, approval))
        return approval

    def withdraw(self, link: str, why: str, by: str) -> Approval:
        """End the standing approval of a link. Raises NotFoundError where there is none."""
        with self._running:
            return self._ledger.write(lambda unit: approvals.withdraw(unit, link, by, why))

    def approvals(self, link: str | None = None) -> list[Approval]:
        """The standing approvals of one link or of all."""
        with self._ledger.read() as conn:
            return list(approvals.standing(conn, link).values())

    def explain(self, link: str, folder: str, path: bytes) -> Explanation:
        """The decision on one file, as things stand now, and each step that led there.

        Raises NotFoundError when no file is kept there.
        """
        with self._ledger.read() as conn:
            schedule = self._schedule(conn, link)
            was = sa.select(_was.file).where(_was.folder == folder, _was.path == path)
            here = sa.and_(_file.folder == folder, _file.path == path)
            where = (_file.link == link, sa.or_(here, _file.id.in_(was)))
            found = kept_files(conn, *where, with_peers=schedule.by_peer)
            found.sort(key=lambda file: file.returned is not None)  # a newer one of that name first
            if not found:
                named = place(folder, path) if path else folder
                raise NotFoundError(
                    f"no file is kept at {named}", remedy="name it as sftpd retention plan does"
                )
            return explain(found[0], schedule)

    def waiting(self, link: str | None = None) -> list[tuple[Item, datetime | None]]:
        """The files that are to be reviewed now, of one link or of all, and since when that is told of."""
        current = self.plan(link)
        with self._ledger.read() as conn:
            told = reviews.waiting(conn, link)
        return [
            (item, told[item.file.id].since if item.file.id in told else None)
            for items in self.batches(current.reviews, current.schedule)
            for item in items
        ]

    def review(self, file: str, answer: Answer, until: Moment | None, reason: str, by: str) -> Item:
        """Decide on a file that is to be reviewed, or anew on one that was; returns what it comes to.

        Raises NotFoundError when it is not kept, RefusedError `NOT_IN_REVIEW` when its rule does not ask for
        a review now, and UsageError when `until` has passed.
        """

        def work(unit: Unit) -> None:
            item, schedule = self._item(unit.conn, file)
            rule = item.decision.rule
            if rule is None or (item.decision.action != "review" and item.decision.review is None):
                raise RefusedError(
                    f"it is not to be reviewed: {item.decision.action}, {item.decision.reason}",
                    reason="NOT_IN_REVIEW",
                    where=item.file.place,
                    remedy="see sftpd retention review list",
                )
            end = None if until is None else until(schedule.now, rule.zone)
            if end is not None and end <= schedule.now:
                raise UsageError(f"{end.isoformat()} has passed", expected="a time to come")
            reviews.answer(unit, item, Review(file, rule.id, rule.version, answer, end, reason, by))

        with self._running:  # so that a run that is under way goes by one decision
            self._ledger.write(work)
            with self._ledger.read() as conn:
                return self._item(conn, file)[0]

    def _item(self, conn: sa.Connection, file: str) -> tuple[Item, Schedule]:
        schedule = self._schedule(conn, None)
        found = kept_files(conn, _file.id == file, with_peers=schedule.by_peer)
        if not found:
            raise NotFoundError(f"no file {file} is kept", remedy="see sftpd retention review list")
        return Item(found[0], schedule.decide(found[0])), schedule

    def report(
        self, link: str | None = None, plan_hash: str | None = None, newest: int | None = None
    ) -> Iterator[ReportRow]:
        """What was disposed of, of one link or plan or of all, oldest first; the `newest` of it alone."""
        with self._ledger.read() as conn:
            yield from report(conn, link, plan_hash, newest)

    def report_left(
        self, link: str | None = None, plan_hash: str | None = None, newest: int | None = None
    ) -> Iterator[ReportRow]:
        """What of it is due and still in its place, each file as of the last try."""
        with self._ledger.read() as conn:
            yield from report_left(conn, link, plan_hash, newest)

    def _schedule(self, conn: sa.Connection, link: str | None) -> Schedule:
        now = self._clock.now()
        standing = holds.standing(conn, now, link)
        return Schedule(self._rules, standing, now, closings(conn), reviews.given(conn, link))

    def _ask_for_reviews(self, plan: Plan) -> None:
        """Have what a plan wants reviewed wait in the queue, and nothing else of its links."""
        asked = [item for items in self.batches(plan.reviews, plan.schedule) for item in items]

        def work(unit: Unit) -> None:
            for link in plan.links:
                reviews.settle(unit, link, (item for item in asked if item.file.link == link))

        self._ledger.write(work)

    def _carry_out(self, plan: Plan, rules: Sequence[Rule]) -> dict[str, Result]:
        """Run a plan that was made under these rules, as long as they are those in force."""
        steps, parts = self._steps(plan), self._parts(plan)

        def require() -> None:
            self._guard.require_time()
            if self._rules != rules:
                self._resume()  # to have an end of what was intended
                raise RefusedError(
                    "the rules were changed by a reload while the plan was carried out",
                    reason="RULES_CHANGED",
                    remedy=f"see sftpd retention report --plan {plan.hash}, then plan again",
                )

        results = self._sweep.run(plan.hash, steps, plan.places, require, parts, lambda: self._rules == rules)
        self._guard.ended(plan)
        return results

    def _steps(self, plan: Plan) -> Iterator[list[Item]]:
        """What a run does something about; a file that was read since, for example, may be left out."""
        for items in self.batches(plan.steps, plan.schedule):
            yield [item for item in items if is_step(item.decision.action, item.file.folder)]

    def _parts(self, plan: Plan) -> list[Kept]:
        """The unfinished uploads among what a run does something about."""
        links = {link for link, folder in plan.places if folder == STAGING}
        where = (_file.folder == STAGING, _file.link.in_(links))
        with self._ledger.read() as conn:
            found = kept_files(conn, *where, with_peers=plan.schedule.by_peer)
        return [part for part in found if is_step(plan.schedule.decide(part).action, STAGING)]

    def note_unfinished(self, link: str) -> None:
        """Take the unfinished uploads of a link into our care. Raises RefusedError: they cannot be seen."""
        unfinished.look(self._ledger, self._roots, link)

    def _note_unfinished(self, link: str) -> None:
        """The same, where a rule says how long they are kept."""
        if not any(rule.link == link and rule.folder in (None, STAGING) for rule in self._rules):
            return
        try:
            self.note_unfinished(link)
        except RefusedError as error:
            _log.error("unfinished_uploads_not_seen", link=link, error=str(error))

    def _resume(self) -> dict[str, Result]:
        with self._ledger.read() as conn:
            intents = undone(conn)
        return self._sweep.resume(intents, self._not_due(intents)) if intents else {}

    def _not_due(self, intents: Sequence[Intent]) -> set[str]:
        """The files of intents that are in our care, and of which the rules in force no longer say so."""
        found = set()
        with self._ledger.read() as conn:
            schedule = self._schedule(conn, None)
            for some in in_parts(intents):
                where = _file.id.in_([intent.file.id for intent in some])
                kept = kept_files(conn, where, with_peers=schedule.by_peer)
                decided = {file.id: schedule.but_for_holds(file).action for file in kept}
                found |= {i.file.id for i in some if decided.get(i.file.id, i.action) != i.action}
        return found

    def _made_again(self, plan_hash: str) -> Plan:
        for link in (None, *self._links):
            current = self.plan(link)
            if current.hash == plan_hash:
                return current
        raise RefusedError(
            f"no plan has the hash {plan_hash} any more",
            reason="PLAN_CHANGED",
            remedy="plan again and look at what changed",
        )


def _order(item: Kept) -> tuple[datetime, str]:
    return item.received_at, item.id


def closings(conn: sa.Connection) -> dict[str, datetime]:
    """The links whose exchange has ended, and when it did."""
    link = tables.link.c
    query = sa.select(link.name, link.since).where(link.state.in_((LinkState.CLOSING, LinkState.CLOSED)))
    return {row.name: row.since for row in conn.execute(query)}
