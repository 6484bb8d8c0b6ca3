"""What brings files to one OpenSSH server and fetches them there: sftpd's routes beside rclone and lftp."""

import contextlib
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import clients
from bench.clients import Failed
from bench.measure import Outcome, Outcomes, Sample, settled
from bench.meter import metered
from bench.peers import Ground, Peer, openssh_internal, running
from bench.rows import Row, fill_with_noise, require_same
from bench.scale import SMALL_FILE, Scale

AT_ONCE = 4
"""Files, or connections, that each mover has under way; sftpd's number of senders is what it is."""

KEYS = frozenset({"push", "push-small", "push-one", "pull", "pull-small"})
"""The tasks there are."""

OURS = "sftpd"
SETTLE = 0.1
"""Seconds for which the route watches a dropped file for changes; they are in the times of sftpd alone."""

_LOOK, _LOOKS = 0.02, 50
"""Seconds between two looks at what is done, at most; and how often it is looked in any span of time."""

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = 1800.0


@dataclass(frozen=True)
class Places:
    """Where files are taken from and brought to; the remote's folders lie on this machine too."""

    source: Path
    """A local folder of exactly the files that are to be moved."""
    there: Path
    """The remote folder they go to."""
    offered: Path
    """The remote folder of exactly the files that are to be fetched."""
    routed: Path
    """The remote folder that sftpd fetches from: files are moved into it when it is sftpd's turn."""
    here: Path
    """The local folder they go to."""

    @classmethod
    def make(cls, folder: Path, root: Path) -> "Places":
        """Make them all, the remote's in `root`."""
        places = cls(
            folder / "source", root / "pushed", root / "offered", root / "routed", folder / "fetched"
        )
        for place in places.all:
            place.mkdir(parents=True)
        return places

    @property
    def all(self) -> tuple[Path, ...]:
        """Every folder."""
        return self.source, self.there, self.offered, self.routed, self.here


@dataclass(frozen=True)
class Mover:
    """A way to move all files of a folder, so that they are no longer where they were."""

    name: str
    push: Callable[[Places], object]
    pull: Callable[[Places], object]
    arrived: Callable[[Places], Path]
    """The local folder that holds what was fetched."""
    processor: Callable[[], float]
    """Seconds of processor time so far, of the mover alone and not of the server."""


@dataclass(frozen=True)
class Task:
    """A row: which files are moved, and which way."""

    row: Row
    files: list[Path]
    pull: bool

    def do(self, mover: Mover, places: Places) -> tuple[float, float]:
        """Move them once; returns seconds, and seconds of processor time. Raises Failed."""
        from_ = places.offered if self.pull else places.source
        for file in self.files:
            os.utime(file)  # what was fetched before is no news to sftpd
            os.link(file, from_ / file.name)
        before, start = mover.processor(), time.perf_counter()
        (mover.pull if self.pull else mover.push)(places)
        seconds = time.perf_counter() - start
        processor = settled(mover.processor) - before
        if left := names_in(from_):
            raise Failed(f"{len(left)} files are still where they were")
        require_same(self.files, mover.arrived(places) if self.pull else places.there)
        return seconds, processor


def tasks(folder: Path, scale: Scale) -> dict[str, Task]:
    """All tasks by key; makes the files, of random content, in `folder`."""
    large, small = folder / "moved", folder / "moved-small"
    for made in (large, small):
        made.mkdir(parents=True)
    fill_with_noise(large / "large.bin", scale.moved)
    for number in range(scale.moved_files):
        fill_with_noise(small / f"{number:06}.csv", SMALL_FILE)
    size, count = scale.moved, scale.moved_files
    found = {}
    for pull, words in ((False, "pushed"), (True, "pulled")):
        key = "pull" if pull else "push"
        row = Row(f"1 × {size >> 20} MiB {words}", "MB/s", size / 1e6, lambda _: None, size=size)
        found[key] = Task(row, sorted(large.iterdir()), pull)
        row = Row(f"{count} × 4 KiB {words}", "files/s", count, lambda _: None)
        found[f"{key}-small"] = Task(row, sorted(small.iterdir()), pull)
    row = Row("1 × 4 KiB pushed", "files/s", 1, lambda _: None)
    found["push-one"] = Task(row, sorted(small.iterdir())[:1], pull=False)
    return found


@contextlib.contextmanager
def movers(folder: Path, ground: Ground) -> Iterator[tuple[list[Mover], Places]]:
    """All movers, ready, with one OpenSSH server for all of them."""
    _adopt_orphans()
    with openssh_internal(folder / "server", ground) as server:
        places = Places.make(folder, ground.root)
        with _ours(folder / OURS, server, places) as ours:
            yield [ours, _rclone(server), _lftp(server)], places


