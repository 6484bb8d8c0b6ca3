"""An instance: all that works with and without a running daemon — ledger, audit logs, links, desks."""

import fcntl
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from sftpd import logs
from sftpd.app import rules
from sftpd.app.erasure_links import ErasureLinks
from sftpd.app.indexes import Indexes
from sftpd.app.keys import signing_key, token_key
from sftpd.app.links import build_link
from sftpd.app.vaults import Vaults
from sftpd.audit.event import seal
from sftpd.clock import Clock
from sftpd.config.erasure_model import ErasureSection
from sftpd.config.load import Config
from sftpd.erasure.desk import ErasureDesk
from sftpd.erasure.erasures import Digests, Erasures
from sftpd.erasure.readers import READER, Readers
from sftpd.erasure.search import RECEIVED
from sftpd.errors import RefusedError, SftpdError
from sftpd.exchange import receipts, return_collect, returning, turn_records
from sftpd.exchange.bell import Bell
from sftpd.exchange.guard import Guards
from sftpd.exchange.halts import Halts
from sftpd.exchange.returning import Returns
from sftpd.files.beneath import Root
from sftpd.files.path_locks import PathLocks
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import SYSTEM_LOG, Event
from sftpd.link.model import Link
from sftpd.link.register import LinkRegister
from sftpd.process.pool import Children
from sftpd.retention import held
from sftpd.retention.desk import RetentionDesk
from sftpd.retention.guards import Bounds
from sftpd.retention.roots import Roots
from sftpd.retention.sweep import Reach
from sftpd.retention.timekeeper import Timekeeper
from sftpd.service.sequencer import Sequencer

PRELOAD = (
    "sftpd.ssh.session_host",
    "sftpd.ssh.rehearsal",
    "sftpd.ssh.courier",
    READER,
    "sftpd.process.command",
)
"""What every child may need, loaded once in the zygote."""

_NEWS = frozenset(
    {"link.moved", "transfer.cancelled", "transfer.retried", "transfer.resent", returning.EVENT}
)
"""Events after which the outbound queue looks anew at what may be done."""

_RECEIPTS: Mapping[str, Callable[[Root, Ledger, Sequence[str]], None]] = {
    "receipts": receipts.remove,
    return_collect.FOLDER: return_collect.remove,
}
"""The folders of receipts, and what removes those of transfers from each."""

_PATIENCE = 3.0
"""Seconds to wait for a command that works on the files, or for a daemon that is on its way out."""


