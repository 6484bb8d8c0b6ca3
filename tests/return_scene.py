"""A link whose deliveries have receipts: what their receiver writes at the remote, and who collects it."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exchange_scene import Scene, claim_one

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import SigningKey
from sftpd.exchange import receipt, return_records
from sftpd.exchange.receipt import Position, Receipt
from sftpd.exchange.return_collect import ReturnCollector
from sftpd.link.model import Backoff, Remote
from sftpd.link.return_receipts import ReturnReceipts

THEIRS = SigningKey.generate("sftp.partner.example")
WITHIN = timedelta(hours=1)
TRANSFER = "06h1j46767er5pn13fddevmey"


class Clock:
    """Civil time that stands still until it is told to go on."""

    def __init__(self, moment: datetime | None = None) -> None:
        self.moment = moment or datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def pass_by(self, time: timedelta) -> None:
        self.moment += time


class ReturnScene(Scene):
    """What it delivers goes to `/upload` at the remote; another one in the same folder is a restart."""

    def __init__(self, folder: Path, *, clock=None, **options) -> None:
        clock = clock or Clock()
        super().__init__(folder, clock=clock, directory="/upload", awaits_receipt=True, **options)
        self.there = folder / "remote/receipts"
        self.kept = self.folders.return_receipts
        self.alone = threading.Lock()
        return_records.enrol(self.ledger, [("demo", "peer")])
        self.returns = self.returning()

    def returning(self, *, directory: str = "/upload", **options) -> ReturnCollector:
        wanted = {"folder": "/receipts", "signers": (THEIRS.verifier,), "within": WITHIN} | options
        remote = Remote(
            "peer", "demo", "127.0.0.1", 22, "ourname", (), 1.0, Backoff(WITHIN, WITHIN),
            receipts=ReturnReceipts(schedule=timedelta(minutes=1), **wanted),
        )  # fmt: skip
        return ReturnCollector(
            remote,
            {"remote": directory},
            self.places,
            remotes=self.remotes,
            ledger=self.ledger,
            clock=self.clock,
            alone=self.alone,
        )

    def deliver(self, name: str, content: bytes = b"a;b\n") -> str:
        """Have a file delivered; returns its transfer."""
        self.clock.pass_by(timedelta(milliseconds=1))  # by which ids tell what came first
        transfer = claim_one(self.senders["remote"], self.drop(name, content)).id
        self.senders["remote"].advance(transfer)
        self.flush()
        return transfer

    def receipt_of(self, transfer: str, index: int, /, **changes) -> Path:
        """Write at the remote the receipt of a delivery."""
        sent = next(one for one in self.transfers() if one.id == transfer)
        name = "/".join(part.decode() for part in sent.final)
        said = {"name": name, "size": sent.size, "sha256": sent.sha256} | changes
        return self.put(claim(index, received=self.clock.now(), **said))

    def put(self, said: Receipt, *, key: SigningKey = THEIRS, day: str | None = None) -> Path:
        kind = "received" if said.verdict == "accept" else "blocked"
        folder = self.there / (day or said.received[:10]) / str(said.audit.index // 1000)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{Path(said.name).name}.{said.transfer}.{said.audit.index}.{kind}.json"
        content = receipt.content(said)
        path.with_name(f"{path.name}.sig").write_bytes(sshsig.sign(content, key, receipt.NAMESPACE))
        path.write_bytes(content)
        return path

    def collect(self) -> None:
        while self.returns.collect():
            pass

    def told(self) -> list[tuple[str, dict]]:
        """What events tell of receipts: kind, and what stands there openly."""
        self.flush()
        found = [leaf for leaf in self.leaves() if leaf["type"].startswith("receipt.")]
        return [
            (leaf["type"], {key: v for key, v in leaf["data"].items() if key != "commitments"})
            for leaf in found
        ]

    def outcomes(self) -> list[str]:
        """The same in short: `matched accept`, `refused unknown`, `missed`."""
        said = ((kind.partition(".")[2], data) for kind, data in self.told())
        return [
            " ".join([kind, *(data[key] for key in ("verdict", "reason") if key in data)])
            for kind, data in said
        ]

    def standing(self, transfer: str) -> dict:
        with self.ledger.read() as conn:
            return return_records.of(conn, transfer)


def claim(index: int, *, received: datetime, transfer: str | None = None, **changes) -> Receipt:
    """What the receiver of a file says of it."""
    said = {
        "format": receipt.FORMAT,
        "instance": THEIRS.name,
        "link": "theirs",
        "transfer": transfer or f"{TRANSFER}{index}",
        "direction": "inbound",
        "route": "upload",
        "peer": "ourname",
        "received": received.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "verdict": "accept",
        "audit": Position(f"{THEIRS.name}/theirs", index, "ab" * 32),
    }
    return Receipt(**said | changes)
