"""What a process holds that a test must not leave behind: threads, child processes, descriptors."""

import gc
import os
import threading
import time
from contextlib import suppress
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
    found: dict[int, str] = {}
    below = children(ancestor or os.getpid())
    while below:
        pid = below.pop()
        with suppress(FileNotFoundError, ProcessLookupError):
            head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
            found[pid] = f"{head.partition(' (')[2]} ({tail[0]})"
            below += children(pid)
    return found


def children(parent: int) -> list[int]:
    """The living children of a process, but not theirs; zombies count."""
    tasks = Path(f"/proc/{parent}/task")
    while tasks.exists():
        # A thread that ends leaves its children to another, whose list may have been read before.
        with suppress(FileNotFoundError, ProcessLookupError):
            return [
                int(pid)
                for task in os.listdir(tasks)
                for pid in (tasks / task / "children").read_text().split()
            ]
    return []


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