class Instance:
    """One instance, open in this process and in no other."""

    def __init__(self, config: Config, clock: Clock) -> None:
        """Open the instance.

        Raises SftpdError when another process has it, LedgerError or AuditError when its state is unusable.
        """
        self.config = config
        self.clock = clock
        about = config.instance.about
        self.name = about.name
        self.audit_folder = about.state / "audit"
        self.receipting = threading.Lock()
        """Held by who writes receipts, and by who removes some with what they were written from."""
        self.writes_receipts = False
        """Whether somebody does so: a daemon that is at work."""
        self.path_locks = PathLocks()
        """Taken by who changes files in the folders of links."""
        self.backing_up = threading.Lock()
        """Held by who makes a backup."""
        self._undo = ExitStack()
        with ExitStack() as undo:
            undo.callback(os.close, _lock(about.state))
            self.key = signing_key(config)
            source = f"sftpd://{about.name}"
            self.ledger = Ledger.open(
                ledger_url(config), clock=clock, seal=functools.partial(seal, source=source), alone=True
            )
            undo.callback(self.ledger.close)
            with self.ledger.read() as conn:
                rules.require_unchanged(conn, config)
            self.timekeeper = Timekeeper(self.ledger, clock)
            self.roots = Roots(self.ledger, self.folder, self.path_locks)
            self.sequencer = Sequencer(
                self.audit_folder, instance=about.name, key=self.key, ledger=self.ledger
            )
            undo.callback(self.sequencer.close)
            self.register = LinkRegister(self.build_links(config), self.ledger, clock)
            self.register.enrol()
            self.bell = Bell()
            self.halts = Halts(self.ledger, self.bell)
            self.guards = Guards(self.halts, clock, self.bell)
            self.ledger.on_event(self._tell)
            self.sequencer.open([SYSTEM_LOG, *self.register.links])
            self.vaults = Vaults(lambda: self.children)
            undo.callback(self.vaults.close)
            received = functools.partial(self.folder, folder=RECEIVED)
            self.indexes = Indexes(about.state / "index", self.key, lambda: self.config.links, received)
            undo.callback(self.indexes.close)
            self.retention = RetentionDesk(self.ledger, (), self.roots, self.timekeeper, clock)
            self.adopt_rules(config)
            self._undo = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take what is in the outbox into the logs and let the instance go."""
        with self._undo:
            self.sequencer.stop()

    @functools.cached_property
    def children(self) -> Children:
        """The zygote and its children; started when first wanted."""
        logs.inherit()
        children = Children.start(PRELOAD)
        self._undo.callback(children.stop, 0)
        return children

    @functools.cached_property
    def readers(self) -> Readers:
        """The pool of readers; started when first wanted."""
        readers = Readers(self.children)
        self._undo.callback(readers.close)
        return readers

    @functools.cached_property
    def erasures(self) -> Erasures:
        """The erasure ledger, which lies apart from the state."""
        digests = Digests(token_key(self.key, "erasure ledger"))
        path = self.config.instance.erasure_ledger
        erasures = Erasures(self.ledger, path, self.name, digests, self.clock)
        self._undo.callback(erasures.close)
        return erasures

    @functools.cached_property
    def erasure(self) -> ErasureDesk:
        """The desk for deletion requests."""
        return ErasureDesk(self.ledger, self.readers, self.erasures, ErasureLinks(self), self.key)

    @functools.cached_property
    def order_readers(self) -> Readers:
        """Readers for orders, which wait for no search."""
        readers = Readers(self.children)
        self._undo.callback(readers.close)
        return readers

    def _tell(self, event: Event) -> None:
        if event.type in _NEWS:
            self.bell.ring()

    def adopt(self, config: Config) -> None:
        """Work with another configuration from now on. Raises SftpdError with nothing changed."""
        links = self.build_links(config)
        self.use_rules(config)
        self.sequencer.open(link.name for link in links)
        self.register.adopt(links)
        self.adopt_rules(config)
        self.config = config

    def use_rules(self, config: Config) -> None:
        """Have the versions of the retention rules stand for what they say now.

        Raises ConfigError where one was used before and said something else.
        """
        self.ledger.write(lambda unit: rules.use(unit, config))

    def adopt_rules(self, config: Config) -> None:
        """Work with the retention rules of `config` from now on, and with vaults that are new."""
        self.vaults.adopt(config)
        bounds = Bounds(**config.instance.retention.model_dump())
        returns = Returns(self.register.links.values(), self.clock)
        self.retention.adopt(rules.build_rules(config), bounds, Reach(self.vaults.of, returns))

    def build_links(self, config: Config) -> list[Link]:
        """The links that `config` describes."""
        with self.ledger.read() as conn:
            return [
                build_link(
                    config,
                    file,
                    self.audit_folder / file.name,
                    functools.partial(turn_records.waits, conn, file.name),
                )
                for file in config.links
            ]

    def holds_need_second_person(self, link: str) -> bool:
        """Whether who placed a hold on a link may not release it; of a link that is not configured, no."""
        file = self.config.link(link)
        return file is not None and file.holds.require_second_person

    def holds_put_aside(self, link: str) -> bool:
        """Whether a held file that the partner removes or replaces is put aside; else that is refused."""
        file = self.config.link(link)
        return file is not None and file.holds.partner_removal == "shadowed"

    def archives(self, link: str) -> bool:
        """Whether files that cross a link are archived in its vault."""
        file = self.config.link(link)
        return file is not None and file.vault is not None and file.vault.archive

    def erasure_settings(self, link: str) -> ErasureSection:
        """What the configuration says of deletion requests on a link. Raises NotFoundError."""
        name = self.register.get(link).name
        return next(file.erasure for file in self.config.links if file.name == name)

    def reminders(self, link: str) -> Sequence[timedelta]:
        """How long before a request on a link is due that is told of."""
        file = self.config.link(link)
        return [] if file is None else [timedelta(seconds=wait) for wait in file.erasure.reminders]

    @contextmanager
    def receiptless(self, link: str, transfers: Sequence[str]) -> Iterator[None]:
        """Remove the receipts of transfers, and let none be written until the context ends."""
        with self.receipting:
            for name, remove in _RECEIPTS.items() if transfers else ():
                # The folder is made when a daemon of a version that knows it first runs.
                with suppress(FileNotFoundError), Root.at(self.folder(link, name)) as folder:
                    remove(folder, self.ledger, transfers)
            yield

    def folder(self, link: str, folder: str) -> Path:
        """The path of a folder of a link."""
        return self.register.get(link).folders.by_name()[folder]

    def folders_beside(self, link: str) -> list[str]:
        """The folders elsewhere without which the link's files cannot be searched, as `roots` calls them."""
        file = self.config.link(link)
        if file is None:
            return []
        keys = [] if file.vault is None or file.vault.keys is None else [file.vault.keys]
        return [str(path) for path in (*file.erasure.also_search, *keys)]

    def know_folders(self) -> None:
        """Remember which directory each folder is, of links and beside them."""
        links = self.register.links
        beside = [(name, path) for name in links for path in self.folders_beside(name)]
        own = [(name, folder) for name, link in links.items() for folder in link.folders.by_name()]
        watched = [(name, str(route.folder)) for name, link in links.items() for route in link.outbound]
        self.roots.forget_others([*beside, *watched])
        self.roots.mark([*own, *beside])
        self.roots.follow(watched)

    def held(self, link: str, folder: str, path: bytes, conn: sa.Connection | None = None) -> str | None:
        """The reason of the legal hold on the file at a path, None when there is none.

        With the connection of a unit of work it is what holds when that commits.
        """
        if conn is not None:
            hold = held.on_path(conn, self.timekeeper.proven(), link, folder, path)
            return None if hold is None else hold.reason
        if not self.ledger.look_up(held.PLACED, link=link):
            return None
        with self.ledger.read() as own:
            return self.held(link, folder, path, own)


