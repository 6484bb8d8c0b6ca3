"""Detached SSH signatures with Ed25519 keys (OpenSSH's PROTOCOL.sshsig), for `ssh-keygen -Y verify`.

What is signed begins with a magic of its own and names the namespace, so that no signature over anything else
that the audit key signs is one of these.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable, Iterator

from sftpd.audit.checkpoint import SigningKey, VerifierKey
from sftpd.errors import AuditError

SUFFIX = ".sig"
"""What `ssh-keygen -Y sign` adds to the name of a file to name its signature."""

SIGNERS = b"allowed_signers"
"""The file beside what is signed that says whose signatures count (ssh-keygen(1), ALLOWED SIGNERS)."""

SIGNERS_LIMIT = 1 << 20
"""Bytes of it that are read."""

_MAGIC = b"SSHSIG"
_VERSION = 1
_KEY_TYPE = b"ssh-ed25519"
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_LENGTH = struct.Struct(">I")
_LINE = 70
_BEGIN = b"-----BEGIN SSH SIGNATURE-----"
_END = b"-----END SSH SIGNATURE-----"
_LIMIT = 65_536
"""Bytes; a longer text is no signature by an Ed25519 key."""


def sign(message: bytes, key: SigningKey, namespace: str) -> bytes:
    """The signature of `key` over `message`, as a file holds it."""
    signature = key.sign(_signed(message, namespace.encode(), b"sha512"))
    blob = (_MAGIC + _LENGTH.pack(_VERSION)) + _strings(
        _wire(key.verifier), namespace.encode(), b"", b"sha512", _strings(_KEY_TYPE, signature)
    )
    text = base64.b64encode(blob)
    lines = (text[start : start + _LINE] for start in range(0, len(text), _LINE))
    return b"\n".join([_BEGIN, *lines, _END, b""])


def verify(signature: bytes, message: bytes, key: VerifierKey, namespace: str, *, where: str) -> None:
    """Pass if `signature` is that of `key` over `message` in `namespace`.

    Raises AuditError, naming `where`, if it has another form, another key or namespace, or does not hold.
    """
    public, found, reserved, hash_name, inner = _fields(signature, where)
    if public != _wire(key):
        raise AuditError("signed with another key", where=where, expected=f"{key.name} {fingerprint(key)}")
    if found != namespace.encode():
        raise AuditError("signed for another namespace", where=where, expected=namespace)
    kind, raw = _split(inner, 2, where)
    if kind != _KEY_TYPE or hash_name not in _HASHES or reserved:
        raise AuditError("signed by an unknown algorithm", where=where, expected="ssh-ed25519 with SHA-2")
    if not key.verifies(raw, _signed(message, found, hash_name)):
        raise AuditError("the signature does not hold for the file beside it", where=where)


def signer(signature: bytes, keys: Iterable[VerifierKey], *, where: str) -> VerifierKey:
    """The one of `keys` that a signature says it is made with, which `verify` then shows.

    Raises AuditError, naming `where`, if it has another form or names none of them.
    """
    public = _fields(signature, where)[0]
    found = next((key for key in keys if _wire(key) == public), None)
    if found is None:
        raise AuditError("signed with a key that is not known", where=where)
    return found


def allowed_signer(key: VerifierKey, namespace: str) -> str:
    """The line of an `allowed_signers` file by which `key` may sign in `namespace` (ssh-keygen(1))."""
    public = base64.b64encode(_wire(key)).decode()
    return f'{key.name} namespaces="{namespace}" {_KEY_TYPE.decode()} {public}'


def allowing(signers: bytes, key: VerifierKey, namespace: str) -> bytes | None:
    """An `allowed_signers` file by which `key` may sign too; None for one by which it may already.

    What it says stays: what earlier keys have signed is still to be verified.
    """
    line = allowed_signer(key, namespace)
    known = signers.decode(errors="replace").splitlines()
    return None if line in known else "".join(f"{each}\n" for each in (*known, line)).encode()


def fingerprint(key: VerifierKey) -> str:
    """The fingerprint of a public key, as OpenSSH writes it."""
    digest = base64.b64encode(hashlib.sha256(_wire(key)).digest()).decode()
    return f"SHA256:{digest.rstrip('=')}"


def _signed(message: bytes, namespace: bytes, hash_name: bytes) -> bytes:
    """What the key itself signs: the hash of the message among what tells it from anything else."""
    return _MAGIC + _strings(namespace, b"", hash_name, _HASHES[hash_name](message).digest())


def _wire(key: VerifierKey) -> bytes:
    """A public key in wire form (RFC 8709 §4)."""
    return _strings(_KEY_TYPE, key.public)


def _strings(*values: bytes) -> bytes:
    """Strings in wire form, each after its length (RFC 4251 §5)."""
    return b"".join(_LENGTH.pack(len(value)) + value for value in values)


def _fields(signature: bytes, where: str) -> list[bytes]:
    """Public key, namespace, reserved, hash algorithm and signature. Raises AuditError."""
    body = signature.strip()
    fault = AuditError("not an SSH signature", where=where, expected=f"one in {_BEGIN.decode()}")
    if len(signature) > _LIMIT or not (body.startswith(_BEGIN) and body.endswith(_END)):
        raise fault
    try:
        blob = base64.b64decode(b"".join(body[len(_BEGIN) : -len(_END)].split()), validate=True)
    except binascii.Error:
        raise fault from None
    head = _MAGIC + _LENGTH.pack(_VERSION)
    if not blob.startswith(head):
        raise fault
    return _split(blob[len(head) :], 5, where)


def _split(data: bytes, count: int, where: str) -> list[bytes]:
    """Exactly `count` strings in wire form. Raises AuditError."""
    values = list(_walk(data))
    if len(values) != count or _strings(*values) != data:
        raise AuditError("damaged SSH signature", where=where)
    return values


def _walk(data: bytes) -> Iterator[bytes]:
    start = 0
    while start + _LENGTH.size <= len(data):
        end = start + _LENGTH.size + _LENGTH.unpack_from(data, start)[0]
        yield data[start + _LENGTH.size : end]
        start = end
