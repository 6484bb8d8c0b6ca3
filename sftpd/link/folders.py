"""The folders of a link."""

from dataclasses import dataclass
from pathlib import Path

NAMES = (
    "inbound", "quarantine", "failed", "sent", "staging", "screening", "download", "requests",
    "receipts", "drafts", "return_receipts", "held", "vault",
)  # fmt: skip
"""The folders that hold files of a link, as the ledger and reports call them."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the files of one link lie; all on one file system, so that a rename publishes."""

    root: Path

    @property
    def inbound(self) -> Path:
        """Received files, for the local consumer."""
        return self.root / "inbound"

    @property
    def quarantine(self) -> Path:
        """Files that a gate held back."""
        return self.root / "quarantine"

    @property
    def failed(self) -> Path:
        """Outbound files that could not be delivered, each with its reason."""
        return self.root / "failed"

    @property
    def sent(self) -> Path:
        """Outbound files that were delivered."""
        return self.root / "sent"

    @property
    def own(self) -> Path:
        """Folders of sftpd itself."""
        return self.root / ".sftpd"

    @property
    def staging(self) -> Path:
        """Uploads under way, a folder an account."""
        return self.own / "staging"

    @property
    def screening(self) -> Path:
        """Whole files that are not published yet, named by their transfer."""
        return self.own / "screening"

    @property
    def download(self) -> Path:
        """What the partner sees as `/download`."""
        return self.own / "download"

    @property
    def requests(self) -> Path:
        """What the partner has put into `/requests`."""
        return self.own / "requests"

    @property
    def receipts(self) -> Path:
        """What the partner sees as `/receipts`."""
        return self.own / "receipts"

    @property
    def drafts(self) -> Path:
        """Receipts that are being written."""
        return self.own / "drafts"

    @property
    def return_receipts(self) -> Path:
        """The receipts that remotes' owners made of what we delivered."""
        return self.own / "return_receipts"

    @property
    def held(self) -> Path:
        """Held files that the partner removed or replaced, until no hold covers them."""
        return self.own / "held"

    @property
    def vault(self) -> Path:
        """Sealed copies of files that crossed the link, where it has a vault."""
        return self.own / "vault"

    def by_name(self) -> dict[str, Path]:
        """Each folder that holds files of the link, by the name that the ledger and reports use."""
        return {name: getattr(self, name) for name in NAMES}
