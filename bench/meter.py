"""What a server costs: processor time and memory of all of its processes, reaped ones included."""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_TRIES = 100


class Meter:
    """The accounts of one running server; a control group keeps them where one can be made."""

    def __init__(self, pid: int, group: Path | None) -> None:
        self.pid = pid
        self._group = group

    @property
    def source(self) -> str:
        """Where the processor time comes from."""
        return "cgroup" if self._group else "proc"

    def processor_seconds(self) -> float:
        """User and system time so far, of processes that have ended too."""
        if self._group:
            usage = re.search(r"^usage_usec (\d+)$", (self._group / "cpu.stat").read_text(), re.MULTILINE)
            assert usage
            return int(usage[1]) / 1e6
        return sum(map(_seconds, tree(self.pid)))

    def processes(self) -> list[int]:
        """The processes that live now."""
        if self._group:
            return [int(line) for line in (self._group / "cgroup.procs").read_text().split()]
        return tree(self.pid)

    def pss(self) -> int:
        """Memory in bytes, what is shared counted once (proportional set size)."""
        return sum(map(_pss, self.processes()))


@contextlib.contextmanager
def metered(pid: int, name: str) -> Iterator[Meter]:
    """Account for the process and all that it starts, while it is idle yet."""
    group = _make_group(f"sftpd-bench-{os.getpid()}-{name}", pid)
    try:
        yield Meter(pid, group)
    finally:
        if group:
            _remove_group(group)


def tree(pid: int) -> list[int]:
    """A process, if it lives, and its living descendants; threads and children may end meanwhile."""
    if not Path(f"/proc/{pid}").exists():
        return []
    return [pid, *(below for child in _children(pid) for below in tree(child))]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text().split())
    return found


def _make_group(name: str, pid: int) -> Path | None:
    """A cgroup v2 of ours that holds the server, or None where we may not make one."""
    mounts = Path("/proc/self/mountinfo").read_text()
    mount = re.search(r"^\S+ \S+ \S+ \S+ (\S+) .* - cgroup2 ", mounts, re.MULTILINE)
    own = re.search(r"^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    if not mount or not own:
        return None
    group = Path(mount[1]) / own[1] / name
    try:
        group.mkdir()
    except OSError:
        return None
    try:
        while missing := set(tree(pid)) - set(map(int, (group / "cgroup.procs").read_text().split())):
            for process in missing:
                with contextlib.suppress(ProcessLookupError):
                    (group / "cgroup.procs").write_text(str(process))
    except OSError:
        _remove_group(group)
        return None
    if str(pid) not in (group / "cgroup.procs").read_text().split():
        raise RuntimeError(f"server {pid} is not in {group}, so its processor time would not be seen")
    return group


def _remove_group(group: Path) -> None:
    """The kernel lets go of a group a moment after its last process; a living one goes to the parent."""
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        for process in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (group.parent / "cgroup.procs").write_text(process)
        time.sleep(0.02)


def _seconds(pid: int) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    return 0.0


def _pss(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0
