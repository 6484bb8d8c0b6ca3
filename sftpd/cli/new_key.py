"""Making private keys, and keys of vaults."""

import base64
import secrets
from enum import StrEnum
from pathlib import Path

from sftpd.files import durable


class KeyType(StrEnum):
    """The types of key that can be made."""

    ED25519 = "ed25519"
    ECDSA = "ecdsa"
    RSA = "rsa"


def make_key(path: Path, key_type: KeyType = KeyType.ED25519) -> str:
    """Write a new private key durably to `path` (mode 0600) and return its public key as an OpenSSH line.

    Raises OSError, FileExistsError where there is a file.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    match key_type:
        case KeyType.ED25519:
            key = Ed25519PrivateKey.generate()
        case KeyType.ECDSA:
            key = ec.generate_private_key(ec.SECP256R1())
        case KeyType.RSA:
            key = rsa.generate_private_key(public_exponent=65_537, key_size=3072)
    path.touch(mode=0o600, exist_ok=False)
    durable.write_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def make_vault_key(path: Path) -> None:
    """Write 32 random bytes in base64 durably to `path` (mode 0600).

    Raises OSError, FileExistsError where there is a file.
    """
    from sftpd.files.sealed import KEY_SIZE

    path.touch(mode=0o600, exist_ok=False)
    durable.write_file(path, base64.b64encode(secrets.token_bytes(KEY_SIZE)) + b"\n", 0o600)
