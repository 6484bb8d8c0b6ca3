"""A link with received files on disk and in a ledger, for the tests of retention and for a child to sweep."""

import os
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.append(str(Path(__file__).parents[1]))  # where a child does not look by itself

import ledgers
from deaths import die_before

from sftpd.audit.event import seal
from sftpd.clock import SystemClock, Uptime
from sftpd.files.beneath import Root
from sftpd.files.path_locks import PathLocks
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.names import new_id
from sftpd.periods import Period
from sftpd.retention.desk import RetentionDesk
from sftpd.retention.guard import Confirmation
from sftpd.retention.guards import Bounds
from sftpd.retention.roots import Roots
from sftpd.retention.rule import Rule, Term
from sftpd.retention.schedule import Item, is_step
from sftpd.retention.timekeeper import Timekeeper

RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)
OLD = RECEIVED + timedelta(days=1000)
MANY = Bounds(unremarkable=1000)
"""What lets the tests that are not about volumes pass."""
ZONE = ZoneInfo("Europe/Amsterdam")
RULES = [
    Rule("short", 1, "demo", "inbound", "*", Term(Period.parse("PT5S")), "dispose", "agreement", ZONE),
    Rule("other", 1, "other", None, "*", Term(Period.parse("PT5S")), "dispose", "agreement", ZONE),
    Rule("long", 2, "demo", "inbound", "*.keep", Term(Period.parse("P7Y")), "dispose", "agreement", ZONE),
    Rule("back", 1, "demo", "inbound", "*.back", Term(Period.parse("PT5S")), "return", "agreement", ZONE),
    Rule("failed", 1, "demo", "failed", "*.csv", Term(Period.parse("PT5S")), "dispose", "agreement", ZONE),
    Rule(
        "parts", 1, "demo", "staging", "*", Term(Period.parse("PT5S")), "dispose", "agreement", ZONE, "alice"
    ),
]

_LIES = {("other", "staging"): "staging of the other link"}
"""Folders that are not called as the ledger calls them; else the links share theirs."""


class At(SystemClock):
    """Clocks that stand still until time passes, or until the one for the civil time is set anew."""

    def __init__(self, now=OLD, boot="first"):
        self.time = now
        self.set_by = timedelta()
        self.boot = boot

    def now(self):
        return self.time + self.set_by

    def uptime(self):
        return Uptime(self.boot, self.time - RECEIVED)


class Later(SystemClock):
    """The machine's clocks, and `ahead` of them by as much as was let pass."""

    def __init__(self):
        self.ahead = timedelta()

    def now(self):
        return super().now() + self.ahead

    def uptime(self):
        boot, lasted = super().uptime()
        return Uptime(boot, lasted + self.ahead)


class Scene:
    def __init__(self, folder: Path, clock: At | None = None, bounds: Bounds = MANY):
        self.folder = folder
        self.inbound = folder / "inbound"
        self.inbound.mkdir(exist_ok=True)
        self.clock = clock or At()
        self.ledger = Ledger.open(
            ledgers.url(folder / "ledger.db"), clock=self.clock, seal=partial(seal, source="sftpd://test")
        )
        self.roots = Roots(
            self.ledger, lambda link, name: folder / _LIES.get((link, name), name), PathLocks()
        )
        self.bounds = bounds
        self.under()

    def under(self, *rules: Rule) -> None:
        """Have files under `rules` too, as after a reload or a restart."""
        keeper = Timekeeper(self.ledger, self.clock)
        known = [*RULES, *rules]
        self.desk = RetentionDesk(self.ledger, known, self.roots, keeper, self.clock, self.bounds)

    def receive(self, *names: bytes, link: str = "demo", folder: str = "inbound") -> None:
        rows = []
        for name in names:
            path = self.folder / folder / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name)
            status = path.stat()
            rows.append(
                {
                    "id": new_id(RECEIVED),
                    "link": link,
                    "folder": folder,
                    "path": name,
                    "source": f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}",
                    "size": status.st_size,
                    "sha256": "00" * 32,
                    "received_at": RECEIVED,
                    "state": "present",
                    "changed_at": RECEIVED,
                }
            )
        self.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), rows))

    def sent_by(self, peer: str, *files: str, **values: object) -> None:
        """Enter the transfers of files, or of those that are still to come."""
        usual = {
            "link": "demo", "direction": "inbound", "route": "upload", "path": b"x", "source": "1:2:3",
            "size": 1, "sha256": "00" * 32, "state": "received", "began_at": RECEIVED, "changed_at": RECEIVED,
        }  # fmt: skip
        rows = [{**usual, "id": file, "peer": peer, **values} for file in files]
        self.ledger.write(lambda unit: unit.conn.execute(tables.transfer.insert(), rows))

    def steps(self) -> list[Item]:
        """What a run would do something about."""
        return [item for item in self.desk.items() if is_step(item.decision.action, item.file.folder)]

    def roots_of(self, folder: str) -> Root:
        return Root.at(self.roots.folder(("demo", folder)))

    def run(self) -> dict[str, str]:
        """Plan and run; returns path → result."""
        results = self.desk.run(self.desk.plan().hash)
        paths = {row.file: row.path.decode() for row in self.desk.report()}
        return {paths[file]: result.value for file, result in results.items()}

    def again(self, clock: At) -> "Scene":
        """What a start finds after this one ended."""
        self.ledger.close()
        return Scene(self.folder, clock)

    def left(self) -> set[bytes]:
        root = os.fsencode(self.inbound)
        return {
            os.path.relpath(os.path.join(directory, name), root)
            for directory, _, names in os.walk(root)
            for name in names
        }


def an_event() -> Event:
    return Event("daemon.started")


def main(arguments):
    """Run all that is planned; with a third argument die at that step."""
    folder, unremarkable, *step = arguments
    scene = Scene(Path(folder), bounds=Bounds(unremarkable=int(unremarkable)))
    planned = scene.desk.plan()
    if step:
        die_before(int(step[0]), (Root, ("unlink", "rename", "sync")), (Ledger, ("write",)))
    scene.desk.run(planned.hash, Confirmation(sum(planned.by_link("dispose").values()), "jan"))
    scene.ledger.close()


if __name__ == "__main__":
    main(sys.argv[1:])
