"""What is to be watched, and how."""

from dataclasses import dataclass, field
from pathlib import Path

from sftpd.watch.selection import Selection
from sftpd.watch.settling import Policy
from sftpd.watch.tree import Order


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between full scans: `rescan` where the kernel reports changes, `poll` where it does not."""

    rescan: float = 60.0
    poll: float = 2.0


@dataclass(frozen=True, slots=True)
class WatchedFolder:
    """A folder to watch: `name` is that of its route, `root` an absolute path.

    `waits_for_writers`: a file that a process has open for writing is not handed over. `polled`: the kernel's
    reports are not asked for.
    """

    name: str
    root: Path
    selection: Selection = field(default_factory=Selection)
    policy: Policy = field(default_factory=Policy)
    pace: Pace = field(default_factory=Pace)
    order: Order = Order.NAME
    waits_for_writers: bool = True
    polled: bool = False
