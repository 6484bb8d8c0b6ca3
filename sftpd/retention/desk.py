"""The retention desk: what operators and the scheduler ask of retention."""

import threading
from collections.abc import Sequence

import sqlalchemy as sa
import structlog

from sftpd.clock import Clock
from sftpd.errors import NotFoundError, RefusedError
from sftpd.files.beneath import Root
from sftpd.ledger.ledger import Ledger
from sftpd.retention import freezes, holds, unfinished
from sftpd.retention.disposal import Result, closings, kept_files, undone
from sftpd.retention.explain import Explanation, explain
from sftpd.retention.freezes import Freeze
from sftpd.retention.guard import Confirmation, Guard
from sftpd.retention.guards import VOLUME, Bounds
from sftpd.retention.report import ReportRow, report
from sftpd.retention.roots import Roots
from sftpd.retention.rule import STAGING, Kept, Rule
from sftpd.retention.schedule import Plan, Schedule, plan
from sftpd.retention.sweep import Sweep
from sftpd.retention.timekeeper import Timekeeper

_USUAL = Bounds()
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
    ) -> None:
        self._ledger = ledger
        self._rules = rules
        self._links = sorted({rule.link for rule in rules})
        self._clock = clock
        self._timekeeper = timekeeper
        self._guard = Guard(ledger, timekeeper, roots, bounds)
        self._roots = roots
        self._sweep = Sweep(ledger, roots, clock)
        self._running = threading.Lock()

    def plan(self, link: str | None = None) -> Plan:
        """What is to become of each file of one link, or of all, as things stand now."""
        with self._ledger.read() as conn:
            return plan(self._files(conn, link), self._schedule(conn, link))

    def run(self, plan_hash: str, confirmation: Confirmation | None = None) -> dict[str, Result]:
        """Dispose of what the plan of this hash says; returns file id → result.

        Raises RefusedError `PLAN_CHANGED` when no plan that could be made now, of one link or of all, has
        this hash, and as `guards` has it when something speaks against the run.
        """
        with self._running:
            self._guard.require_time()
            self._resume()
            return self._carry_out(self._made_again(plan_hash), confirmation)

    def run_due(self) -> None:
        """Run what is due, each link by itself: one whose run is refused keeps no other from its own.

        Raises RefusedError when the time may not be relied on.
        """
        with self._running:
            self._guard.require_time()
            self._resume()
            for link in self._links:
                self._note_unfinished(link)
                current = self.plan(link)
                if not current.disposals:
                    continue
                try:
                    self._carry_out(current, None)
                except RefusedError as error:
                    _log.warning("retention_refused", link=link, reason=error.reason, error=str(error))

    def recover(self) -> dict[str, Result]:
        """Finish the disposals that a crash interrupted; returns file id → result. To be called at start.

        Raises RefusedError when the time may not be relied on.
        """
        with self._running:
            self._guard.require_time()
            return self._resume()

    def frozen(self) -> list[Freeze]:
        """What is frozen, as it was told of last."""
        with self._ledger.read() as conn:
            return freezes.standing(conn)

    def against(self, plan: Plan) -> list[Freeze]:
        """What speaks against running a plan now."""
        self._timekeeper.look()
        links = {"", *(item.file.link for item in plan.items)}
        told = [f for f in self.frozen() if f.scope.link in links and f.reason.code not in VOLUME]
        return told + self._guard.over(plan)

    def unfreeze(self, link: str | None, by: str, why: str) -> list[Freeze]:
        """End what is frozen, of one link or of all, because somebody confirms it. Raises as Guard does."""
        with self._running:
            return self._guard.unfreeze(link, by, why)

    def explain(self, link: str, folder: str, path: bytes) -> Explanation:
        """The decision on one file, as things stand now, and each step that led there.

        Raises NotFoundError when no file is kept there.
        """
        with self._ledger.read() as conn:
            found = self._files(conn, link, (folder, path))
            if not found:
                raise NotFoundError(f"no file is kept at {folder}/{path.decode('utf-8', 'backslashreplace')}")
            return explain(found[0], self._schedule(conn, link))

    def report(self, link: str | None = None, plan_hash: str | None = None) -> list[ReportRow]:
        """What was disposed of, of one link or plan or of all, oldest first."""
        with self._ledger.read() as conn:
            return report(conn, link, plan_hash)

    def _files(
        self, conn: sa.Connection, link: str | None, at: tuple[str, bytes] | None = None
    ) -> list[Kept]:
        with_peers = any(rule.account is not None for rule in self._rules)
        return kept_files(conn, link, at, with_peers=with_peers)

    def _schedule(self, conn: sa.Connection, link: str | None) -> Schedule:
        return Schedule(self._rules, holds.listed(conn, link), self._clock.now(), closings(conn))

    def _carry_out(self, plan: Plan, confirmation: Confirmation | None) -> dict[str, Result]:
        self._guard.require_volume(plan, confirmation)
        results = self._sweep.run(plan.hash, plan.disposals, self._guard.require_time)
        self._guard.ended(plan)
        return results

    def _note_unfinished(self, link: str) -> None:
        """Take unfinished uploads into our care, where a rule says how long they are kept."""
        if not any(rule.link == link and rule.folder in (None, STAGING) for rule in self._rules):
            return
        try:
            with Root.at(self._roots.folder((link, STAGING))) as area:
                unfinished.note(self._ledger, link, area)
        except OSError as error:
            _log.error("unfinished_uploads_not_seen", link=link, error=str(error))

    def _resume(self) -> dict[str, Result]:
        with self._ledger.read() as conn:
            intents = undone(conn)
        return self._sweep.resume(intents) if intents else {}

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
