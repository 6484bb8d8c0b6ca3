"""A flow on a disk that is recorded, and what becomes of it when the power goes meanwhile."""

import contextlib
import io
import random
import shutil
import sqlite3
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from faults_crossing import CROSSINGS, Crossing, Upload
from faults_fuse import Layer
from faults_power import Case, Disk, mounted
from faults_reckoning import Reckoning, reckon
from faults_shore import Shore, sha256_of, visible
from mounts import small
from waiting import holds

from sftpd.cli import main

_ROOM = 512
"""MiB for the images and the record."""
_PAUSE = 0.005
_CHECKPOINT = "state/audit/demo/public/checkpoint"


class Outage:
    """One run of a flow, which is the past of every case.

    What was heard of outside is kept with the time that the disk's clock showed then: which files the client
    was told have arrived, what lay at the remote, which checkpoints and transfers could be read.
    """

    def __init__(self, flow: str, folder: Path) -> None:
        self._flow = flow
        self._folder = folder
        self._instance = folder / "instance"
        self._told: dict[str, int] = {}
        self._offered: dict[str, int] = {}
        """When files that nobody had made durable were seen in /download."""
        self._remote: list[tuple[int, Path, dict[str, str]]] = []
        """The remote after each change: time, copy, and the hash of each visible file."""
        self._checkpoints: list[tuple[int, bytes]] = []
        self._transfers: dict[str, int] = {}
        self._first = self._last = 0
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> "Outage":
        with contextlib.ExitStack() as undo:
            self._prepare(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _prepare(self, undo: contextlib.ExitStack) -> None:
        images = self._folder / "images"
        images.mkdir()
        undo.enter_context(small(images, _ROOM))
        self._disk = Disk(images)
        self._history = images / "history"
        self._history.mkdir()
        with self._disk.recorded(self._instance):
            self._crossing = CROSSINGS[self._flow](self._folder)
            undo.callback(self._crossing.__exit__)
            self._record()
        self._read_history()

    def _record(self) -> None:
        crossing, daemon = self._crossing, self._crossing.daemon
        with contextlib.ExitStack() as running:
            if crossing.server is not None:
                running.enter_context(Layer(crossing.server.root, self._history, self._disk.record))
            crossing.put(_files("power", crossing.nested))
            subprocess.run(["sync", "--file-system", self._instance], check=True)
            self._first = self._disk.clock
            running.callback(daemon.kill)
            running.enter_context(self._listening())
            if self._takes:
                running.enter_context(crossing.shore)
            daemon.start()
            if isinstance(crossing, Upload):
                self._upload(crossing)
            if self._flow == "download":
                self._drop(crossing)
            crossing.settle()
            daemon.events()
            daemon.stop()
        self._last = self._disk.clock

    @property
    def _takes(self) -> bool:
        """Whether who gets the files is elsewhere and takes them away."""
        return self._flow == "remote"

    def _upload(self, crossing: Upload) -> None:
        with crossing.daemon.sftp() as client:
            for name in crossing.left():
                for folder in Path(name).parents[-2::-1]:
                    with contextlib.suppress(OSError):
                        client.mkdir(f"/upload/{folder}")
                client.put(str(crossing.daemon.desk / name), f"/upload/{name}")
                self._told[name] = self._disk.clock
        crossing._waiting = []

    def _drop(self, crossing: Crossing) -> None:
        """Drop files that nobody makes durable, and wait until whoever looks sees them offered."""
        files = _files("late", crossing.nested)
        crossing.put(files)
        for name in files:
            assert holds((crossing.shore.folder / name).exists), crossing.daemon.log
            self._offered[name] = self._disk.clock

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Keep what could be read of checkpoints and transfers, and when."""
        stopping = threading.Event()

        def listen() -> None:
            checkpoint = self._instance / _CHECKPOINT
            while not stopping.wait(_PAUSE):
                if checkpoint.exists():
                    seen = checkpoint.read_bytes()
                    if not self._checkpoints or seen != self._checkpoints[-1][1]:
                        self._checkpoints.append((self._disk.clock, seen))
                for transfer in self._known():
                    self._transfers.setdefault(transfer, self._disk.clock)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def _known(self) -> set[str]:
        """The transfers in the ledger, which has no tables at first."""
        with contextlib.suppress(sqlite3.OperationalError):
            return {row["id"] for row in self._crossing.rows("SELECT id FROM transfer")}
        return set()

    def _read_history(self) -> None:
        for copy in sorted(self._history.iterdir()):
            hashes = {str(path.relative_to(copy)): sha256_of(path) for path in visible(copy)}
            self._remote.append((int(copy.name.partition("-")[0]), copy, hashes))

    @property
    def log(self) -> str:
        """What all the daemons wrote."""
        return self._crossing.daemon.log

    def moments(self) -> list[int]:
        """When something was told or became visible, outside."""
        heard = [
            *self._told.values(),
            *self._offered.values(),
            *(moment for moment, _ in self._checkpoints),
            *self._transfers.values(),
        ]
        heard += [moment for moment, *_ in self._remote]
        return sorted({moment for moment in heard if self._first <= moment <= self._last})

    def cases(self, count: int) -> list[Case]:
        """Every moment with the least that may be left, and so many of what else may be left some time."""
        chance = random.Random(self._flow)
        found: set[Case] = set()
        writes: list[int] = []
        for operation in self._disk.operations():
            if not self._first <= operation.end <= self._last:
                continue
            if operation.data is not None:
                writes.append(operation.end)
                continue
            found.add(Case(operation.end, "nothing"))
            if writes:
                found |= {Case(writes[-1], "some"), Case(chance.choice(writes), "some")}
                found.add(Case(chance.choice(writes), "all"))
            writes = []
        others = sorted(found, key=_order)
        chosen = chance.sample(others, min(count, len(others)))
        return sorted({*chosen, *(Case(moment, "nothing") for moment in self.moments())}, key=_order)

    def strike(self, case: Case) -> Reckoning:
        """Let the power go, start sftpd on what is left of its disk, and see that all is well."""
        crossing, daemon = self._crossing, self._crossing.daemon
        with mounted(self._disk.after(case), self._instance):
            self._restore(case.at)
            lost = {name for name, moment in self._offered.items() if moment > case.at}
            for name in lost:
                # Whoever dropped it and did not make it durable does not count on it.
                (daemon.outbound / name).unlink(missing_ok=True)
            try:
                with crossing.shore:
                    daemon.start()
                    crossing.again()
                    crossing.settle()
                    reckoning = reckon(crossing, sorted(crossing.sent.keys() - lost))
                    reckoning.log += self._forgotten(case.at)
            finally:
                crossing.end()
        return reckoning

    def _restore(self, at: int) -> None:
        """Have the counterpart be as it was then."""
        crossing = self._crossing
        if crossing.server is not None:
            crossing.server.kill()
            _, copy, _ = [past for past in self._remote if past[0] <= at][-1]
            shutil.rmtree(crossing.server.root)
            shutil.copytree(copy, crossing.server.root)
            crossing.server.start()
        if isinstance(crossing, Upload):
            crossing._waiting = [name for name in sorted(crossing.sent) if self._told[name] > at]
        crossing.shore = Shore(crossing.shore.folder, taking=self._takes)
        for name, hashes in self._taken(at).items():
            crossing.shore.taken[name] = [*hashes]
            crossing.shore.seen[name] = {*hashes}

    def _taken(self, at: int) -> dict[str, list[str]]:
        """What had come to the remote and been taken from there."""
        taken: defaultdict[str, list[str]] = defaultdict(list)
        before: dict[str, str] = {}
        for moment, _, now in self._remote:
            if moment > at or not self._takes:
                break
            for name in before.keys() - now.keys():
                taken[name].append(before[name])
            before = now
        return taken

    def _forgotten(self, at: int) -> list[str]:
        """What could be read before and is not so any more, or what cannot be verified."""
        daemon = self._crossing.daemon
        known = self._known()
        seen = {transfer for transfer, moment in self._transfers.items() if moment <= at}
        faults = [f"transfer {transfer} is not known any more" for transfer in sorted(seen - known)]
        config = ("--config", str(daemon.config))
        checks: list[tuple[str, ...]] = [("audit", "verify")]
        if kept := [checkpoint for moment, checkpoint in self._checkpoints if moment <= at]:
            path = self._folder / "kept.checkpoint"
            path.write_bytes(kept[-1])
            checks.append(("audit", "verify", "--link", "demo", "--kept", str(path)))
        for check in checks:
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                # The command, without the second that it takes to start another interpreter.
                code = main.run([*check, *config])
            if code != 0:
                faults.append(f"{' '.join(check)}: {said.getvalue()}")
        return faults


def _order(case: Case) -> tuple[int, str]:
    return case.at, case.kept


def _files(prefix: str, nested: bool) -> dict[str, bytes]:
    chance = random.Random(prefix)
    join = "/" if nested else "-"
    sizes = {"report": 150_000, "small": 20, "empty": 0}
    return {f"{prefix}{join}{name}.csv": chance.randbytes(size) for name, size in sizes.items()}
