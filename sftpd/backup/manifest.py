"""What stands in a backup: a line for each entry, in the order of the archive, and their signed summary.

`manifest.jsonl` has a line of canonical JSON (RFC 8785) for each folder and file before it. `backup.json`,
the summary, has the SHA-256 of these lines; `backup.json.sig` is its SSH signature by the audit key, which
`ssh-keygen -Y verify -n backup@sftpd` verifies too. A name is percent-encoded where it is not plain.
"""

import hashlib
from typing import Literal, cast
from urllib.parse import quote_from_bytes

import msgspec

from sftpd.audit import sshsig
from sftpd.audit.canonical import JSON, canonical
from sftpd.audit.checkpoint import SigningKey, VerifierKey
from sftpd.errors import AuditError, SftpdError

FORMAT: Literal["sftpd backup v1"] = "sftpd backup v1"
NAMESPACE = "backup@sftpd"

MANIFEST = b"manifest.jsonl"
SUMMARY = b"backup.json"
SIGNATURE = b"backup.json.sig"
"""The names of the last three members."""

INODE = "SFTPD.inode"
"""The pax record of a file's inode."""

_PLAIN = "/ !#$&'()*+,:;=@[]"


class BackupError(SftpdError):
    """A backup cannot be made or is not what was made."""

    code = "BACKUP"


class Entry(msgspec.Struct, frozen=True):
    """A folder, or a file with what it was: its inode and time (nanoseconds) are its mark in the ledger."""

    name: bytes
    mode: int
    inode: int = 0
    mtime_ns: int = 0
    size: int = 0
    sha256: str | None = None
    """None: it is a folder."""

    @property
    def line(self) -> bytes:
        """Its line in the manifest."""
        told: dict[str, JSON] = {"name": quote_from_bytes(self.name, _PLAIN), "mode": self.mode}
        if self.sha256 is not None:
            told |= {"inode": str(self.inode), "mtime_ns": str(self.mtime_ns), "size": self.size}
            told["sha256"] = self.sha256
        return canonical(told) + b"\n"


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup is of, and what its manifest must be; times are RFC 3339.

    `epoch` is how far the erasure ledger reached, `changed` how many files were written to meanwhile.
    """

    instance: str
    made: str
    version: str
    schema: str
    epoch: int
    keys: bool
    files: int
    bytes: int
    changed: int
    manifest: str
    format: Literal["sftpd backup v1"] = FORMAT


class Tally:
    """Counts entries and hashes their lines as they come by."""

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self._digest = hashlib.sha256()

    def add(self, entry: Entry) -> bytes:
        """Take an entry, and return its line."""
        line = entry.line
        self._digest.update(line)
        if entry.sha256 is not None:
            self.files += 1
            self.bytes += entry.size
        return line

    @property
    def manifest(self) -> str:
        """SHA-256 of all lines, in hexadecimal."""
        return self._digest.hexdigest()

    def require(self, summary: Summary) -> None:
        """Pass where the entries are those that `summary` tells of. Raises BackupError."""
        if self.manifest != summary.manifest:
            raise BackupError(
                "its files are not those of its manifest",
                expected=f"{summary.files} files with {summary.bytes} bytes as they were",
                remedy="it is damaged or was changed: use another backup",
            )


def seal(summary: Summary, key: SigningKey) -> tuple[bytes, bytes]:
    """The summary as a file, and its signature."""
    raw = canonical(cast("JSON", msgspec.to_builtins(summary))) + b"\n"
    return raw, sshsig.sign(raw, key, NAMESPACE)


def unseal(raw: bytes, signature: bytes, key: VerifierKey | None) -> Summary:
    """Read a summary; with `key` it must be signed by it.

    Raises BackupError for another form, AuditError where the signature does not hold.
    """
    try:
        summary = msgspec.json.decode(raw, type=Summary)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BackupError("its summary cannot be read", where=SUMMARY.decode()) from fault
    if key is not None:
        try:
            sshsig.verify(signature, raw, key, NAMESPACE, where=SIGNATURE.decode())
        except AuditError as fault:
            raise BackupError(f"its signature: {fault}", expected=f"one by {key}") from fault
    return summary
