"""The running daemon: starts what serves, turns signals into steps, and stops in the reverse order."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from sftpd.app.figures import Figures
from sftpd.app.instance import Instance
from sftpd.app.keys import host_keys, host_keys_to_come
from sftpd.app.links import most_handles
from sftpd.app.operations import operations
from sftpd.app.reloads import Reloads, require_same
from sftpd.app.traffic import Traffic, Workers
from sftpd.app.verbs.transfers import release
from sftpd.app.welcome import LOOK, Welcome
from sftpd.app.work import Work
from sftpd.config.address import Address
from sftpd.config.load import load
from sftpd.erasure.indexing import Indexer
from sftpd.erasure.readers import Readers
from sftpd.errors import RefusedError, SftpdError
from sftpd.exchange.backlog import Backlog
from sftpd.exchange.partner import InForce, Partner
from sftpd.exchange.places import Places
from sftpd.ledger.outbox import Event
from sftpd.link.lifecycle import LinkState
from sftpd.link.model import Account
from sftpd.process import heap, sandbox
from sftpd.process.handling import code_only
from sftpd.process.switchboard import Switchboard
from sftpd.service.activation import handed_over
from sftpd.service.control import ControlServer
from sftpd.service.lookout import Lookout
from sftpd.service.metrics import Metrics, MetricsServer
from sftpd.service.notify import ServiceManager
from sftpd.service.signals import Signals
from sftpd.ssh.admission import Rules
from sftpd.ssh.asking import failure_for
from sftpd.ssh.codes import Codes
from sftpd.ssh.hosting import Hosting, OwnProcesses, SharedProcesses
from sftpd.ssh.identification import IDENTIFICATION
from sftpd.ssh.listener import Host, Listener, bind
from sftpd.ssh.monitor import Ports, SessionGuard
from sftpd.ssh.pacing import Pacing
from sftpd.ssh.reception import Reception
from sftpd.ssh.session import Settings

_SESSION_MEMORY = 512 * 1024 * 1024
_DESCRIPTORS_A_HANDLE = 4
"""What an open directory takes: two layers, each with its listing."""
_OTHER_DESCRIPTORS = 128
_WORKERS = 8
_OBSERVERS = 4
_LOOK = 10.0
"""Seconds between two looks at the clocks."""
_TIDY = 10.0
"""Seconds after which memory that is free is given back again."""
_DRAIN = 20.0
"""Seconds that sessions get to finish their uploads when the daemon stops."""
_log = structlog.get_logger()


class Daemon:
    """Serves one instance until it is told to stop."""

    def __init__(self, instance: Instance, config_path: Path, manager: ServiceManager) -> None:
        self.instance = instance
        self._config_path = config_path
        self._manager = manager
        self.addresses: list[str] = []
        """Where it listens, once it does."""
        self._places: dict[str, Places] = {}
        self._codes = Codes(instance.clock)
        self._reloads = Reloads(instance)
        self._welcome = Welcome(instance, lambda: self._work.authenticator)
        self._undo = ExitStack()

    def run(self, announce: Callable[["Daemon"], None]) -> None:
        """Serve until SIGTERM or SIGINT; `announce` is called once all is up.

        Raises SftpdError when it cannot start.
        """
        with self._undo:
            signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
            self._start()
            self._record("daemon.started")
            self._manager.ready(self._summary())
            announce(self)
            self._obey(signals)
            self._manager.stopping()
            _log.info("stopping", sessions=len(self._listener.sessions()))
            self._listener.stop()
            self._listener.drain(_DRAIN)
            self._record("daemon.stopped")

    def live(self) -> dict[str, object]:
        """What only the running daemon knows, for `status`."""
        sessions = [guard.partner for guard in self._listener.sessions()]
        return {
            "listen": self.addresses,
            "sessions": len(sessions),
            "accounts": sorted(partner.account.name for partner in sessions if partner is not None),
            "queue": self._work.queue.depth(),
            "overdue": self._work.overdue(),
            "children": len(self.instance.children.running()),
            "reload_refused": self._reloads.faults,
        }

    def _start(self) -> None:
        instance = self.instance
        instance.erasures.require_current()
        instance.use_rules(instance.config)
        sockets = self._sockets()
        self.addresses = [_address(sock) for sock, _ in sockets]
        gap = sandbox.kernel_support().unprotected
        if gap is not None:
            _log.warning("sandbox_incomplete", unprotected=gap)
        screening = ThreadPoolExecutor(_WORKERS, thread_name_prefix="sftpd-screening")
        observing = ThreadPoolExecutor(_OBSERVERS, thread_name_prefix="sftpd-observing")
        self._workers = Workers(screening, Backlog(observing))
        self._undo.callback(observing.shutdown)
        self._undo.callback(screening.shutdown)
        self._switchboard = Switchboard(workers=_WORKERS, failure_text=_told)
        self._listener = Listener(sockets, self._host())
        instance.ledger.on_event(self._end_sessions_of_stopped)
        self._undo.callback(self._close_places)
        self._work = Work(instance, self._places_of, self._workers, self._codes)
        instance.ledger.on_event(self._see)
        self._work.start(Traffic.recover)
        self._undo.callback(self._stop_work)
        self._undo.callback(self._switchboard.close)
        instance.know_folders()
        self._recover_desks()
        for look, every in (
            (instance.timekeeper.look, _LOOK),
            (heap.give_back, _TIDY),
            (self._tell_of_waits, _LOOK),
            (self._end_what_is_over, LOOK),
        ):
            lookout = Lookout(look, every)
            lookout.start()
            self._undo.callback(lookout.stop)
        self._start_indexing()
        instance.sequencer.start()
        self._tell_metrics()
        self._listener.start()
        self._undo.callback(self._listener.stop)
        verbs = operations(instance, self.live) | {"remote.pull": self._pull}
        verbs["transfer.release"] = partial(release, instance, lambda: self._work.traffic)
        control = ControlServer(instance.config.instance.control_socket, verbs)
        control.start()
        self._undo.callback(control.stop)

    def _start_indexing(self) -> None:
        instance = self.instance
        instance.indexes.discard_others()
        readers = Readers(instance.children)
        self._indexer = Indexer(instance.ledger, instance.indexes, readers, instance.clock)
        instance.ledger.on_event(self._indexer.see)
        self._indexer.start()
        self._undo.callback(self._indexer.stop)

    def _tell_metrics(self) -> None:
        listen = self.instance.config.instance.metrics.listen
        if listen is None:
            return
        sessions, pending = self._listener.sessions, self._indexer.pending
        figures = Figures(
            self.instance, self._reception, sessions, lambda: self._work, pending, self._reloads
        )
        metrics = Metrics(figures)
        self.instance.ledger.on_event(metrics.count)
        server = MetricsServer(listen.host, listen.port, metrics)
        server.start()
        self._undo.callback(server.stop)

    def _recover_desks(self) -> None:
        """Finish the disposals that a crash interrupted, and have a thread finish the erasures."""
        try:
            self.instance.retention.recover()
        except (SftpdError, OSError) as error:
            _log.error("retention_recovery_failed", error=str(error))
        interrupted = self.instance.erasure.interrupted()
        if interrupted:
            thread = threading.Thread(target=self._finish_erasures, args=(interrupted,), name="sftpd-erasure")
            thread.start()
            self._undo.callback(thread.join)

    def _finish_erasures(self, requests: list[str]) -> None:
        for request in requests:
            try:
                state = self.instance.erasure.run(request).state
            except Exception as error:
                # One request that cannot be finished must not keep the others waiting.
                _log.exception("erasure_recovery_failed", request=request, error=str(error))
            else:
                _log.info("erasure_recovered", request=request, state=state)

    def _pull(self, arguments: Mapping[str, Any]) -> dict[str, object]:
        """What `sftpd remote pull` asks for."""
        link, route = arguments["link"], arguments["route"]
        pulled = self._work.pull(link, route)
        public = {"route": route, "fetched": pulled.fetched, "failed": pulled.failed}
        event = Event("route.pulled", link, public, {"by": arguments["by"]})
        self.instance.ledger.write(lambda unit: unit.record(event))
        rest = {"waiting": pulled.waiting, "left": pulled.left, "unlisted": pulled.unlisted}
        return {"link": link, **public, **rest}

    def _obey(self, signals: Signals) -> None:
        while True:
            number = signals.wait(self._manager.watchdog or None)
            if number is None:
                self._manager.alive(self._summary())
            elif number == signal.SIGHUP:
                self._reload()
            else:
                return

    def _reload(self) -> None:
        """Take the configuration anew; a bad one changes nothing."""
        self._manager.reloading()
        instance, old = self.instance, self.instance.config
        try:
            config = load(self._config_path)
            require_same(old, config)
            instance.adopt(config)
            work = Work(instance, self._places_of, self._workers, self._codes, self._work)
        except (SftpdError, OSError) as error:
            if instance.config is not old:
                instance.adopt(old)
            self._reloads.refused(error)
        else:
            with self._manager.patience("reloading"):
                self._replace_work(work)
            instance.know_folders()
            self._record("daemon.reloaded")
            self._reloads.succeeded()
            _log.info("reloaded", digest=config.digest)
        self._manager.ready(self._summary())

    def _stop_work(self) -> None:
        self._work.stop()

    def _replace_work(self, work: Work) -> None:
        """Go over to other work, and sessions with it; accounts that changed must log in again."""
        self._work.stop()
        self._work = work
        work.start(Traffic.resume)
        self._end_what_is_over()

    def _end_what_is_over(self) -> None:
        """End the sessions and connections that nothing tells of: a day ended, or a reload changed terms."""
        self._listener.end_sessions(self._welcome.look())
        self._work.break_off()

    def _tell_of_waits(self) -> None:
        self._work.tell_of_waits()  # a reload replaces it

    def _see(self, event: Event) -> None:
        self._work.see(event)  # a reload replaces it

    def _end_sessions_of_stopped(self, event: Event) -> None:
        """End the sessions of a link that may not be used any longer."""
        if event.type == "link.moved" and event.public["state"] != LinkState.ACTIVE:
            self._listener.end_sessions(lambda account: account.link == event.link)

    def _sockets(self) -> list[tuple[socket.socket, Hosting]]:
        """The listening sockets, each with where its sessions run.

        Those handed over are for old clients too where their port says so.
        """
        server = self.instance.config.instance.server
        standard = self._hosting(())
        compat = self._hosting(server.compat) if server.compat_listen else standard
        ports = {address.port for address in server.compat_listen}
        given = handed_over(os.environ)
        if given:
            return [(sock, compat if sock.getsockname()[1] in ports else standard) for sock in given]
        bound = [(bind(address.host, address.port), standard) for address in server.listen]
        return bound + [(bind(address.host, address.port), compat) for address in server.compat_listen]

    def _hosting(self, compat: tuple[str, ...]) -> Hosting:
        instance, server = self.instance, self.instance.config.instance.server
        used = dict.fromkeys(key.asbytes() for key in host_keys(instance.config).values())
        settings = Settings(
            identification=IDENTIFICATION,
            banner=server.banner,
            host_keys=tuple(used),
            host_keys_to_come=tuple(key.asbytes() for key in host_keys_to_come(instance.config)),
            compat=compat,
            asks_for_codes=False,
            login_grace=server.login_grace,
            idle_timeout=server.idle_timeout,
            limits=sandbox.Sandbox(
                execute=sandbox.interpreter_paths(),
                write=(str(instance.config.instance.about.links),),
                read=(str(instance.audit_folder),),
                files=_DESCRIPTORS_A_HANDLE * most_handles(instance.config) + _OTHER_DESCRIPTORS,
                memory=_SESSION_MEMORY,
                processes=None,
            ),
        )
        if server.sessions_per_process == 1:
            return OwnProcesses(instance.children, settings, self._asks_for_codes)
        return SharedProcesses(instance.children, settings, self._asks_for_codes, server.sessions_per_process)

    def _asks_for_codes(self) -> bool:
        return self._work.authenticator.asks_for_codes

    def _host(self) -> Host:
        instance, server = self.instance, self.instance.config.instance.server
        keys = host_keys(instance.config)
        pacing = Pacing(instance.clock)
        held = {key.asbytes(): key for key in (*keys.values(), *host_keys_to_come(instance.config))}

        ports = Ports(
            keys,
            held,
            lambda: self._work.authenticator,
            self._enter,
            self._welcome.require,
            instance.ledger,
            instance.clock,
            pacing,
        )

        def guard(address: str, may_log_in: Callable[[], bool]) -> SessionGuard:
            return SessionGuard(address, ports, may_log_in)

        rules = Rules(
            sessions=server.max_sessions,
            guests=server.unauthenticated_total,
            guests_per_address=server.unauthenticated_per_address,
            guests_per_network=server.unauthenticated_per_network,
            penalties=server.penalties,
            exempt=server.penalty_exempt,
            starts_per_network=server.starts_per_network,
        )
        self._reception = Reception(rules, instance.ledger, instance.clock)
        return Host(self._switchboard, server.login_grace, guard, self._reception)

    def _enter(self, account: Account) -> Partner:
        self._welcome.require(account)
        partners = [guard.partner for guard in self._listener.sessions()]
        own = sum(p is not None and p.account.name == account.name for p in partners)
        if own >= account.limits.sessions:
            raise RefusedError(
                "too many sessions", reason="TOO_MANY_SESSIONS", where=f"account {account.name}"
            )
        return self._work.traffic[account.link].partner(account, partial(self._in_force, account.link))

    def _in_force(self, link: str) -> InForce:
        traffic = self._work.traffic.get(link)
        if traffic is None:
            raise RefusedError("a reload took the link out", reason="NO_LINK", where=f"link {link}")
        return traffic.in_force

    def _places_of(self, link: str) -> Places:
        """The folders of a link; they outlive a reload, for sessions go on using them."""
        if link not in self._places:
            self._places[link] = Places(self.instance.register.get(link).folders, self.instance.path_locks)
        return self._places[link]

    def _close_places(self) -> None:
        for places in self._places.values():
            places.close()

    def _record(self, type: str) -> None:
        public = {"version": IDENTIFICATION, "config": self.instance.config.digest}
        self.instance.ledger.write(lambda unit: unit.record(Event(type, None, public)))

    def _summary(self) -> str:
        sessions, queued = len(self._listener.sessions()), self._work.queue.depth()
        return f"{len(self._work.traffic)} links, {sessions} sessions, {queued} queued{self._reloads}"


def _address(sock: socket.socket) -> str:
    host, port, *_ = sock.getsockname()
    return str(Address(host, port))


def _told(fault: Exception) -> tuple[str, str]:
    """What a session may know of an error."""
    return failure_for(fault) if isinstance(fault, SftpdError | OSError) else code_only(fault)
