"""What the configuration decides while the daemon runs; a reload replaces it whole."""

import platform
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

import structlog

from sftpd.app import closing, notices
from sftpd.app.ending import left_behind
from sftpd.app.hooks import hooks_folder
from sftpd.app.instance import Instance
from sftpd.app.requests import SOON, Requests
from sftpd.app.standing import folders_apart
from sftpd.app.traffic import Shared, Traffic, Workers, collection
from sftpd.audit.published import PublishedLog
from sftpd.errors import NotFoundError
from sftpd.exchange import return_records
from sftpd.exchange.collect import Pulled
from sftpd.exchange.expectation import next_look
from sftpd.exchange.expecting import Expecting
from sftpd.exchange.places import Places
from sftpd.exchange.queue import OutboundQueue
from sftpd.exchange.receipts import Receipts
from sftpd.exchange.screening import Screening
from sftpd.hooks import listing
from sftpd.hooks.commands import SandboxedCommands
from sftpd.hooks.runner import HookRunner
from sftpd.ledger.outbox import Event
from sftpd.link.model import Expectation, Link, Outbound
from sftpd.service.receipts import ReceiptWriter
from sftpd.service.schedule import Job, Schedule
from sftpd.ssh.auth import Authenticator
from sftpd.ssh.codes import Codes
from sftpd.ssh.pacing import Pacing

_SENDERS, _MOST_SENDERS = 4, 32
"""Threads that send: as many as the routes may have files on their way, within these."""
_LAST_FILES = 10.0
"""Seconds that files on their way to and from remotes get when work stops; they are begun anew later."""

_LET_GO, _LET_GO_EVERY = "let go of held files", timedelta(hours=1)
"""The job that deletes what was put aside: after each release, and regularly, for holds run out."""

_log = structlog.get_logger()


class Work:
    """Logins, the traffic of each link, the outbound queue and the schedule, as the instance stands now."""

    def __init__(
        self,
        instance: Instance,
        places_of: Callable[[str], Places],
        workers: Workers,
        codes: Codes,
        before: "Work | None" = None,
    ) -> None:
        """`places_of` gives the folders of a link, `before` is what this is to replace.

        Raises SftpdError and OSError, and leaves nothing open.
        """
        self._instance = instance
        links = instance.register.links
        accounts = [account for link in links.values() for account in link.accounts]
        self.authenticator = Authenticator(accounts, instance.clock, codes)
        routes = [route for link in links.values() for route in link.leaving]
        self.queue = OutboundQueue(
            workers=min(max(_SENDERS, sum(route.turns.concurrency for route in routes)), _MOST_SENDERS),
            ledger=instance.ledger,
            halts=instance.halts,
            bell=instance.bell,
            clock=instance.clock,
            require_open=self._require_open,
        )
        self.traffic: dict[str, Traffic] = {}
        self._commands = SandboxedCommands(instance.children)
        self.hooks = _hook_runner(instance, self._commands)
        screening = Screening(self.hooks)
        shared = Shared(instance, screening, self.queue, workers, Pacing(instance.clock))
        with ExitStack() as undo:
            undo.callback(self._commands.close)
            if before is not None and before.hooks.directory == self.hooks.directory:
                before.hooks.require_mounted()
            replaced = {} if before is None else before.traffic
            for name, link in links.items():
                self.traffic[name] = Traffic(link, places_of(name), shared, replaced.get(name))
                undo.callback(self.traffic[name].close)
            self._expecting = Expecting(_expectations(instance), instance.ledger)
            deadlines = map(self._deadline, self._expecting.expectations.values())
            erasure = [_forgetting(instance), *notices.jobs(instance, self.traffic)]
            jobs = [_retention(instance), *erasure, self._letting_go(), *self._jobs(), *deadlines]
            self._requests = Requests(instance, self.traffic, places_of)
            jobs += self._requests.jobs()
            owner = f"{platform.node()}/{instance.name}"
            self._schedule = Schedule(jobs, instance.ledger, owner, instance.clock)
            self._receipts = ReceiptWriter(
                [_receipts(instance, link, places_of(name)) for name, link in links.items() if link.receipts],
                instance.ledger,
                instance.sequencer,
            )
            undo.pop_all()

    def start(self, take_up: Callable[[Traffic], int]) -> None:
        """Begin, with each link's traffic taken up by `take_up`."""
        links = self._instance.register.links.values()
        self._instance.guards.adopt(remote for link in links for remote in link.remotes)
        return_records.enrol(self._instance.ledger, _with_return_receipts(self._instance))
        _tell_of_links_gone(self._instance)
        for fault in folders_apart(self._instance.config):
            _log.error("folder_apart", fault=fault)
        _log.info("resumed", transfers=sum(map(take_up, self.traffic.values())))
        self.queue.start()
        for traffic in self.traffic.values():
            traffic.start()
        self._schedule.start()
        for job in self._requests.at_start():
            self._schedule.soon(job, SOON)
        self._receipts.start()
        self._instance.writes_receipts = True
        self._expecting.start()

    def see(self, event: Event) -> None:
        """Have what an event may concern looked at; on the thread that commits."""
        if event.type == "link.moved" and event.link in self.traffic:
            self.traffic[event.link].break_off()
        if event.type == "hold.released":
            self._schedule.soon(_LET_GO)
        if event.type in notices.NEWS:
            self._schedule.soon(notices.JOB)
        for job in self._requests.concerned(event):
            self._schedule.soon(job, SOON)
        for expected in self._expecting.concerned(event):
            self._schedule.soon(_deadline_job(expected))

    def break_off(self) -> None:
        """End the connections to remotes of links that may not be used any more."""
        for traffic in self.traffic.values():
            traffic.break_off()

    def stop(self) -> None:
        """Stop; files on their way get a while, for a remote may hang."""
        cut = threading.Timer(_LAST_FILES, self._hang_up)
        cut.start()
        try:
            self._schedule.stop()
            for traffic in self.traffic.values():
                traffic.stop()
            self.queue.stop()
        finally:
            cut.cancel()
            cut.join()
        self._receipts.stop()
        for traffic in self.traffic.values():
            traffic.close()
        self._commands.close()

    def tell_of_waits(self) -> None:
        """Tell of files that have not been ready for too long. Raises LedgerError."""
        for traffic in self.traffic.values():
            traffic.waits.tell()

    def overdue(self) -> dict[str, dict[str, object]]:
        """Those files by route and reason, for `status`: how many, since when, and the first names."""
        return {
            f"{link}/{one.route} {one.reason}": {
                "files": one.files,
                "since": one.since.isoformat(),
                "paths": one.paths,
            }
            for link, traffic in self.traffic.items()
            for one in traffic.waits.overdue()
        }

    def pull(self, link: str, route: str) -> Pulled:
        """Pull a route's files now. Raises as Traffic.pull, NotFoundError, and RefusedError while it runs."""
        traffic = self.traffic.get(link)
        if traffic is None:
            raise NotFoundError(
                f"no link {link!r}", expected=", ".join(sorted(self.traffic)) or "none is there"
            )
        traffic.require_inbound(route)
        with self._schedule.turn(collection(link, route)):
            return traffic.pull(route)

    def _require_open(self, route: Outbound) -> None:
        self._instance.register.require_open(route.link, going_back=route.return_of is not None)

    def _letting_go(self) -> Job:
        def work() -> None:
            for traffic in self.traffic.values():
                traffic.let_go()

        return Job(_LET_GO, work, _LET_GO_EVERY, self._instance.config.instance.about.time_zone)

    def _deadline(self, expected: Expectation) -> Job:
        return Job(
            _deadline_job(expected),
            lambda: self._expecting.look(expected),
            lambda after: next_look(expected, after),
            expected.zone,
            brief=True,
        )

    def _hang_up(self) -> None:
        for traffic in self.traffic.values():
            traffic.hang_up()

    def _jobs(self) -> list[Job]:
        return [job for traffic in self.traffic.values() for job in traffic.jobs()]


