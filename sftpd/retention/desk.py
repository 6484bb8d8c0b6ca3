"""The retention desk: what operators and the scheduler ask of retention."""

import threading
from collections.abc import Sequence

from sftpd.clock import Clock
from sftpd.errors import NotFoundError, RefusedError
from sftpd.ledger.ledger import Ledger
from sftpd.retention import holds
from sftpd.retention.disposal import Result, kept_files, unfinished
from sftpd.retention.report import ReportRow, report
from sftpd.retention.rule import Rule
from sftpd.retention.schedule import Item, Plan, plan
from sftpd.retention.sweep import FolderOf, Sweep


class RetentionDesk:
    """Plans, runs, explains and reports disposals under `rules`; one at a time may run."""

    def __init__(self, ledger: Ledger, rules: Sequence[Rule], folder_of: FolderOf, clock: Clock) -> None:
        self._ledger = ledger
        self._rules = rules
        self._clock = clock
        self._sweep = Sweep(ledger, folder_of, clock)
        self._running = threading.Lock()

    def plan(self, link: str | None = None) -> Plan:
        """What is to become of each file of one link, or of all, as things stand now."""
        with self._ledger.read() as conn:
            return plan(kept_files(conn, link), self._rules, holds.listed(conn, link), self._clock.now())

    def run(self, plan_hash: str) -> dict[str, Result]:
        """Dispose of what the plan of this hash says; returns file id → result.

        Raises RefusedError `PLAN_CHANGED` when no plan that could be made now, of one link or of all, has
        this hash, and `FOLDER_MISSING` when a folder is not there.
        """
        with self._running:
            return self._sweep.run(plan_hash, self._made_again(plan_hash).disposals)

    def recover(self) -> dict[str, Result]:
        """Finish the disposals that a crash interrupted; returns file id → result. To be called at start."""
        with self._running:
            with self._ledger.read() as conn:
                intents = unfinished(conn)
            return self._sweep.resume(intents)

    def explain(self, link: str, folder: str, path: bytes) -> Item:
        """The decision on one file, as things stand now.

        Raises NotFoundError when no file is kept there.
        """
        found = [i for i in self.plan(link).items if (i.file.folder, i.file.path) == (folder, path)]
        if not found:
            raise NotFoundError(f"no file is kept at {folder}/{path.decode('utf-8', 'backslashreplace')}")
        return found[0]

    def report(self, link: str | None = None, plan_hash: str | None = None) -> list[ReportRow]:
        """What was disposed of, of one link or plan or of all, oldest first."""
        with self._ledger.read() as conn:
            return report(conn, link, plan_hash)

    def _made_again(self, plan_hash: str) -> Plan:
        links = sorted({rule.link for rule in self._rules})
        for link in (None, *links):
            current = self.plan(link)
            if current.hash == plan_hash:
                return current
        raise RefusedError(
            f"no plan has the hash {plan_hash} any more",
            reason="PLAN_CHANGED",
            remedy="plan again and look at what changed",
        )
