"""The receipts of one link: its exchange, its audit log, and a partner who has nothing but ssh-keygen."""

import functools
import json
import subprocess
import threading
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from exchange_scene import Scene
from folders import quick_folder

from sftpd.audit.checkpoint import SigningKey
from sftpd.audit.published import PublishedLog
from sftpd.exchange.receipts import Receipts, enrol
from sftpd.service.sequencer import Sequencer

KEY = SigningKey("office", Ed25519PrivateKey.from_private_bytes(bytes(32)))


class ReceiptScene(Scene):
    """A link with receipts; another one in the same folder is a restart."""

    def __init__(self, folder: Path, *, key: SigningKey = KEY, **options):
        super().__init__(folder, **options)
        self.sequencer = Sequencer(folder / "audit", instance="office", key=KEY, ledger=self.ledger)
        self.sequencer.open(["demo", "system"])
        self.log = PublishedLog(folder / "audit/demo/public")
        self.receipting = threading.Lock()
        self.receipts = Receipts(
            "demo", self.places, self.log, key=key, ledger=self.ledger, alone=self.receipting
        )
        self.enrol()

    def enrol(self) -> None:
        enrol(self.ledger, {"demo": self.receipts.leaves()})

    def close(self) -> None:
        self.sequencer.close()
        super().close()

    def write(self) -> None:
        """Take every event into the log, and write all receipts that are due."""
        self.flush()
        self.sequencer.drain()
        while self.receipts.advance():
            pass

    def found(self) -> dict[str, dict]:
        """The receipts by kind and name of the file, each verified."""
        found = {}
        for path in receipts_in(self.folders.receipts):
            assert verifies(path, self.folders.receipts / "allowed_signers", "office"), path
            told = json.loads(path.read_bytes())
            kind = path.name.split(".")[-2]
            assert (kind, told["name"]) not in found, "two receipts of one event"
            found[kind, told["name"]] = told
        return found


def receipts_in(folder: Path) -> list[Path]:
    """Every receipt; each must have its signature, and there must be nothing else but the signers."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    receipts = [path for path in paths if path.suffix == ".json"]
    signatures = [path.with_name(f"{path.name}.sig") for path in receipts]
    assert sorted([*receipts, *signatures, folder / "allowed_signers"]) == paths
    return receipts


def verifies(path: Path, signers: Path, identity: str, namespace: str = "receipt@sftpd") -> bool:
    """What `ssh-keygen` says of a receipt and the signature beside it."""
    signed = (path.read_bytes(), Path(f"{path}.sig").read_bytes(), signers.read_bytes())
    return _verifies(*signed, identity, namespace)


@functools.cache
def _verifies(content: bytes, signature: bytes, signers: bytes, identity: str, namespace: str) -> bool:
    """It is asked once of the same bytes: many tests look at the same receipts again and again."""
    with quick_folder() as folder:
        (folder / "signature").write_bytes(signature)
        (folder / "signers").write_bytes(signers)
        command = ["ssh-keygen", "-Y", "verify", "-f", folder / "signers", "-I", identity, "-n", namespace]
        command += ["-s", folder / "signature"]
        return subprocess.run(command, input=content, capture_output=True).returncode == 0
