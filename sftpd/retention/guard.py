"""The guard before each run: time and volume, what is frozen by them, and how somebody confirms it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from sftpd.errors import NotFoundError, RefusedError
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.writer import Unit
from sftpd.retention import approvals, freezes
from sftpd.retention.approval import reasons_against_run
from sftpd.retention.freezes import Freeze, Scope
from sftpd.retention.guards import (
    APPROVAL,
    CLOCK,
    RESTORED,
    VOLUME,
    Bounds,
    Reason,
    Volume,
    reasons_against_volume,
)
from sftpd.retention.reckoning import Plan
from sftpd.retention.roots import Roots
from sftpd.retention.timekeeper import Timekeeper

_NOT_CONFIRMED = APPROVAL | {"FOLDER_MISSING"}
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Who has seen that a plan disposes of so many files, and wants it so."""

    files: int
    by: str


class Guard:
    """Lets a run pass or refuses it, with every reason."""

    def __init__(self, ledger: Ledger, timekeeper: Timekeeper, roots: Roots, bounds: Bounds) -> None:
        self._ledger = ledger
        self._timekeeper = timekeeper
        self._roots = roots
        self._bounds = bounds

    def require_time(self) -> None:
        """Pass if the time may be relied on. Raises RefusedError with the first reason's code."""
        reasons = self._timekeeper.look()
        if reasons:
            raise RefusedError(
                "; ".join(reason.text for reason in reasons),
                reason=reasons[0].code,
                where="retention is frozen",
                remedy=f"{reasons[0].remedy}; nothing is disposed of until then",
            )

    def require_known(self) -> None:
        """Pass unless the ledger was restored and nobody has confirmed what it knows. Raises RefusedError."""
        with self._ledger.read() as conn:
            found = [freeze for freeze in freezes.standing(conn) if freeze.reason.code in RESTORED]
        for freeze in found:
            raise RefusedError(
                freeze.reason.text,
                reason=freeze.reason.code,
                where="retention is frozen",
                remedy=freeze.reason.remedy,
            )

    def require_volume(self, plan: Plan, confirmation: Confirmation | None) -> None:
        """Pass if a plan takes no more from any link than usual, or somebody confirms it.

        Raises RefusedError with the first reason's code, or `VOLUME_NOT_CONFIRMED` where another number is
        confirmed than would go.
        """
        count = sum(plan.by_link("dispose").values())
        if confirmation is not None and confirmation.files != count:
            raise RefusedError(
                f"the plan disposes of {count} files, and {confirmation.files} are confirmed",
                reason="VOLUME_NOT_CONFIRMED",
                remedy="look at the plan again, then confirm the number it has",
            )
        over = self.over(plan)
        self._ledger.write(lambda unit: _settle(unit, plan, over))
        if not over:
            return
        if confirmation is not None:
            by, why = confirmation.by, f"run of the plan {plan.hash}, {count} files"
            self._ledger.write(lambda unit: freezes.lift(unit, over, by, why))
            return
        texts = "; ".join(f"{freeze.scope}: {freeze.reason.text}" for freeze in over)
        _log.error("retention_frozen", text=texts, reasons=[freeze.reason.code for freeze in over])
        raise RefusedError(
            texts,
            reason=over[0].reason.code,
            remedy=f"look at the plan; if it is right: "
            f"sftpd retention run --plan {plan.hash} --confirm-volume {count}",
        )

    def require_approval(self, link: str, plan: Plan) -> None:
        """Pass if a standing approval covers the scheduled run of a link's plan, and record that it does.

        A link without one passes where none is needed, and so does a run of no file. Raises RefusedError with
        the reason's code.
        """
        steps = plan.steps_under(link)

        def work(unit: Unit) -> Sequence[Reason]:
            approval = approvals.standing(unit.conn, link).get(link)
            needed = approval is not None or self._bounds.standing_approval
            against = reasons_against_run(approval, steps, unit.now) if needed else ()
            if not steps:  # nothing is frozen for its sake, and what ended ends
                freezes.settle(unit, Scope(link), APPROVAL - {reason.code for reason in against}, ())
                return ()
            freezes.settle(unit, Scope(link), APPROVAL, against)
            if approval is not None and not against:
                approvals.use(unit, approval, plan.hash, steps)
            return against

        for reason in self._ledger.write(work):
            raise RefusedError(reason.text, reason=reason.code, where=link, remedy=reason.remedy)

    def over(self, plan: Plan) -> list[Freeze]:
        """What of a plan takes too much from a link, whether it was told of or not."""
        due, kept = plan.by_link("dispose"), plan.by_link()
        over: list[Freeze] = []
        with self._ledger.read() as conn:
            earlier = freezes.earlier_runs(conn) if due else {}
            for link, count in sorted(due.items()):
                confirmed = freezes.confirmed(conn, link)
                volume = Volume(count, kept[link], earlier.get(link, ()), confirmed)
                reasons = reasons_against_volume(volume, self._bounds)
                over += [Freeze(Scope(link), reason, None, count) for reason in reasons]
        return over

    def ended(self, plan: Plan) -> None:
        """Forget what was confirmed for the run of a plan, whether or not it took anything."""
        self._ledger.write(lambda unit: freezes.spend(unit, plan.links))

    def unfreeze(self, link: str | None, by: str, why: str) -> list[Freeze]:
        """End what is frozen, of one link or of all, because somebody confirms it; returns what ended.

        A folder that is missing cannot be confirmed, nor can what an approval lacks. Raises RefusedError
        `NOT_FROZEN` when nothing is frozen that can be, and `FOLDER_MISSING` when a folder to confirm is not
        there.
        """
        self._timekeeper.look()
        with self._ledger.read() as conn:
            found = [f for f in freezes.standing(conn) if link is None or f.scope.link == link]
        lifted = [freeze for freeze in found if freeze.reason.code not in _NOT_CONFIRMED]
        if not lifted:
            raise _not_frozen(found)

        def work(unit: Unit) -> None:
            self._confirm_folders(unit, lifted)
            freezes.lift(unit, lifted, by, why)

        write: Callable[[Callable[[Unit], None]], None] = self._ledger.write
        if any(freeze.reason.code in CLOCK for freeze in lifted):
            write = self._timekeeper.confirm
        write(work)
        return lifted

    def _confirm_folders(self, unit: Unit, lifted: Sequence[Freeze]) -> None:
        for freeze in lifted:
            if freeze.reason.code != "FOLDER_REPLACED":
                continue
            scope = freeze.scope
            try:
                self._roots.confirm(unit, (scope.link, scope.folder))
            except NotFoundError:
                continue  # a link that is no longer configured has no folder to confirm
            except OSError as error:
                raise RefusedError(
                    f"cannot be opened: {error.strerror}",
                    reason="FOLDER_MISSING",
                    where=str(scope),
                    remedy="restore or mount it first",
                ) from error


def _settle(unit: Unit, plan: Plan, over: Sequence[Freeze]) -> None:
    for link in plan.links:
        found: list[Reason] = [freeze.reason for freeze in over if freeze.scope.link == link]
        files = next((freeze.files for freeze in over if freeze.scope.link == link), None)
        freezes.settle(unit, Scope(link), VOLUME, found, files)


def _not_frozen(found: Sequence[Freeze]) -> RefusedError:
    if found:
        return RefusedError(
            found[0].reason.text, reason=found[0].reason.code, remedy=f"{found[0].reason.remedy} first"
        )
    return RefusedError("nothing is frozen", reason="NOT_FROZEN", remedy="see sftpd status")
