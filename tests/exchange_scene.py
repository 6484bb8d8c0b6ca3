"""One link for the tests of the exchange: real folders, ledger and hooks, and a remote in a directory."""

import contextlib
import itertools
import json
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import ledgers
import sqlalchemy as sa
from exchange_doubles import Crash, Fuse, FusedLedger, LocalRemote, ShellCommands
from waiting import until

from sftpd.audit.event import seal
from sftpd.clock import SystemClock
from sftpd.erasure.erasures import Digests
from sftpd.errors import NotOpenError
from sftpd.exchange import records
from sftpd.exchange.archive import Archive
from sftpd.exchange.away import Tools
from sftpd.exchange.backlog import Backlog
from sftpd.exchange.bell import Bell
from sftpd.exchange.bring import Bring, Way
from sftpd.exchange.changes import Changes
from sftpd.exchange.collect import Collector
from sftpd.exchange.deliver import Offer
from sftpd.exchange.fetched import Fetched
from sftpd.exchange.guard import Guards
from sftpd.exchange.guarded import GuardedRemotes
from sftpd.exchange.halts import Halts
from sftpd.exchange.keeping import Keeping
from sftpd.exchange.partner import InForce, Partner, Ports
from sftpd.exchange.places import Places
from sftpd.exchange.queue import OutboundQueue
from sftpd.exchange.ration import Ration
from sftpd.exchange.reads import Reads
from sftpd.exchange.receive import Receiver
from sftpd.exchange.recovery import Recovery
from sftpd.exchange.screening import Screening
from sftpd.exchange.send import Sender
from sftpd.files.beneath import Root
from sftpd.files.data_keys import WrappingKey
from sftpd.files.path_locks import PathLocks
from sftpd.files.vault import Vault
from sftpd.hooks.runner import HookRunner
from sftpd.ledger import tables
from sftpd.link import aside
from sftpd.link.folders import Folders
from sftpd.link.model import PARTS, Account, Backoff, Inbound, Link, Outbound, Readiness, Turns
from sftpd.names import TransferId, VirtualPath, new_id

PATIENCE = 20.0
DIGESTS = Digests(b"\3" * 32)
_SOON = Backoff(timedelta(milliseconds=2), timedelta(milliseconds=10))