def measure(all_: list[Mover], places: Places, chosen: dict[str, Task], rounds: int) -> Outcomes:
    """Do each task with each mover in turn, in each round beginning with another one."""
    outcomes: Outcomes = {(key, mover.name): Outcome() for key in chosen for mover in all_}
    for number in range(rounds):
        shift = number % len(all_)
        for key, task in chosen.items():
            for mover in all_[shift:] + all_[:shift]:
                outcome = outcomes[key, mover.name]
                if outcome.failed:
                    continue
                try:
                    outcome.samples.append(Sample(number, *task.do(mover, places)))
                except Failed as fault:
                    outcome.failed = str(fault)
                said = outcome.failed or f"{outcome.samples[-1].value:.3f}"
                print(f"round {number + 1} {key:14} {mover.name:20} {said}", file=sys.stderr)
                _clear(places, mover)
    return outcomes


def best_of_others(outcomes: Outcomes, key: str) -> Outcome:
    """What the fastest of the others did in each round."""
    others = [outcome for (row, name), outcome in outcomes.items() if row == key and name != OURS]
    rounds: dict[int, Sample] = {}
    for sample in (sample for other in others for sample in other.samples):
        best = rounds.setdefault(sample.round, sample)
        if sample.value < best.value:
            rounds[sample.round] = sample
    return Outcome([*rounds.values()])


def _rclone(server: Peer) -> Mover:
    options = ("--transfers", str(AT_ONCE))
    return Mover(
        "rclone move",
        lambda p: clients.rclone(server, "move", str(p.source), f":sftp:{p.there}", *options),
        lambda p: clients.rclone(server, "move", f":sftp:{p.offered}", str(p.here), *options),
        lambda p: p.here,
        _of_children,
    )


def _lftp(server: Peer) -> Mover:
    mirror = f"mirror --parallel={AT_ONCE} --Remove-source-files"
    return Mover(
        "lftp mirror",
        lambda p: clients.lftp(server, f"{mirror} -R {p.source} {p.there}"),
        lambda p: clients.lftp(server, f"{mirror} {p.offered} {p.here}"),
        lambda p: p.here,
        _of_children,
    )


@contextlib.contextmanager
def _ours(folder: Path, server: Peer, places: Places) -> Iterator[Mover]:
    """A daemon with a route each way."""
    command = [sys.executable, "-m", "sftpd"]
    init = [*command, "init", str(folder), "--listen", "127.0.0.1:0", "--json"]
    made = json.loads(subprocess.check_output(init))
    _add_routes(folder / "links.d" / "demo.toml", server, places)
    inbound, outbound = folder / "links" / "demo" / "inbound", folder / "links" / "demo" / "bench"
    serve = [*command, "serve", "--config", made["config"]]

    def push(places: Places) -> None:
        names = _drop(places.source, outbound)
        _until(lambda: names_in(places.there) == names and not names_in(outbound))

    def pull(places: Places) -> None:
        names = _drop(places.offered, places.routed)
        _until(lambda: names_in(inbound) >= names and not names_in(places.routed))

    with (
        running(serve, made["port"], folder.with_name(f"{OURS}.out")) as pid,
        metered(pid, "mover") as meter,
    ):
        _until(outbound.is_dir)
        yield Mover(OURS, push, pull, lambda _: inbound, meter.processor_seconds)


def _add_routes(config: Path, server: Peer, places: Places) -> None:
    key_type, blob = server.known_hosts.read_text().split()[1:3]
    config.write_text(
        f"""{config.read_text()}
[[remote]]
name = "openssh"
host = "127.0.0.1"
port = {server.port}
user = "{server.user}"
key = "file:{server.key}"
host_keys = ["{key_type} {blob}"]

[[route]]
name = "bench-push"
direction = "outbound"
folder = "bench"
to = "remote:openssh"
remote_path = "{places.there}"
settle = {SETTLE}
after = "remove"

[[route]]
name = "bench-pull"
direction = "inbound"
from = "remote:openssh"
remote_path = "{places.routed}"
every = "PT1S"
settle = {SETTLE}
then = "delete"
"""
    )


def _drop(source: Path, folder: Path) -> set[str]:
    """Move all files at once to where a route takes them."""
    names = names_in(source)
    for name in sorted(names):
        (source / name).rename(folder / name)
    return names


def names_in(folder: Path) -> set[str]:
    """The names of all that lies in a folder."""
    return {path.name for path in folder.iterdir()}


def _until(done: Callable[[], bool]) -> None:
    start = time.monotonic()
    while not done():
        passed = time.monotonic() - start
        if passed > _PATIENCE:
            raise Failed(f"not done after {_PATIENCE:.0f} s")
        time.sleep(min(_LOOK, passed / _LOOKS))


def _clear(places: Places, mover: Mover) -> None:
    for folder in (*places.all, mover.arrived(places)):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _of_children() -> float:
    """Processor time of the processes that this one has started, and of all that those have left behind."""
    with contextlib.suppress(ChildProcessError):
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is not None:
            pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _adopt_orphans() -> None:
    """Be who waits for processes whose parents have ended: lftp leaves its ssh behind."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
