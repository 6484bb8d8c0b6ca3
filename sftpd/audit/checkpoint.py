"""Signed tree heads: c2sp.org/tlog-checkpoint over c2sp.org/signed-note with Ed25519 keys."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sftpd.audit.merkle import HASH_SIZE
from sftpd.errors import AuditError

_ED25519 = b"\1"
_KEY_ID_SIZE = 4
_KEY_SIZE = 32
NOTE_LIMIT = 65_536
"""Bytes; a longer text is no note."""

_DASH = "—"
_NAME = re.compile(r"[^\s+\x00-\x1f]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The name and the 32-byte Ed25519 public key by which notes are verified."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public) != _KEY_SIZE:
            raise AuditError("public key has the wrong length", expected=f"{_KEY_SIZE} bytes")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name+hexkeyid+base64(0x01 || public key)`, the form `str` gives.

        Raises AuditError if it has another form or the key ID is not that of the key.
        """
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise AuditError("not a verifier key", expected="name+keyid+base64 key")
        name, key_id, encoded = parts
        data = decode_base64(encoded, _KEY_SIZE + 1, where="verifier key")
        if data[:1] != _ED25519:
            raise AuditError("verifier key is of an unknown type", where=name, expected="Ed25519 (0x01)")
        key = cls(name, data[1:])
        if key.key_id.hex() != key_id:
            raise AuditError("verifier key does not match its key ID", where=name, expected=key.key_id.hex())
        return key

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name || 0x0A || 0x01 || public key)."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_SIZE]

    def verifies(self, signature: bytes, text: bytes) -> bool:
        """Whether `signature` is this key's over `text`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True

    def __str__(self) -> str:
        encoded = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


class SigningKey:
    """A named Ed25519 private key that signs notes; its repr shows the name alone."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self.verifier = VerifierKey(name, private.public_key().public_bytes_raw())
        self._private = private

    @classmethod
    def generate(cls, name: str) -> Self:
        """Return a fresh key."""
        return cls(name, Ed25519PrivateKey.generate())

    @property
    def name(self) -> str:
        """The key's name, as in signature lines."""
        return self.verifier.name

    def sign(self, text: bytes) -> bytes:
        """The 64-byte Ed25519 signature over `text`."""
        return self._private.sign(text)

    def __repr__(self) -> str:
        return f"SigningKey({self.name!r}, ***)"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: whose it is, how many leaves it has and the root of their tree."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note text that is signed: origin, size and root, a line each.

        Raises AuditError if the origin could not stand on a line of its own.
        """
        _check_name(self.origin)
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def first_origin(origin: str) -> str:
    """The origin of a log before it was restored from a backup for the first time: `INSTANCE/NAME`."""
    return origin.partition("#")[0]


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """The checkpoint as a note signed by `key`."""
    signature = key.verifier.key_id + key.sign(checkpoint.text.encode())
    line = f"{_DASH} {key.name} {base64.b64encode(signature).decode()}\n"
    return f"{checkpoint.text}\n{line}".encode()


def parse_checkpoint(raw: bytes, *, where: str = "checkpoint") -> Checkpoint:
    """Read a checkpoint without looking at its signatures.

    Raises AuditError, naming `where` and the line, for anything but a note of three lines of text.
    """
    text, _ = _split_note(raw, where)
    return _parse_text(text, where)


def verify_checkpoint(
    raw: bytes, keys: Sequence[VerifierKey], *, origin: str, where: str = "checkpoint"
) -> Checkpoint:
    """Read a checkpoint signed by one of `keys`, of `origin` or of an era of it (audit.succession).

    Signatures of unknown keys are ignored. Raises AuditError, naming `where` and the line, if the form is
    wrong, the origin differs, no known key signed, or a known key's signature does not hold.
    """
    text, lines = _split_note(raw, where)
    known = {(key.name, key.key_id): key for key in keys}
    verified = False
    for number, line in enumerate(lines, start=text.count("\n") + 2):
        name, signature = _parse_signature(line, f"{where} line {number}")
        key = known.get((name, signature[:_KEY_ID_SIZE]))
        if key is None:
            continue
        if not key.verifies(signature[_KEY_ID_SIZE:], text.encode()):
            raise AuditError(
                f"the signature of {name} does not hold for the lines above", where=f"{where} line {number}"
            )
        verified = True
    if not verified:
        expected = " or ".join(f"{key.name} ({key.key_id.hex()})" for key in keys)
        raise AuditError(
            "no signature by a known key",
            where=f"{where} line {text.count(chr(10)) + 2}",
            expected=f"one by {expected}",
        )
    checkpoint = _parse_text(text, where)
    if origin not in (checkpoint.origin, first_origin(checkpoint.origin)):
        raise AuditError("checkpoint of another log", where=f"{where} line 1", expected=f"origin {origin}")
    return checkpoint


def decode_base64(text: str, size: int, *, where: str) -> bytes:
    """The `size` bytes that `text` encodes in standard base64.

    Raises AuditError for any other text, the non-canonical encodings of those bytes included.
    """
    data = decode_any_base64(text, where=where)
    if len(data) != size:
        raise AuditError("not canonical base64", where=where, expected=f"{size} bytes")
    return data


def decode_any_base64(text: str, *, where: str) -> bytes:
    """The same for any number of bytes. Raises AuditError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if base64.b64encode(data).decode() != text:
        raise AuditError("not canonical base64", where=where)
    return data


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise AuditError(
            f"{name!r} cannot name a log or key", expected="no spaces, '+' or control characters"
        )


def _split_note(raw: bytes, where: str) -> tuple[str, list[str]]:
    """The text of a signed note, its last newline included, and its signature lines."""
    if len(raw) > NOTE_LIMIT:
        raise AuditError("note is too long", where=where, expected=f"at most {NOTE_LIMIT} bytes")
    try:
        note = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise AuditError(f"byte {error.start} is not UTF-8", where=f"{where} line {line}") from error
    control = _CONTROL.search(note)
    if control is not None:
        line = note.count("\n", 0, control.start()) + 1
        raise AuditError("control character", where=f"{where} line {line}")
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise AuditError(
            "not a signed note",
            where=f"{where} line {note.rstrip(chr(10)).count(chr(10)) + 1}",
            expected="text, a blank line and signature lines, each ended",
        )
    return text + "\n", signatures[:-1].split("\n")


def _parse_signature(line: str, where: str) -> tuple[str, bytes]:
    """The key name on a signature line, and the key ID with the signature after it."""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _DASH or _NAME.fullmatch(parts[1]) is None:
        raise AuditError("not a signature line", where=where, expected=f"{_DASH} name base64")
    data = decode_any_base64(parts[2], where=where)
    if len(data) <= _KEY_ID_SIZE:
        raise AuditError("signature is too short", where=where)
    return parts[1], data


def _parse_text(text: str, where: str) -> Checkpoint:
    lines = text[:-1].split("\n")
    if len(lines) != 3:
        raise AuditError(f"text has {len(lines)} lines", where=where, expected="origin, size and root")
    origin, size, root = lines
    if _NAME.fullmatch(origin) is None:
        raise AuditError("not an origin", where=f"{where} line 1")
    if _SIZE.fullmatch(size) is None:
        raise AuditError("not a tree size", where=f"{where} line 2", expected="a decimal number")
    return Checkpoint(origin, int(size), decode_base64(root, HASH_SIZE, where=f"{where} line 3"))
