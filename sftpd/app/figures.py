"""What the running daemon's gauges show."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sftpd.app.closing import closings
from sftpd.app.instance import Instance
from sftpd.app.reloads import Reloads
from sftpd.app.stopped import routes, stopped
from sftpd.app.work import Work
from sftpd.erasure import notices, reminders
from sftpd.exchange import expecting, return_records
from sftpd.ledger import outbox
from sftpd.retention.guards import CODES
from sftpd.retention.reviews import waiting_by_link
from sftpd.service.metrics import Figure
from sftpd.ssh.monitor import SessionGuard
from sftpd.ssh.reception import Reception

_OUTBOX_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Figures:
    """Reads them from the parts of the daemon."""

    instance: Instance
    reception: Reception
    sessions: Callable[[], list[SessionGuard]]
    work: Callable[[], Work]
    """As it is now: a reload replaces it."""
    unindexed: Callable[[], dict[str, int]]
    """Received files of each link that wait to be indexed."""
    reloads: Reloads

    def __call__(self) -> Iterator[Figure]:
        """All of them, as they are now."""
        partners = [guard.partner for guard in self.sessions()]
        links = Counter(partner.account.link for partner in partners if partner is not None)
        by_link = {str(name): links[name] for name in self.instance.register.links}
        with self.instance.ledger.read() as conn:
            waiting = len(outbox.pending(conn, _OUTBOX_LIMIT))
        yield Figure("sftpd_sessions", "Sessions that have logged in.", by_link, "link")
        yield _one("sftpd_guests", "Connections that have not logged in.", partners.count(None))
        yield Figure(
            "sftpd_connections_refused",
            "Connections turned away before the key exchange.",
            self.reception.refused(),
            "reason",
            counts=True,
        )
        yield _one(
            "sftpd_reload_refused",
            "Whether the configuration was refused when it was last to be taken over.",
            bool(self.reloads.faults),
        )
        yield _one("sftpd_penalties", "Sources that offended of late.", self.reception.penalties())
        yield from self._exchanged()
        yield from self._counted_by_link()
        yield Figure(
            "sftpd_erasure_index_pending",
            "Received files that wait to be indexed, at most 10,000.",
            self.unindexed(),
            "link",
        )
        frozen = Counter(freeze.reason.code for freeze in self.instance.retention.frozen())
        yield Figure(
            "sftpd_retention_frozen",
            "What keeps retention from disposing of files: links and folders, or 1 for the whole instance.",
            {code: frozen[code] for code in sorted(CODES)},
            "reason",
        )
        yield _one("sftpd_outbox_events", "Events not yet in their log, at most 10,000.", waiting)
        yield Figure("sftpd_audit_log_leaves", "Events in the log.", self.instance.sequencer.sizes(), "log")

    def _exchanged(self) -> Iterator[Figure]:
        """How files fare on their way to and from remotes, and before."""
        yield _one("sftpd_outbound_queue_files", "Outbound files that wait.", self.work().queue.depth())
        yield Figure(
            "sftpd_remote_away",
            "Whether a remote is left alone: it is down, paused or suspended.",
            dict(self._away()),
            "remote",
        )
        yield Figure(
            "sftpd_route_stopped",
            "Whether nothing goes to, or comes from, a route's remote now.",
            dict.fromkeys(routes(self.instance), 0) | dict.fromkeys(stopped(self.instance), 1),
            "route",
        )
        yield Figure(
            "sftpd_overdue_files",
            "Files that have not been ready for too long.",
            {
                f"{link}/{one.route} {one.reason}": one.files
                for link, traffic in self.work().traffic.items()
                for one in traffic.waits.overdue()
            },
            "route reason",
        )

    def _counted_by_link(self) -> Iterator[Figure]:
        """What the ledger counts for each link."""
        with self.instance.ledger.read() as conn:
            terms = reminders.terms(conn, self.instance.reminders, self.instance.clock.now())
            counted = (
                (
                    "sftpd_receipts_missing",
                    "Deliveries without a receipt in time.",
                    return_records.missing_by_link(conn),
                ),
                (
                    "sftpd_expected_files_missing",
                    "Expected files that are late.",
                    expecting.missed_by_link(conn),
                ),
                (
                    "sftpd_link_end_overdue",
                    "Whether the link was closed and should have ended by now.",
                    {one.left.link: 1 for one in closings(self.instance) if one.overdue},
                ),
                ("sftpd_retention_reviews", "Files that wait for their review.", waiting_by_link(conn)),
                (
                    "sftpd_erasure_notices_open",
                    "Notices of erasures that their recipients have not acknowledged.",
                    notices.open_by_link(conn),
                ),
                (
                    "sftpd_erasure_notices_overdue",
                    "Those of them that are overdue.",
                    notices.overdue_by_link(conn),
                ),
                ("sftpd_erasure_requests", "Deletion requests without an answer.", terms.unanswered),
                ("sftpd_erasure_due_soon", "Those that were told of as due.", terms.due_soon),
                ("sftpd_erasure_overdue", "Those that should have been answered by now.", terms.overdue),
            )
        for name, meaning, counts in counted:
            each = {str(link): counts.get(link, 0) for link in self.instance.register.links}
            yield Figure(name, meaning, each, "link")

    def _away(self) -> Iterator[tuple[str, float]]:
        for link in self.instance.register.links.values():
            for remote in link.remotes:
                standing = self.instance.guards.of(link.name, remote.name).standing()
                yield f"{link.name}/{remote.name}", float(standing.since is not None)


def _one(name: str, meaning: str, value: int) -> Figure:
    return Figure(name, meaning, {"": value})
