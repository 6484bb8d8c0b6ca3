"""Making a private key."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


class KeyType(StrEnum):
    """The types of key that can be made."""

    ED25519 = "ed25519"
    ECDSA = "ecdsa"
    RSA = "rsa"


def make_key(path: Path, key_type: KeyType = KeyType.ED25519) -> str:
    """Write a new private key to `path` (mode 0600) and return its public key as an OpenSSH line.

    Raises OSError, FileExistsError where there is a file.
    """
    key = _MAKERS[key_type]()
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _ecdsa() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=3072)


_Private = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_MAKERS: dict[KeyType, Callable[[], _Private]] = {
    KeyType.ED25519: Ed25519PrivateKey.generate,
    KeyType.ECDSA: _ecdsa,
    KeyType.RSA: _rsa,
}