def _tell_of_links_gone(instance: Instance) -> None:
    with instance.ledger.read() as conn:
        gone = left_behind(conn, instance.register.links)
    for left in gone:
        remedy = "put its file back into links.d; take it out when the link is closed: sftpd link close"
        counts = {"files": left.files, "transfers": left.transfers, "requests": left.requests}
        _log.error("link_gone", link=left.link, **counts, remedy=remedy)


def _deadline_job(expected: Expectation) -> str:
    return f"expect {expected.link}/{expected.name}"


def _expectations(instance: Instance) -> list[Expectation]:
    return [one for link in instance.register.links.values() for one in link.expectations]


def _with_return_receipts(instance: Instance) -> list[tuple[str, str]]:
    links = instance.register.links.values()
    return [(link.name, remote.name) for link in links for remote in link.remotes if remote.receipts]


def _receipts(instance: Instance, link: Link, places: Places) -> Receipts:
    return Receipts(
        link.name,
        places,
        PublishedLog(link.audit),
        key=instance.key,
        ledger=instance.ledger,
        alone=instance.receipting,
    )


def _retention(instance: Instance) -> Job:
    config = instance.config.instance

    def work() -> None:
        try:
            instance.retention.run_due()
        finally:
            closing.tell(instance)

    return Job("retention", work, config.scheduler.retention_at, config.about.time_zone)


def _forgetting(instance: Instance) -> Job:
    config = instance.config.instance

    def work() -> None:
        instance.erasure.forget_old(instance.clock.now())

    return Job("erasure certificates", work, config.scheduler.retention_at, config.about.time_zone)


def _hook_runner(instance: Instance, commands: SandboxedCommands) -> HookRunner:
    """Runs the instance's hooks; those that cannot run are told of now, and let nothing through later.

    Raises HookError when they cannot be listed.
    """
    config = instance.config.instance
    folder = hooks_folder(instance.config)
    for hook in listing.list_all(folder):
        if not hook.usable:
            _log.error("hook_unusable", hook=str(hook.path), fault=hook.fault)
    return HookRunner(folder, commands, config.screening.deadline, instance.clock)
