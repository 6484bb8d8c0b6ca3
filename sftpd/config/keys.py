"""OpenSSH keys and Argon2id hashes as the configuration knows them: read, and judged fit for use or not."""

import base64
import hashlib
from dataclasses import dataclass

from argon2 import Parameters, Type, extract_parameters
from argon2.exceptions import InvalidHashError
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

PUBLIC_KEY_FORM = (
    "one OpenSSH public key (Ed25519, Ed25519-SK, ECDSA, or RSA of 2048 bits or more), or file:PATH of one"
)
REVOKED_FORM = "lines with a public key, `sha256: FINGERPRINT`, `serial: N`, `serial: N-N` or `id: TEXT`"
_SECURITY_KEY = "sk-ssh-ed25519@openssh.com"
_SECURITY_KEY_FIELDS = 3
_TOTP_BYTES = 16
_RSA_BITS = 2048
_VAULT_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: `algorithm` as in its OpenSSH line (`ssh-ed25519`), `blob` its RFC 4253 §6.6 encoding."""

    algorithm: str
    blob: bytes
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and the unpadded base64 of the blob's hash, as OpenSSH prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.algorithm} {base64.b64encode(self.blob).decode()} {self.comment}".rstrip()


def parse_public_key(text: str) -> PublicKey:
    """Read one line of an OpenSSH `.pub` file.

    Raises ValueError with the reason as a clause.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) != 1:
        raise ValueError(f"which holds {len(lines)} keys")
    algorithm, _, rest = lines[0].strip().partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
        if algorithm == _SECURITY_KEY and _is_security_key(blob):
            return PublicKey(algorithm, blob, comment.strip())
        key = load_ssh_public_key(f"{algorithm} {encoded}".encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("which is no public key") from None
    if not isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey):
        raise ValueError(f"whose algorithm {algorithm} is not allowed")
    if isinstance(key, RSAPublicKey) and key.key_size < _RSA_BITS:
        raise ValueError(f"an RSA key of {key.key_size} bits")
    return PublicKey(algorithm, blob, comment.strip())


def _is_security_key(blob: bytes) -> bool:
    """Whether it has the three strings of one: type, public key, application (OpenSSH's PROTOCOL.u2f)."""
    fields, rest = [], blob
    while len(rest) >= 4:
        length = int.from_bytes(rest[:4], "big")
        fields.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    return (
        not rest
        and len(fields) == _SECURITY_KEY_FIELDS
        and fields[0] == _SECURITY_KEY.encode()
        and len(fields[1]) == 32
    )


@dataclass(frozen=True, slots=True)
class Revoked:
    """What a list of revocations names: keys by fingerprint, certificates by serial number and id."""

    fingerprints: frozenset[str] = frozenset()
    serials: tuple[tuple[int, int], ...] = ()
    ids: frozenset[str] = frozenset()


def parse_revoked(text: str) -> Revoked:
    """Read a list of revocations, in the form of ssh-keygen's KRL specification.

    Raises ValueError naming the line and what is wrong with it.
    """
    fingerprints, serials, ids = set(), [], set()
    for number, line in enumerate(text.splitlines(), 1):
        kind, colon, value = (part.strip() for part in line.partition(":"))
        try:
            if not line.strip() or line.startswith("#"):
                continue
            if kind == "serial":
                first, _, last = value.partition("-")
                serials.append((int(first), int(last or first)))
            elif kind == "id" and value:
                ids.add(value)
            elif kind in ("sha256", "hash") and value.startswith("SHA256:"):
                fingerprints.add(value)
            else:
                fingerprints.add(parse_public_key(value if kind == "key" and colon else line).fingerprint)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return Revoked(frozenset(fingerprints), tuple(serials), frozenset(ids))


def totp_secret(content: bytes) -> bytes:
    """The secret of one-time codes, from the base32 that apps take. Raises ValueError."""
    plain = content.decode("ascii").replace(" ", "").strip().upper()
    return base64.b32decode(plain + "=" * (-len(plain) % 8))


def totp_fault(content: bytes) -> str | None:
    """Why `content` cannot be the secret of one-time codes, or None."""
    try:
        size = len(totp_secret(content))
    except ValueError:
        return "found no base32, allowed: a secret of 16 bytes or more in base32"
    return None if size >= _TOTP_BYTES else f"found {size} bytes, allowed: 16 bytes or more in base32"


def vault_key(content: bytes) -> bytes:
    """The key of a vault, from its base64 or hexadecimal text. Raises ValueError."""
    text = content.decode("ascii").strip()
    key = bytes.fromhex(text) if len(text) == 2 * _VAULT_KEY_BYTES else base64.b64decode(text, validate=True)
    if len(key) != _VAULT_KEY_BYTES:
        raise ValueError(f"{len(key)} bytes")
    return key


def vault_key_fault(content: bytes) -> str | None:
    """Why `content` cannot be the key of a vault, or None; the text does not repeat it."""
    try:
        vault_key(content)
    except ValueError:
        return f"found something else, allowed: {_VAULT_KEY_BYTES} random bytes in base64 or hexadecimal"
    return None


def private_key_fault(content: bytes) -> str | None:
    """Why `content` cannot serve as a host or client key, or None."""
    try:
        key = load_ssh_private_key(content, password=None)
    except TypeError:
        return "found a key with a passphrase, allowed: an OpenSSH private key without one"
    except (ValueError, UnsupportedAlgorithm):
        return "found no private key, allowed: an OpenSSH private key without a passphrase"
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey):
        return "found a key of another kind, allowed: Ed25519, ECDSA or RSA"
    if isinstance(key, RSAPrivateKey) and key.key_size < _RSA_BITS:
        return f"found an RSA key of {key.key_size} bits, allowed: {_RSA_BITS} bits or more"
    return None


def signing_key_fault(content: bytes) -> str | None:
    """Why `content` cannot sign the audit log, or None."""
    fault = private_key_fault(content)
    if fault is None and not isinstance(load_ssh_private_key(content, password=None), Ed25519PrivateKey):
        return "found a key of another kind, allowed: Ed25519"
    return fault


def password_hash_fault(content: bytes) -> str | None:
    """Why `content` is no Argon2id hash, or None; the text does not repeat it."""
    allowed = "allowed: an Argon2id hash, beginning $argon2id$"
    try:
        parameters: Parameters = extract_parameters(content.decode("ascii", "replace").strip())
    except InvalidHashError:
        return f"found something else, {allowed}"
    return None if parameters.type is Type.ID else f"found another kind of Argon2, {allowed}"
