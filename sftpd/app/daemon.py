"""The running daemon: starts what serves, turns signals into steps, and stops in the reverse order."""

import queue
import signal
import sysconfig
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import structlog

from sftpd.app.instance import Instance
from sftpd.app.keys import host_keys
from sftpd.app.operations import operations
from sftpd.app.traffic import Shared, Traffic
from sftpd.config.load import Config, load
from sftpd.errors import ConfigError, RefusedError, SftpdError
from sftpd.exchange.partner import Partner
from sftpd.exchange.places import Places
from sftpd.exchange.queue import OutboundQueue
from sftpd.exchange.screening import Screening
from sftpd.hooks import listing
from sftpd.hooks.commands import SandboxedCommands
from sftpd.hooks.runner import HookRunner
from sftpd.ledger.outbox import Event
from sftpd.link.model import Account
from sftpd.process import sandbox
from sftpd.process.switchboard import Switchboard, code_only
from sftpd.service.control import ControlServer
from sftpd.service.notify import ServiceManager
from sftpd.service.schedule import Job, Schedule
from sftpd.ssh.asking import failure_for
from sftpd.ssh.auth import Authenticator
from sftpd.ssh.identification import IDENTIFICATION
from sftpd.ssh.listener import Host, Listener, bind
from sftpd.ssh.monitor import Ports, SessionGuard
from sftpd.ssh.session import Settings

_SESSION_MEMORY = 512 * 1024 * 1024
_SENDERS = 4
_WORKERS = 8
_DRAIN = 20.0
"""Seconds that sessions get to finish their uploads when the daemon stops."""
_LAST_FILES = 10.0
"""Seconds that files on their way to and from remotes get then; the next start begins with them anew."""
_log = structlog.get_logger()


