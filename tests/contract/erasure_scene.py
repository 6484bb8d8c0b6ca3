"""A link with files and a ledger, for the tests of erasure and for a process that is killed in one."""

import hashlib
import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.append(str(Path(__file__).parents[1]))  # where a child does not look by itself

import ledgers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from deaths import die_before

from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.event import seal
from sftpd.clock import SystemClock
from sftpd.erasure.contents import Folder, VaultFolder
from sftpd.erasure.desk import ErasureDesk
from sftpd.erasure.erasures import Digests, Erasures
from sftpd.erasure.readers import Readers
from sftpd.erasure.replay import Replay
from sftpd.files.data_keys import WrappingKey
from sftpd.files.path_locks import PathLocks
from sftpd.files.vault import Vault
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.periods import Period
from sftpd.process.pool import Children

RECEIVED = datetime(2026, 1, 31, 10, tzinfo=UTC)
KEY = SigningKey("test/demo", Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
FOLDERS = ("inbound", "sent", "staging", "screening")
KEPT = Period(years=5)
JAN = "jan@example.nl"


class Links:
    """One link, `demo`, whose holds are set by the test; it has a vault where the root has that folder."""

    def __init__(self, root: Path, ledger: Ledger):
        self.root = root
        self.ledger = ledger
        folder, keys = root / "vault", root / "keys" / "demo.keys"
        self.vault = Vault(folder, keys, WrappingKey(bytes(range(32))), "demo") if folder.is_dir() else None
        self.holds = {}
        self.indexed = None
        self.second_person = False
        self.locks = PathLocks()
        self.controller = True
        self.without_receipts = []
        self.known_layouts = ()

    def zone(self, link):
        return ZoneInfo("Europe/Amsterdam")

    def decides(self, link):
        return self.controller

    def folders(self, link):
        folders = [Folder(name, self.root / name) for name in FOLDERS]
        return folders if self.vault is None else [*folders, VaultFolder(link, self.vault, self.ledger)]

    def catch_up(self, link):
        pass  # nobody writes anything about its files meanwhile

    def acknowledged_by(self, link, since):
        return since + timedelta(days=30)

    def counterparty(self, link):
        return {"demo": "Demo Partner"}.get(link, link)

    def kept_until(self, link, since):
        return KEPT.due(since, self.zone(link))

    def needs_second_person(self, link):
        return self.second_person

    def layouts(self, link):
        return self.known_layouts

    def index(self, link):
        return self.indexed

    @contextmanager
    def receiptless(self, link, transfers):
        self.without_receipts += transfers
        yield

    def alone(self, link, folder, path):
        return self.locks.lock(self.root / folder, path)

    def hold(self, link, folder, path):
        return self.holds.get((folder, b"/".join(path)))


class Scene:
    def __init__(self, root: Path, children: Children, *, clock=None, current: bool = True, **readers):
        for name in FOLDERS:
            (root / name).mkdir(exist_ok=True)
        self.root = root
        self.ledger = Ledger.open(
            ledgers.url(root / "ledger.db"),
            clock=clock or SystemClock(),
            seal=partial(seal, source="sftpd://test"),
        )
        self.links = Links(root, self.ledger)
        self.readers = Readers(children, **readers)
        past = root / "erasures" / "ledger.jsonl"
        self.erasures = Erasures(self.ledger, past, "test", Digests(b"\3" * 32), SystemClock())
        if current:
            self.erasures.require_current()
        elif not (root / "erasures").exists():
            self.erasures.compare()
        self.desk = ErasureDesk(self.ledger, self.readers, self.erasures, self.links, KEY)

    def close(self):
        self.readers.close()
        self.erasures.close()
        self.ledger.close()
        if self.links.vault is not None:
            self.links.vault.close()

    def put(self, place: str, content: str | bytes) -> Path:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def approved(self, *identifiers: str, possible: bool = False) -> str:
        """A request for Jan that is searched for and approved; `possible` matches go too."""
        request = self.desk.open("demo", identifiers or [f"email={JAN}"], RECEIVED, "opener")
        found = [item.seq for item in self.desk.find(request) if item.is_undecided]
        if possible:
            self.desk.reviewer.decide(request, found, remove=True, by="operator", reason=None)
        self.desk.approve(request, "operator")
        return request

    def rows(self, table):
        with self.ledger.read() as conn:
            return [row._mapping for row in conn.execute(table.select())]

    def events(self):
        return b"\n".join(row["leaf"] for row in self.rows(tables.outbox))


def receive(scene: Scene, file: str, path: Path) -> None:
    """Enter a file as received under that id."""
    seen = path.stat()
    row = {
        "id": file, "link": "demo", "folder": path.parent.name, "path": path.name.encode(),
        "source": f"{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}", "size": seen.st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "received_at": RECEIVED,
        "state": "present", "changed_at": RECEIVED,
    }  # fmt: skip
    scene.ledger.write(lambda unit: unit.conn.execute(tables.kept_file.insert(), [row]))


@contextmanager
def scene(root: Path, **options):
    with Children.start(["sftpd.erasure.reader"]) as children:
        made = Scene(root, children, **options)
        try:
            yield made
        finally:
            made.close()


_CALLS = ("fsync", "fdatasync", "rename", "unlink", "fchmod")
"""All that touches the disk."""


def main(arguments):
    """Run a request, or a replay, and die at a step; print how many there were if it is -1."""
    folder, work, step = arguments
    with scene(Path(folder), current=False) as here:
        steps_taken = die_before(int(step), (os, _CALLS), (Ledger, ("write",)))
        if work == "replay":
            Replay(here.ledger, here.readers, here.erasures, here.links).run("operator")
        else:
            here.desk.run(work)
        print(steps_taken())


if __name__ == "__main__":
    main(sys.argv[1:])
