"""The traffic of one link while the daemon runs: who takes files in, sends them, watches and collects."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from math import inf
from pathlib import Path
from typing import NamedTuple

from sftpd.app.instance import Instance
from sftpd.app.keys import remote_logins
from sftpd.errors import NotFoundError, RefusedError
from sftpd.exchange import answers, desk, orders
from sftpd.exchange.answers import Answered
from sftpd.exchange.archive import NO_ARCHIVE, Archive, recorded
from sftpd.exchange.away import Tools
from sftpd.exchange.backlog import Backlog
from sftpd.exchange.bring import Bring, Way
from sftpd.exchange.changes import Changes, Published
from sftpd.exchange.collect import Collector, Pulled
from sftpd.exchange.deliver import Offer
from sftpd.exchange.fetched import Fetched
from sftpd.exchange.guarded import GuardedRemotes
from sftpd.exchange.keeping import Keeping
from sftpd.exchange.orders import Signed
from sftpd.exchange.overdue import LinkWaits, RouteWaits
from sftpd.exchange.partner import InForce, Partner, Ports
from sftpd.exchange.places import LOCAL_MODE, Places
from sftpd.exchange.queue import OutboundQueue
from sftpd.exchange.ration import Ration
from sftpd.exchange.reads import Reads
from sftpd.exchange.receive import Receiver
from sftpd.exchange.recovery import Recovery
from sftpd.exchange.remote import Share
from sftpd.exchange.return_collect import ReturnCollector
from sftpd.exchange.screening import Screening
from sftpd.exchange.send import Sender
from sftpd.files.beneath import Root
from sftpd.files.vault import Vault
from sftpd.ledger.outbox import Event
from sftpd.link.model import Account, Inbound, Link, Outbound, Remote
from sftpd.names import TransferId
from sftpd.retention import freezes
from sftpd.retention.guards import RESTORED
from sftpd.service.schedule import Job
from sftpd.ssh.pacing import Pacing
from sftpd.ssh.remotes import CourierRemotes
from sftpd.watch.folder import Pace, WatchedFolder
from sftpd.watch.selection import Selection
from sftpd.watch.settling import EmptyFiles, Policy
from sftpd.watch.tree import Order
from sftpd.watch.watcher import Watcher


class Workers(NamedTuple):
    """Threads for what takes long."""

    screening: Executor
    observing: Backlog
    """Others, so that observers keep no gate waiting."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the traffic of all links shares."""

    instance: Instance
    screening: Screening
    queue: OutboundQueue
    workers: Workers
    pacing: Pacing