class Daemon:
    """Serves one instance until it is told to stop."""

    def __init__(self, instance: Instance, config_path: Path, manager: ServiceManager) -> None:
        self.instance = instance
        self._config_path = config_path
        self._manager = manager
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._places: dict[str, Places] = {}
        self._traffic: dict[str, Traffic] = {}
        self._undo = ExitStack()

    def run(self, announce: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; `announce` is called once all is up.

        Raises SftpdError when it cannot start.
        """
        with self._undo:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda signo, _: self._signals.put(signo))
            self._start()
            self._record("daemon.started")
            self._manager.ready(self._summary())
            announce()
            self._obey()
            self._manager.stopping()
            _log.info("stopping", sessions=len(self._listener.sessions()))
            self._listener.stop()
            self._listener.drain(_DRAIN)
            self._record("daemon.stopped")

    def live(self) -> dict[str, object]:
        """What only the running daemon knows, for `status`."""
        sessions = [guard.partner for guard in self._listener.sessions()]
        return {
            "listen": [str(address) for address in self.instance.config.instance.server.listen],
            "sessions": len(sessions),
            "accounts": sorted(partner.account.name for partner in sessions if partner is not None),
            "queue": self._queue.depth(),
            "children": len(self.instance.children.running()),
        }

    def _start(self) -> None:
        instance, server = self.instance, self.instance.config.instance.server
        sockets = [bind(address.host, address.port) for address in server.listen]
        gap = sandbox.kernel_support().unprotected
        if gap is not None:
            _log.warning("sandbox_incomplete", unprotected=gap)
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="sftpd-screening")
        self._undo.callback(self._workers.shutdown)
        self._switchboard = Switchboard(workers=_WORKERS, failure_text=_told)
        self._listener = Listener(sockets, self._host())
        self._undo.callback(self._close_places)
        self._begin(Traffic.recover)
        self._undo.callback(self._end)
        self._undo.callback(self._switchboard.close)
        self._recover_desks()
        instance.sequencer.start()
        self._listener.start()
        self._undo.callback(self._listener.stop)
        control = ControlServer(instance.config.instance.control_socket, operations(instance, self.live))
        control.start()
        self._undo.callback(control.stop)

    def _begin(self, take_up: Callable[[Traffic], int]) -> None:
        """Start what the links decide: traffic, taken up by `take_up`, then the schedule."""
        instance = self.instance
        self._screening = Screening(hook_runner(instance))
        self._queue = OutboundQueue(
            workers=_SENDERS, clock=instance.clock, require_open=instance.register.require_open
        )
        shared = Shared(instance, self._screening, self._queue, self._workers)
        links = instance.register.links
        self._authenticator = Authenticator(
            [account for link in links.values() for account in link.accounts], instance.clock
        )
        self._traffic = {name: Traffic(link, self._places_of(name), shared) for name, link in links.items()}
        _log.info("resumed", transfers=sum(map(take_up, self._traffic.values())))
        self._schedule = Schedule(self._jobs(), instance.ledger)
        self._queue.start()
        for traffic in self._traffic.values():
            traffic.start()
        self._schedule.start()

    def _end(self) -> None:
        """Stop what `_begin` has started; files on their way get a while, for a remote may hang."""
        cut = threading.Timer(_LAST_FILES, self._hang_up)
        cut.start()
        try:
            self._schedule.stop()
            for traffic in self._traffic.values():
                traffic.stop()
            self._queue.stop()
        finally:
            cut.cancel()
            cut.join()
        for traffic in self._traffic.values():
            traffic.close()

    def _hang_up(self) -> None:
        for traffic in self._traffic.values():
            traffic.hang_up()

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

    def _jobs(self) -> list[Job]:
        config = self.instance.config.instance
        retention = Job(
            "retention",
            lambda: self.instance.retention.run(self.instance.retention.plan().hash),
            config.scheduler.retention_at,
            config.about.time_zone,
        )
        return [retention, *(job for traffic in self._traffic.values() for job in traffic.jobs())]

    def _obey(self) -> None:
        while True:
            try:
                number = self._signals.get(timeout=self._manager.watchdog or None)
            except queue.Empty:
                self._manager.alive(self._summary())
                continue
            if number != signal.SIGHUP:
                return
            self._reload()

    def _reload(self) -> None:
        """Take the configuration anew; a bad one changes nothing."""
        self._manager.reloading()
        try:
            config = load(self._config_path)
            _require_same(self.instance.config, config)
        except SftpdError as error:
            faults = error.faults if isinstance(error, ConfigError) else [str(error)]
            for fault in faults:
                _log.error("reload_refused", fault=fault)
        else:
            self._end()
            self.instance.adopt(config)
            self._begin(Traffic.resume)
            accounts = {
                account for link in self.instance.register.links.values() for account in link.accounts
            }
            self._listener.end_sessions(lambda account: account not in accounts)
            self._record("daemon.reloaded")
            _log.info("reloaded", digest=config.digest)
        self._manager.ready(self._summary())

    def _host(self) -> Host:
        instance, server = self.instance, self.instance.config.instance.server
        keys = host_keys(instance.config)
        settings = Settings(
            identification=IDENTIFICATION,
            banner=server.banner,
            host_keys=tuple(dict.fromkeys(key.asbytes() for key in keys.values())),
            login_grace=server.login_grace,
            idle_timeout=server.idle_timeout,
            limits=sandbox.Sandbox(
                execute=sandbox.interpreter_paths(),
                write=(str(instance.config.instance.about.links),),
                read=(str(instance.audit_folder),),
                memory=_SESSION_MEMORY,
                processes=None,
            ),
        )

        def guard(address: str) -> SessionGuard:
            ports = Ports(keys, self._authenticator, self._enter, instance.ledger, instance.clock)
            return SessionGuard(address, ports)

        return Host(instance.children, self._switchboard, settings, guard, server.max_sessions)

    def _enter(self, account: Account) -> Partner:
        self.instance.register.require_open(account.link)
        partners = [guard.partner for guard in self._listener.sessions()]
        limit = self.instance.config.instance.server.max_sessions_per_account
        if sum(p is not None and p.account.name == account.name for p in partners) >= limit:
            raise RefusedError(
                "too many sessions", reason="TOO_MANY_SESSIONS", where=f"account {account.name}"
            )
        return self._traffic[account.link].partner(account)

    def _places_of(self, link: str) -> Places:
        """The folders of a link; they outlive a reload, for sessions go on using them."""
        if link not in self._places:
            self._places[link] = Places(self.instance.register.get(link).folders)
        return self._places[link]

    def _close_places(self) -> None:
        for places in self._places.values():
            places.close()

    def _record(self, type: str) -> None:
        public = {"version": IDENTIFICATION, "config": self.instance.config.digest}
        self.instance.ledger.write(lambda unit: unit.record(Event(type, None, public)))

    def _summary(self) -> str:
        sessions = len(self._listener.sessions())
        return f"{len(self._traffic)} links, {sessions} sessions, {self._queue.depth()} queued"


def shipped_hooks() -> Path:
    """The folder of the hooks that come with sftpd: beside the sources, or where it is installed."""
    beside = Path(__file__).parents[2] / "hooks"
    return beside if beside.is_dir() else Path(sysconfig.get_path("data")) / "share" / "sftpd" / "hooks"


def hook_runner(instance: Instance) -> HookRunner:
    """Runs the instance's hooks; those that cannot run are told of now, and let nothing through later."""
    config = instance.config.instance
    folder = config.about.hooks or shipped_hooks()
    for hook in listing.list_all(folder):
        if not hook.usable:
            _log.error("hook_unusable", hook=str(hook.path), fault=hook.fault)
    return HookRunner(folder, SandboxedCommands(instance.children), config.screening.deadline, instance.clock)


def _told(fault: Exception) -> tuple[str, str]:
    """What a session may know of an error."""
    return failure_for(fault) if isinstance(fault, SftpdError | OSError) else code_only(fault)


def _require_same(old: Config, new: Config) -> None:
    """Pass if the new configuration differs only in what a reload can change."""
    fixed: Mapping[str, Callable[[Config], object]] = {
        "instance.name": lambda c: c.instance.about.name,
        "instance.state": lambda c: c.instance.about.state,
        "instance.links": lambda c: c.instance.about.links,
        "instance.ledger": lambda c: c.instance.about.ledger,
        "server": lambda c: c.instance.server,
        "audit": lambda c: c.instance.audit,
        "control": lambda c: c.instance.control,
        "log": lambda c: c.instance.log,
    }
    changed = [key for key, value in fixed.items() if value(old) != value(new)]
    if changed:
        raise SftpdError(f"{', '.join(changed)} changed", remedy="restart the daemon for that")
