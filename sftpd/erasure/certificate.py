"""The certificate of a deletion: what was searched and removed, what remains, signed with the audit key.

A document is canonical JSON (RFC 8785), `{"certificate": …, "signature": {"key": …, "value": …}}`. The
Ed25519 signature is over CONTEXT followed by the canonical certificate; `key` is the verifier key in the form
of signed notes. It names no person and no file: identifiers and files stand as keyed digests.
"""

import base64
from typing import cast

import msgspec

from sftpd.audit.canonical import JSON, canonical
from sftpd.audit.checkpoint import SigningKey, VerifierKey, decode_base64
from sftpd.errors import AuditError

CONTEXT = b"sftpd erasure certificate v1\n"
"""Keeps the signature from being one over anything else that the audit key signs."""

LIMITS = (
    "Content is unlinked, not overwritten; when its blocks are reused is up to the file system and device.",
    "Snapshots, backups and copies that others took are outside this search.",
    "What is listed as unsearchable was not looked into.",
)
_SIGNATURE_SIZE = 64


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the certificate's parts."""


class IdentifierDigest(Form, frozen=True):
    """What was searched for: its type, and its HMAC-SHA256 under a key that the controller keeps."""

    type: str
    digest: str


class FolderCount(Form, frozen=True):
    """How many files of a folder were searched."""

    folder: str
    files: int


class FileEntry(Form, frozen=True):
    """A file, by the id it was received under or a keyed digest of its path, and what became of it."""

    file: str
    folder: str
    action: str
    format: str | None
    records: int
    reason: str | None


class SecondSearch(Form, frozen=True):
    """The search after the removal: when, over how many files, how many files still carry the person."""

    at: str
    searched: tuple[FolderCount, ...]
    remaining: int
    held: int


class Physical(Form, frozen=True):
    """What became of the bytes that went from a folder: see erasure.medium."""

    folder: str
    way: str
    file_system: str | None


class Completion(Form, frozen=True):
    """When no content was within reach any more, and how its bytes were let go of."""

    logical: str
    physical: tuple[Physical, ...]


class Recipient(Form, frozen=True):
    """Who got files that the person was in, and the notice by which they are told (GDPR 19)."""

    recipient: str
    notice: str
    files: int
    until: str
    """When the notice, which has the identifiers, is removed here at the latest."""


class Certificate(Form, frozen=True):
    """What is certified; times are RFC 3339. What certificates did not have at first may be unset."""

    request: str
    link: str
    received: str
    due: str
    issued: str
    identifiers: tuple[IdentifierDigest, ...]
    searched: tuple[FolderCount, ...]
    removed: tuple[FileEntry, ...]
    held: tuple[FileEntry, ...]
    unsearchable: tuple[FileEntry, ...]
    remains_until: str | None
    second_search: SecondSearch
    limits: tuple[str, ...] = LIMITS
    possible_kept: int | msgspec.UnsetType = msgspec.UNSET
    """Records that may be the person's and stay, as somebody decided; absent where there are none."""
    completion: Completion | msgspec.UnsetType = msgspec.UNSET
    recipients: tuple[Recipient, ...] | msgspec.UnsetType = msgspec.UNSET
    kept_until: str | msgspec.UnsetType = msgspec.UNSET
    """When the certificate itself, and what is left of the request, is removed at its issuer."""


class _Signature(Form, frozen=True):
    key: str
    value: str


class _Document(Form, frozen=True):
    certificate: Certificate
    signature: _Signature


def sign(certificate: Certificate, key: SigningKey) -> bytes:
    """Return the signed document."""
    value = base64.b64encode(key.sign(_signed_bytes(certificate))).decode()
    return _canonical(_Document(certificate, _Signature(str(key.verifier), value)))


def verify(document: bytes, key: VerifierKey) -> Certificate:
    """Return the certificate in a document that `key` signed.

    Raises AuditError when a byte of it is not as it was signed.
    """
    try:
        parsed = msgspec.json.decode(document, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise AuditError("not a certificate of erasure", where="certificate") from fault
    if _canonical(parsed) != document:
        raise AuditError("certificate is not in canonical form", where="certificate")
    if parsed.signature.key != str(key):
        raise AuditError("certificate is signed with another key", where="signature", expected=str(key))
    value = decode_base64(parsed.signature.value, _SIGNATURE_SIZE, where="signature")
    if not key.verifies(value, _signed_bytes(parsed.certificate)):
        raise AuditError("the signature does not hold for the certificate", where="signature")
    return parsed.certificate


def _signed_bytes(certificate: Certificate) -> bytes:
    return CONTEXT + _canonical(certificate)


def _canonical(value: msgspec.Struct) -> bytes:
    return canonical(cast("JSON", msgspec.to_builtins(value)))
