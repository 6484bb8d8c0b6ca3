"""`python -m bench.retention`: how fast a run disposes of files, beside a bare loop that removes as many.

The loop knows nothing and records nothing. It comes in two forms: one syncs the folder after each file, so
that each is durably gone before the next; the other after as many as a run removes together. A run plans,
records what it intends, looks whether a file is the one that is meant, in use or held, removes it, syncs,
looks whether it is gone, and records that. Its events then go into the audit log, which is timed by itself.
"""

import argparse
import gc
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from bench.clients import Failed
from bench.folder import made
from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.event import seal
from sftpd.clock import SystemClock
from sftpd.files.beneath import Root
from sftpd.files.fingerprint import snapshot
from sftpd.files.path_locks import PathLocks
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.statement import inserting
from sftpd.names import new_id
from sftpd.periods import Period
from sftpd.retention.desk import RetentionDesk
from sftpd.retention.guards import Bounds
from sftpd.retention.roots import Roots
from sftpd.retention.rule import Rule, Term
from sftpd.retention.sweep import BATCH
from sftpd.retention.timekeeper import Timekeeper
from sftpd.service.sequencer import Sequencer

_YEAR = Period.parse("P1Y")
_RULE = Rule(
    "year", 1, "demo", "inbound", "*", Term(_YEAR), "dispose", "agreement", ZoneInfo("Europe/Amsterdam")
)
_AGE = timedelta(days=400)
_CONTENT = b"x" * 1024
_ADD = inserting(tables.kept_file)
_AT_ONCE = 10_000


@dataclass
class Cost:
    """What a task took in each round, a file: seconds, and seconds of the processor."""

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def time(self, files: int, task: Callable[[], object]) -> None:
        """Do the task, and keep what it took for each of so many files."""
        before, start = _processor(), time.perf_counter()
        task()
        self.seconds.append((time.perf_counter() - start) / files)
        self.processor.append((_processor() - before) / files)


class Instance:
    """A link whose received files are all due, its ledger and its audit log."""

    def __init__(self, folder: Path) -> None:
        self.inbound = folder / "inbound"
        self.inbound.mkdir(parents=True)
        clock = SystemClock()
        url = f"sqlite:///{folder}/ledger.db"
        self.ledger = Ledger.open(url, clock=clock, seal=partial(seal, source="sftpd://bench"))
        roots = Roots(self.ledger, lambda _link, name: folder / name, PathLocks())
        keeper = Timekeeper(self.ledger, clock)
        bounds = Bounds(unremarkable=10**9)
        self.desk = RetentionDesk(self.ledger, [_RULE], roots, keeper, clock, bounds)
        key = SigningKey.generate("bench")
        self.sequencer = Sequencer(folder / "audit", instance="bench", key=key, ledger=self.ledger)
        self.sequencer.open(["demo", "system"])
        self._received = clock.now() - _AGE

    def receive(self, files: int) -> None:
        """Have files lie in the folder, and in the ledger."""
        make(self.inbound, files)
        names = [b"order-%07d.csv" % number for number in range(files)]
        with Root.at(self.inbound) as root:
            for first in range(0, files, _AT_ONCE):
                rows = [self._row(root, name) for name in names[first : first + _AT_ONCE]]
                self.ledger.write(lambda unit, rows=rows: _ADD.run(unit.conn, *rows))  # type: ignore[misc]

    def run(self) -> None:
        """Dispose of all that is due, as a schedule has it done. Raises Failed unless all is gone."""
        self.desk.run_due()
        left = sum(1 for _ in self.inbound.iterdir())
        if left:
            raise Failed(f"{left} files are still there")

    def close(self) -> None:
        """Close the logs and the ledger."""
        self.sequencer.close()
        self.ledger.close()

    def _row(self, root: Root, name: bytes) -> dict[str, object]:
        seen = snapshot(root.stat((name,)))
        return {
            "id": new_id(self._received),
            "transfer": None,
            "link": "demo",
            "folder": "inbound",
            "path": name,
            "source": str(seen),
            "size": seen.size,
            "sha256": "00" * 32,
            "received_at": self._received,
            "accessed_at": None,
            "state": "present",
            "renamed_to": None,
            "changed_at": self._received,
        }


def main() -> None:
    """Measure and print a table."""
    arguments = _arguments()
    costs = {name: Cost() for name in ("each", "batch", "run", "log")}
    few = min(arguments.files, arguments.each)
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="sftpd-bench-") as name:
        folder = Path(name)
        for number in range(arguments.rounds):
            with _filled(folder / f"each-{number}", few) as bare:
                costs["each"].time(few, partial(remove, bare, few, 1))
            with _filled(folder / f"batch-{number}", arguments.files) as bare:
                costs["batch"].time(arguments.files, partial(remove, bare, arguments.files, BATCH))
            instance = Instance(folder / f"run-{number}")
            instance.receive(arguments.files)
            os.sync()
            gc.freeze()  # as the daemon does when it begins to serve
            costs["run"].time(arguments.files, instance.run)
            costs["log"].time(arguments.files, instance.sequencer.drain)
            instance.close()
            print({name: cost.seconds[-1] * 1e6 for name, cost in costs.items()}, file=sys.stderr)
    print("\n".join(table(costs, arguments.files)))


def table(costs: dict[str, Cost], files: int) -> list[str]:
    """What each took, and how fast a run is beside each bare loop: the median of the rounds."""
    lines = [
        f"| {files} files | µs a file | CPU µs a file | a run is, by the clock | by the processor |",
        f"|{' --- |' * 5}",
    ]
    names = {
        "each": "bare loop, a sync a file",
        "batch": f"bare loop, a sync for {BATCH}",
        "run": "run",
        "log": "its events into the audit log",
    }
    for key, title in names.items():
        ratios = ["", ""]
        if key in ("each", "batch"):
            ratios = [
                _ratio(costs[key].seconds, costs["run"].seconds),
                _ratio(costs[key].processor, costs["run"].processor),
            ]
        cells = (title, _micro(costs[key].seconds), _micro(costs[key].processor), *ratios)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def make(folder: Path, files: int) -> None:
    """Make files of a kilobyte in a folder."""
    for number in range(files):
        (folder / f"order-{number:07}.csv").write_bytes(_CONTENT)


def remove(folder: int, files: int, together: int) -> None:
    """The bare loop: remove the files of an open folder, and sync it after so many."""
    for number in range(files):
        os.unlink(f"order-{number:07}.csv", dir_fd=folder)
        if (number + 1) % together == 0:
            os.fsync(folder)
    os.fsync(folder)


@contextmanager
def _filled(path: Path, files: int) -> Iterator[int]:
    """A folder with files that are on the disk; its descriptor."""
    path.mkdir()
    make(path, files)
    os.sync()
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _ratio(bare: Sequence[float], run: Sequence[float]) -> str:
    return f"{statistics.median(b / r for b, r in zip(bare, run, strict=True)):.2f}"


def _micro(values: Sequence[float]) -> str:
    return f"{statistics.median(values) * 1e6:.0f}"


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.retention", description="how fast a run disposes")
    parser.add_argument("--files", type=int, default=10_000, help="files that a run disposes of")
    parser.add_argument("--each", type=int, default=10_000, help="at most so many where each is synced")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=made, help="where the files lie, on the disk that is to be measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