def ledger_url(config: Config) -> str:
    """The URL of the ledger's database, its password filled in."""
    about = config.instance.about
    if about.ledger is None:
        return f"sqlite:///{about.state / 'ledger.db'}"
    url = sa.make_url(about.ledger)
    if about.ledger_password is not None:
        url = url.set(password=about.ledger_password.text())
    return url.render_as_string(hide_password=False)


def _lock(state: Path) -> int:
    """Take the instance for this process."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_owner(state)
        fd = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SftpdError(f"cannot open: {error.strerror}", where=str(state)) from error
    deadline = time.monotonic() + _PATIENCE
    while not _locked(fd):
        if time.monotonic() > deadline:
            os.close(fd)
            raise RefusedError(
                "another sftpd has this instance open",
                reason="INSTANCE_IN_USE",
                where=str(state),
                remedy="stop it, or use its control socket",
            )
        time.sleep(0.05)
    return fd


def _require_owner(state: Path) -> None:
    """See that what is written can be changed by whoever else writes there: root could write for anybody."""
    owner = state.stat().st_uid
    if os.geteuid() == 0 != owner:
        raise RefusedError(
            f"it is of user {owner}, whose sftpd could not change what root leaves there",
            reason="NOT_THE_OWNER",
            where=str(state),
            remedy="start the daemon, which then does it, or run this as that user",
        )


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