class Traffic:
    """One link's receiver, senders, watchers and collectors."""

    def __init__(self, link: Link, places: Places, shared: Shared, before: "Traffic | None" = None) -> None:
        """`before` is what it replaces: what sessions were promised and have read is known to both."""
        self.link = link
        self._places = places
        self._shared = shared
        instance = shared.instance
        self._keeping = Keeping(
            link.name, places, instance.ledger, instance.held, puts_aside=instance.holds_put_aside(link.name)
        )
        self._vault = instance.vaults.of(link.name)
        if self._vault is not None:
            self._vault.require_key()
        self._archive = Archive(self._vault if instance.archives(link.name) else None)
        self._receiver = self._receives(partial(instance.register.require_open, link.name))
        self._changes = Changes(link.name, places, instance.ledger, self._keeping)
        self.in_force = InForce(link, self._receiver, self._changes, self._keeping)
        """What its sessions go by."""
        self.reads: Reads = before.reads if before else Reads(link.name, instance.ledger)
        self.ration: Ration = (
            before.ration if before else Ration(link, places, instance.ledger, instance.clock)
        )
        after = {str(route.name): route.overdue_after.total_seconds() for route in link.inbound}
        after |= {str(route.name): route.readiness.overdue for route in link.outbound}
        known = before.waits if before else None
        self.waits: LinkWaits = LinkWaits(link.name, instance.ledger, instance.clock, after, known)
        """The files that are not ready."""
        self._couriers = CourierRemotes(instance.children, remote_logins(link, instance.config))
        backoffs = {remote.name: remote.backoff for remote in link.remotes}
        self._remotes = GuardedRemotes(link.name, self._couriers, instance.guards, backoffs.__getitem__)
        self._open_remotes = self._remotes.while_open(partial(instance.register.require_open, link.name))
        self._sources = {str(route.name): _open_watched(route) for route in link.leaving}
        self._senders = {str(route.name): self._sender(route) for route in link.leaving}
        self._watchers = [self._watcher(route) for route in link.outbound]
        self._collectors = {str(route.name): self._collector(route) for route in link.inbound}
        self._receipt_collectors = [
            self._receipt_collector(remote) for remote in link.remotes if remote.receipts is not None
        ]

    def _receives(self, require_open: Callable[[], None]) -> Receiver:
        shared = self._shared
        return Receiver(
            self.link.name,
            self._places,
            ledger=shared.instance.ledger,
            screening=shared.screening,
            keeping=self._keeping,
            workers=shared.workers.screening,
            observing=shared.workers.observing,
            acknowledge_within=shared.instance.config.instance.screening.acknowledge_within,
            archive=self._archive,
            require_open=require_open,
        )

    def recover(self) -> int:
        """Finish what a crash left half done; returns how many transfers that were. For the start alone."""
        if self._vault is not None:
            self._destroy_unrecorded(self._vault)
        return self._recovery().run(self._shared.queue, self._senders)

    def _destroy_unrecorded(self, vault: Vault) -> None:
        """Destroy the copies that a crash left unrecorded, unless the ledger may be older than they are."""
        ledger = self._shared.instance.ledger
        with ledger.read() as conn:
            if any(freeze.reason.code in RESTORED for freeze in freezes.standing(conn)):
                return
            known = recorded(conn, self.link.name)
        if count := vault.destroy_others(known):
            event = Event("vault.unrecorded_destroyed", self.link.name, {"copies": count}, {})
            ledger.write(lambda unit: unit.record(event))

    def resume(self) -> int:
        """Go on with sending, as a reload does while sessions receive; returns how many transfers wait."""
        return self._recovery().resume_sending(self._shared.queue, self._senders)

    def _recovery(self) -> Recovery:
        policies: Mapping[str, object] = {
            "upload": self.link.upload_policy,
            **{route.name: route.policy for route in self.link.inbound},
        }
        return Recovery(
            self.link.name,
            self._places,
            ledger=self._shared.instance.ledger,
            receiver=self._receiver,
            changes=self._changes,
            policies=policies,
        )

    def start(self) -> None:
        """Begin to watch, and have sessions go by this link's limits."""
        self.ration.go_by(self.link)
        for watcher in self._watchers:
            watcher.start()

    def stop(self) -> None:
        """Watch no more."""
        for watcher in self._watchers:
            watcher.stop()

    def hang_up(self) -> None:
        """End every connection to a remote; whatever goes on over one fails."""
        self._couriers.close()

    def break_off(self) -> None:
        """End the connections of what the link's state does not allow any more; it is begun anew later."""
        self._remotes.hang_up()

    def close(self) -> None:
        """Let connections and watched folders go; no sender may be at work."""
        self._couriers.close()
        for root in self._sources.values():
            root.close()

    def require_open(self) -> None:
        """Pass if the link may be used now. Raises NotOpenError."""
        self._shared.instance.register.require_open(self.link.name)

    def let_go(self) -> None:
        """Delete what was put aside for a hold that is over."""
        self._changes.let_go()

    def withdraw_request(self, name: bytes, transfer: str) -> None:
        """Delete a file of a transfer from what the partner has put into `/requests`. RefusedError: held."""
        at = Published("requests", self._places["requests"], (name,))
        path = f"/requests/{name.decode('utf-8', 'backslashreplace')}"
        self._changes.take_away(at, transfer, {"path": path})

    def partner(self, account: Account, in_force: Callable[[], InForce]) -> Partner:
        """What a session of `account` may do here, by what is in force at each step."""
        instance = self._shared.instance
        ports = Ports(instance.ledger, in_force, instance.register.require_open, self.ration, self.reads)
        return Partner(account, self._places, ports)

    def require_inbound(self, route: str) -> None:
        """Pass if the link has an inbound route of that name. Raises NotFoundError."""
        if route not in self._collectors:
            expected = ", ".join(sorted(self._collectors)) or "none: the link has no inbound route"
            where = f"link {self.link.name}"
            raise NotFoundError(f"no inbound route {route!r}", where=where, expected=expected)

    def pull(self, route: str) -> Pulled:
        """Look at a remote now, and again when what may still change there should have settled.

        Returns what the looks came to together. Raises RefusedError, RemoteError.
        """
        collector = self._collectors[route]
        first = collector.collect()
        if first.again is None:
            return first
        time.sleep(first.again.total_seconds())
        return first + collector.collect()

    def push(self, remote: str, signed: Signed) -> None:
        """Bring a signed order to a remote. Raises NotFoundError, RefusedError and RemoteError."""
        to = next((one for one in self.link.remotes if one.name == remote), None)
        if to is None:
            raise NotFoundError(f"no remote {remote!r}", where=f"link {self.link.name}")
        if to.requests is None:
            raise RefusedError(
                "the remote takes no orders, as it is configured",
                reason="NO_REQUESTS",
                where=f"remote {remote}",
                remedy="set its `requests`, or tell them otherwise: sftpd erasure told",
            )
        orders.push(self._open_remotes, to, to.requests, signed)

    def answer_to(self, order: str, remote: str, known: str | None) -> Answered | None:
        """What a remote's owner has answered to an order beyond what is `known`, if receipts are collected.

        Raises RefusedError, RemoteError, and AuditError where it is not signed as it must be.
        """
        to = next((one for one in self.link.remotes if one.name == remote), None)
        if to is None or to.receipts is None:
            return None
        return answers.fetch(self._open_remotes, to, order, known)

    def release(self, transfer: TransferId, order: desk.Order) -> None:
        """Publish a file that a gate held back. Raises as TransferDesk.release."""
        instance = self._shared.instance
        at = desk.TransferDesk(instance.ledger, instance.clock, instance.held)
        at.release(transfer, self._places, self._archive, self._receiver, order)

    def lay_out(self, folder: bytes, signed: Signed) -> None:
        """Put a signed file where the partner finds it, in a folder of `/receipts`. Raises OSError."""
        with self._shared.instance.receipting:
            orders.lay_out(self._places["receipts"], folder, signed)

    def take_away(self, folder: bytes, name: bytes) -> None:
        """Remove what was put there under that name. Raises OSError."""
        with self._shared.instance.receipting:
            orders.take_away(self._places["receipts"], folder, name)

    def jobs(self) -> list[Job]:
        """What is to be done for the link regularly."""
        pulls = [self._collection(route) for route in self.link.inbound]
        return pulls + [self._return_receipts(each) for each in self._receipt_collectors]

    def _collection(self, route: Inbound) -> Job:
        def work() -> timedelta | None:
            return self._collectors[route.name].collect().again

        return Job(collection(route.link, route.name), work, route.schedule, self.link.zone)

    def _return_receipts(self, collector: ReturnCollector) -> Job:
        def work() -> timedelta | None:
            self._shared.instance.register.require_open(self.link.name)
            return timedelta() if collector.collect() else None

        name = f"receipts {self.link.name}/{collector.remote.name}"
        return Job(name, work, collector.wanted.schedule, self.link.zone)

    def _receipt_collector(self, remote: Remote) -> ReturnCollector:
        instance = self._shared.instance
        return ReturnCollector(
            remote,
            {route.name: route.remote_path for route in self.link.leaving if route.remote == remote.name},
            self._places,
            remotes=self._open_remotes,
            ledger=instance.ledger,
            clock=instance.clock,
            alone=instance.receipting,
        )

    def _collector(self, route: Inbound) -> Collector:
        # What a remote gives only once would be lost if it was not taken in.
        receiver = self._receives(lambda: None) if route.read_once else self._receiver
        return Collector(
            route,
            self._places,
            receiver=receiver,
            remotes=self._remotes,
            fetched=Fetched(self._shared.instance.ledger, self._shared.instance.erasures.digests.fetched),
            clock=self._shared.instance.clock,
            require_open=self._shared.instance.register.require_open,
            share=self._share(route),
            waits=self.waits.routes[route.name],
        )

    def _share(self, route: Inbound | Outbound) -> Share | None:
        if route.rate is None:
            return None
        who = (route.link, route.name if isinstance(route, Inbound) else route.configured)
        return Share(route.rate, partial(self._shared.pacing.lease, who, route.rate))

    def _sender(self, route: Outbound) -> Sender:
        instance = self._shared.instance
        require_open = partial(
            instance.register.require_open, route.link, going_back=route.return_of is not None
        )
        delivery = (
            Offer(self._places, self._keeping, route.layout, replace=route.conflict == "replace")
            if route.remote is None
            else Bring(self._remotes, route.remote, route.name, self._way(route), require_open=require_open)
        )
        # A received file that goes back is in the vault as it came, if there is one.
        archive = self._archive if route.return_of is None else NO_ARCHIVE
        tools = Tools(
            instance.ledger,
            self._shared.screening,
            self._keeping,
            instance.clock,
            self._shared.workers.observing,
            instance.bell,
            archive,
            self.waits.routes.get(route.name) or RouteWaits(inf),
        )
        return Sender(route, self._places, self._sources[route.name], delivery, tools)

    def _way(self, route: Outbound) -> Way:
        remote = next(remote for remote in self.link.remotes if remote.name == route.remote)
        return Way(
            route.remote_path,
            remote.handling.temporary,
            replace=route.conflict == "replace",
            look=remote.handling.confirm_placed,
            layout=route.layout,
            returns=route.return_of is not None,
            awaits_receipt=remote.receipts is not None,
            share=self._share(route),
        )

    def _watcher(self, route: Outbound) -> Watcher:
        ready = route.readiness
        folder = WatchedFolder(
            name=f"{route.link}-{route.name}",
            root=route.folder,
            selection=Selection(
                ready.include,
                ready.exclude,
                temporary=ready.temporary,
                done_file=ready.done_file,
                recursive=ready.recursive,
            ),
            policy=Policy(ready.settle, ready.minimum_age, EmptyFiles(ready.zero_byte)),
            pace=Pace(rescan=ready.rescan, poll=ready.poll),
            order=Order(ready.order),
            waits_for_writers=ready.wait_for_writers,
            polled=ready.polled,
        )
        sender, source = self._senders[route.name], self._sources[route.name]
        return Watcher(
            folder,
            lambda parts: self._shared.queue.offer(sender, parts),
            clock=self._shared.instance.clock,
            on_replaced=lambda: source.reopen(route.folder),
            waits=self.waits.routes[route.name],
        )


def collection(link: str, route: str) -> str:
    """The name of the job that pulls the files of a route."""
    return f"collect {link}/{route}"


def _open_watched(route: Outbound) -> Root:
    if not route.folder.is_dir():
        route.folder.mkdir(parents=True)
        route.folder.chmod(LOCAL_MODE)
    return Root.at(Path(route.folder))