class Scene:
    """One link put together as the daemon does; another Scene in the same folder is a restart."""

    def __init__(
        self,
        folder: Path,
        *,
        fuse=None,
        clock=None,
        acknowledge_within=PATIENCE,
        then="leave",
        attempts=50,
        layout="keep",
        pull=None,
        turns=None,
        remote_backoff=_SOON,
        workers=2,
        conflict="replace",
        temporary=PARTS["prefix"],
        remotes=None,
        directory="/out",
        awaits_receipt=False,
        puts_aside=False,
        vault=False,
        **outbound,
    ):
        """`pull`: how the inbound route differs from one that fetches whatever is there."""
        self.folder = folder
        self.conflict = conflict
        self.fuse = fuse or Fuse()
        self.clock = clock or SystemClock()
        self.turns = turns or Turns()
        self.folders = Folders(folder / "link")
        self.hooks = folder / "hooks"
        self.remote = LocalRemote(folder / "remote")
        (folder / "remote" / "out").mkdir(parents=True, exist_ok=True)
        (folder / "remote" / "in").mkdir(exist_ok=True)
        (folder / "remote" / "done").mkdir(exist_ok=True)
        (folder / "outbound").mkdir(exist_ok=True)
        self.hooks.mkdir(exist_ok=True)
        self.outbound = folder / "outbound"
        self.held: set[bytes] = set()
        self.is_open = True
        self.ledger = open_ledger(folder / "ledger.db", self.clock)
        self.workers = ThreadPoolExecutor(4)
        self.places = Places(self.folders, PathLocks())
        self.source = Root.at(self.outbound)
        screening = Screening(HookRunner(self.hooks, ShellCommands(), PATIENCE, self.clock))
        self.keeping = Keeping("demo", self.places, self.ledger, self._look_up_hold, puts_aside=puts_aside)
        keys = folder / "keys" / "demo.keys"
        self.vault = Vault(self.folders.vault, keys, WrappingKey(bytes(32)), "demo") if vault else None
        archive = Archive(self.vault)
        receives = partial(
            Receiver,
            "demo",
            self.places,
            ledger=self.ledger,
            screening=screening,
            keeping=self.keeping,
            workers=self.workers,
            observing=Backlog(self.workers, most=4),
            acknowledge_within=acknowledge_within,
            archive=archive,
        )
        self.receiver = receives(require_open=self.require_open)
        self.last_receiver = receives()
        self.changes = Changes("demo", self.places, self.ledger, self.keeping)
        self.bell = Bell()
        self.halts = Halts(self.ledger, self.bell)
        self.guards = Guards(self.halts, self.clock, self.bell)
        self.guard = self.guards.of("demo", "peer")
        guarded = GuardedRemotes("demo", remotes or self.remote, self.guards, lambda name: remote_backoff)
        self.remotes = guarded
        observing = Backlog(self.workers, most=4)
        self.tools = tools = Tools(
            self.ledger, screening, self.keeping, self.clock, observing, self.bell, archive
        )
        way = Way(
            directory,
            temporary,
            replace=conflict == "replace",
            layout=layout,
            awaits_receipt=awaits_receipt,
        )
        self.senders = {
            "download": self._sender(
                "download",
                Offer(self.places, self.keeping, layout, replace=conflict == "replace"),
                tools,
                attempts,
                **outbound,
            ),
            "remote": self._sender("remote", self.bring(way), tools, attempts, **outbound),
        }
        self.collector = self.collects(then, **pull or {})
        self.queue = self.new_queue(workers=workers)
        self.recovery = Recovery(
            "demo",
            self.places,
            ledger=self.ledger,
            receiver=self.receiver,
            changes=self.changes,
            policies={"upload": {}, "fetch": {}},
        )
        account = _account()
        link = _link(self.folders, (account,))
        ration = Ration(link, self.places, self.ledger, self.clock)
        reads = Reads("demo", self.ledger)
        ports = Ports(
            self.ledger,
            lambda: InForce(link, self.receiver, self.changes, self.keeping),
            lambda link: None,
            ration,
            reads,
        )
        self.partner = Partner(account, self.places, ports)
        self.ledger.fuse = self.remote.fuse = self.fuse

    def new_queue(self, *, workers=1, require_open=lambda link: None) -> OutboundQueue:
        return OutboundQueue(
            workers=workers,
            ledger=self.ledger,
            halts=self.halts,
            bell=self.bell,
            clock=self.clock,
            require_open=require_open,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _look_up_hold(self, link, folder, path, conn=None):
        if folder == aside.FOLDER:
            folder, path = aside.origin(path)
        return "claim" if path in self.held else None

    def close(self) -> None:
        self.queue.stop()
        self.workers.shutdown()
        self.ledger.close()
        self.partner.close()
        self.source.close()
        self.places.close()
        if self.vault is not None:
            self.vault.close()

    def _sender(self, name, delivery, tools, attempts, *, after="archive", done_file=None):
        route = Outbound(
            name=name,
            link="demo",
            folder=self.outbound,
            remote=None if name == "download" else "peer",
            remote_path="/out",
            after=after,
            readiness=Readiness(0.1, "send", (), (), 60.0, done_file=done_file),
            backoff=Backoff(timedelta(milliseconds=2), timedelta(milliseconds=10), attempts),
            policy={},
            turns=self.turns,
            conflict=self.conflict,
        )
        return Sender(route, self.places, self.source, delivery, tools)

    def bring(self, way: Way, route="remote") -> Bring:
        return Bring(self.remotes, "peer", route, way, require_open=self.require_open)

    def require_open(self) -> None:
        """What the link says to whoever wants to use it."""
        if not self.is_open:
            raise NotOpenError("not now", reason="LINK_NOT_ACTIVE")

    def collects(
        self, then: str, *, clock=None, require_open=lambda link: None, waits=None, **pull
    ) -> Collector:
        """A collector of the inbound route."""
        route = _inbound(then, pull)
        return Collector(
            route,
            self.places,
            receiver=self.last_receiver if route.read_once else self.receiver,
            remotes=self.remotes,
            fetched=Fetched(self.ledger, DIGESTS.fetched),
            clock=clock or self.clock,
            require_open=require_open,
            waits=waits,
        )

    def hook(self, event: str, body: str) -> None:
        path = self.hooks / f"{event}.d" / "10-test"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def staged(self, path: str) -> Path:
        return self.folders.staging / "alice" / path

    def stage(self, path: str, content: bytes = b"a;b\n") -> Path:
        """What a session leaves when its client has closed a file: /upload/… in the staging folder."""
        staged = self.staged(path)
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(content)
        return staged

    def complete(self, path: str, size: int | None = None):
        size = self.staged(path).stat().st_size if size is None else size
        return self.partner.complete(self.new_id(), VirtualPath.parse(path.encode()), size, None)

    def upload(self, path: str, content: bytes = b"a;b\n"):
        self.stage(path, content)
        return self.complete(path)

    def drop(self, name: str, content: bytes = b"a;b\n") -> tuple[bytes, ...]:
        path = self.outbound / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return tuple(name.encode().split(b"/"))

    def new_id(self) -> TransferId:
        return TransferId(new_id(self.clock.now()))

    def run_queue(self) -> None:
        """Let the queue work until nothing is left to do."""
        with contextlib.suppress(RuntimeError):
            self.queue.start()
        until(self.is_idle)
        self.flush()

    def is_idle(self) -> bool:
        """Whether nothing waits; asked twice, as what is offered while one is counted may not be in that."""
        return self.queue.depth() == 0 and self.queue.depth() == 0

    def recover(self, route: str) -> None:
        """Start as the daemon does: recovery, and what lies in the watched folder is offered."""
        self.recovery.run(self.queue, {route: self.senders[route]})
        for name in contents(self.outbound):
            self.queue.offer(self.senders[route], tuple(name.encode().split(b"/")))
        self.run_queue()

    def flush(self) -> None:
        """Wait for the observers and for what was deferred."""
        self.ledger.write(lambda unit: None)

    def transfers(self) -> list[records.Transfer]:
        self.flush()
        with self.ledger.read() as conn:
            return records.find(conn)

    def states(self) -> list[str]:
        return [str(transfer.state) for transfer in self.transfers()]

    def received(self, *, state: str = "present") -> list[tuple[str, str]]:
        self.flush()
        f = tables.kept_file.c
        with self.ledger.read() as conn:
            rows = conn.execute(sa.select(f.folder, f.path).where(f.state == state).order_by(f.path))
            return [(row.folder, row.path.decode()) for row in rows]

    def received_ids(self) -> list[str]:
        f = tables.kept_file.c
        with self.ledger.read() as conn:
            return list(conn.scalars(sa.select(f.id).where(f.state == "present")))

    def leaves(self) -> list[dict]:
        with self.ledger.read() as conn:
            rows = conn.scalars(sa.select(tables.outbox.c.leaf).order_by(tables.outbox.c.seq))
            return [json.loads(leaf) for leaf in rows]

    def events(self) -> Counter[str]:
        self.flush()
        return Counter(leaf["type"] for leaf in self.leaves())


def open_ledger(path: Path, clock) -> FusedLedger:
    return FusedLedger.open(ledgers.url(path), clock=clock, seal=partial(seal, source="sftpd://test"))


def claim_one(sender: Sender, parts: tuple[bytes, ...]):
    """What comes of one offer, as the queue makes it."""
    claimed = sender.claim([parts])
    for error in claimed.failed.values():
        raise error
    return claimed.entered[parts]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file beneath a folder that stays for the look at it: relative path → content."""
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def take_all(folder: Path, into: list[tuple[str, bytes]]) -> None:
    """What a consumer does: take every file away."""
    into += contents(folder).items()
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def crash_at_every_step(folder: Path, monkeypatch, act, check, *, kind=Scene, **options) -> int:
    """Run `act(scene)` in one folder after another, each time killed one step later, until it ends by itself.

    `check(folder, crashed)` sees what each run left. Returns how many steps there are.
    """
    for at in itertools.count():
        fuse = Fuse(at)
        place = folder / str(at)
        place.mkdir()
        scene = kind(place, fuse=fuse, **options)
        with monkeypatch.context() as patched:
            for name in ("rename", "unlink"):
                patched.setattr(Root, name, _stepping(fuse, getattr(Root, name)))
            with scene, contextlib.suppress(Crash):
                act(scene)
        check(place, fuse.blown)
        if not fuse.blown:
            return at
    raise AssertionError


def _stepping(fuse, method):
    def stepped(self, *args, **options):
        return fuse.around(partial(method, self))(*args, **options)

    return stepped


def _account() -> Account:
    return Account("alice", "demo", frozenset(), None, frozenset(), frozenset(), (), None)


def _inbound(then: str, options: dict) -> Inbound:
    route = Inbound("fetch", "demo", "peer", "/in", timedelta(hours=1), then, "/done", ("*",), ("*.bak",), {})
    return replace(route, **{"settle": timedelta()} | options)


def _link(folders: Folders, accounts: tuple[Account, ...]) -> Link:
    zone = ZoneInfo("Europe/Amsterdam")
    return Link("demo", "ACME", zone, folders, folders.root / "audit", None, accounts, (), (), (), {})
