"""What a daemon uses: memory, descriptors, threads and processes of its whole tree, by role, as they grow."""

import contextlib
import os
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path

import leaks

MIB = 1 << 20


@dataclass(frozen=True)
class Use:
    """Of one process, or of many together; memory in bytes."""

    processes: int
    descriptors: int
    """But for those to the ledger, of which a few more are kept once many look something up at once."""
    threads: int
    pss: int
    """Memory, what is shared counted once (proportional set size)."""
    private: int
    """Memory that it has written to and shares with nobody."""

    def __add__(self, other: "Use") -> "Use":
        return Use(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


NOTHING = Use(0, 0, 0, 0, 0)
Sample = Mapping[str, Use]


def sample(monitor: int) -> dict[str, Use]:
    """What each role uses now: the monitor, the zygote, and the children by their kind."""
    found: defaultdict[str, Use] = defaultdict(lambda: NOTHING)
    for pid, name in {monitor: "monitor ", **leaks.processes(monitor)}.items():
        # One that ends meanwhile uses nothing.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            use = _use(pid)
            found[_role(name)] += use
    return dict(found)


def total(sampled: Sample) -> Use:
    """All roles together."""
    return sum(sampled.values(), NOTHING)


def growth(values: Sequence[float]) -> float:
    """By how much a series has grown, whatever single values say: negative where it has become less.

    The least of what two estimates say that outliers do not move: the medians of its first and last quarter,
    and the median of all slopes (Theil and Sen).
    """
    quarter = max(1, len(values) // 4)
    medians = statistics.median(values[-quarter:]) - statistics.median(values[:quarter])
    slopes = [(right - left) / (j - i) for (i, left), (j, right) in combinations(enumerate(values), 2)]
    return min(medians, statistics.median(slopes or [0.0]) * (len(values) - 1))


TITLE = f"{'s':>6} {'while':<8} role: processes, descriptors, threads, PSS and private memory in MiB"


def line(at: float, going_on: str, sampled: Sample) -> str:
    """A sample as a line below TITLE: seconds, what was going on, and for each role what it used."""
    roles = [*sorted(sampled.items()), ("all", total(sampled))]
    return f"{at:6.0f} {going_on:<8} " + "; ".join(_told(role, use) for role, use in roles)


def _told(role: str, use: Use) -> str:
    memory = f"{use.pss / MIB:.1f} {use.private / MIB:.1f}"
    return f"{role}: {use.processes} {use.descriptors} {use.threads} {memory}"


def _role(name: str) -> str:
    """Its role by how the kernel names it: the zygote alone has no name of ours."""
    own = name.partition(" (")[0].strip()
    return own.removeprefix("sftpd-") if own.startswith(("sftpd-", "monitor")) else "zygote"


def _use(pid: int) -> Use:
    process = Path(f"/proc/{pid}")
    memory = (process / "smaps_rollup").read_text()
    if not memory:
        raise ProcessLookupError(pid)
    size = {name: int(kib) << 10 for name, kib in re.findall(r"^(\w+): +(\d+) kB", memory, re.MULTILINE)}
    threads = len(os.listdir(process / "task"))
    descriptors = sum("/ledger.db" not in target for target in _targets(process / "fd"))
    return Use(1, descriptors, threads, size["Pss"], size["Private_Dirty"])


def _targets(folder: Path) -> Iterator[str]:
    for number in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(folder / number)
