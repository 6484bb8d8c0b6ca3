"""What a process holds that a test must not leave behind: threads, child processes, descriptors."""

import gc
import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

_GRACE = 5.0
_PAUSE = 0.02


@dataclass(frozen=True)
class Holdings:
    """Threads by identity, descendant processes by pid, descriptors by number, each with a description."""

    threads: dict[int, str]
    processes: dict[int, str]
    descriptors: dict[int, str]


def holdings() -> Holdings:
    return Holdings(threads(), processes(), descriptors())


def threads() -> dict[int, str]:
    return {id(thread): thread.name for thread in threading.enumerate()}


def processes(ancestor: int | None = None) -> dict[int, str]:
    """All living descendants of a process, this one unless told; zombies count."""
    everything = _everything()
    found: dict[int, str] = {}
    newest = {ancestor or os.getpid()}
    while newest:
        newest = {pid for pid, (parent, _) in everything.items() if parent in newest}
        found |= {pid: everything[pid][1] for pid in newest}
    return found


def children(parent: int) -> list[int]:
    """The living children of a process, but not theirs; zombies count."""
    return [pid for pid, (its_parent, _) in _everything().items() if its_parent == parent]


def _everything() -> dict[int, tuple[int, str]]:
    """The parent of each process, and what it is."""
    everything: dict[int, tuple[int, str]] = {}
    for number in filter(str.isdecimal, os.listdir("/proc")):
        try:
            head, _, tail = Path("/proc", number, "stat").read_text().rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid, _, name = head.partition(" (")
        state, parent = tail.split()[:2]
        everything[int(pid)] = (int(parent), f"{name} ({state})")
    return everything


def descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the listing's own
    return found


def leaked(before: Holdings, after: Holdings) -> list[str]:
    """One line for each thing more than before; what only took another's place is no leak.

    Nor is a hook or reader that stays for the next event or file, as long as the daemon that was there before
    is.
    """
    lines = []
    kept = {pid for pid in after.processes if _is_kept(pid, before)}
    after = replace(after, processes={p: n for p, n in after.processes.items() if p not in kept})
    for what in ("threads", "processes", "descriptors"):
        old, new = getattr(before, what), getattr(after, what)
        if len(new) > len(old):
            lines += [f"{what}: {key} {new[key]}" for key in new if new[key] != old.get(key)]
    return lines


def _is_kept(pid: int, before: Holdings) -> bool:
    try:
        name, _, tail = Path(f"/proc/{pid}/stat").read_text().partition(" (")[2].rpartition(") ")
        return name in ("sftpd-hook", "sftpd-reader") and int(tail.split()[1]) in before.processes
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_release(before: Holdings) -> list[str]:
    """What is leaked after a grace period in which things may still end."""
    lines = leaked(before, holdings())
    if lines:
        gc.collect()
    deadline = time.monotonic() + _GRACE
    while lines and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        lines = leaked(before, holdings())
    return lines
