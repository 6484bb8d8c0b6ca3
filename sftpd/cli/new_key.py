"""Making secrets, and where they go: private keys, keys of vaults, passwords, secrets for one-time codes."""

import base64
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sftpd.errors import SftpdError
from sftpd.files import durable

if TYPE_CHECKING:
    from sftpd.config.model import InstanceFile

KEYS_FOLDER = "keys"
"""Where an instance has its secrets, beside its `sftpd.toml`."""

_TOTP_SIZE = 20
_PASSWORD_SIZE = 18


class KeyType(StrEnum):
    """The types of key that can be made."""

    ED25519 = "ed25519"
    ECDSA = "ecdsa"
    RSA = "rsa"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new secret goes, and by which reference the configuration finds it there."""

    path: Path
    reference: str
    drop_in: tuple[str, ...] = ()
    """What its unit needs, where the instance is a service: its user cannot read the secrets of root."""

    def steps(self, table: str, line: str, then: str = "reload") -> str:
        """What is to be done, for people: `line` is set in `table`, and `then` sftpd goes by it."""
        told = [f"in {table} set", f"  {line}"]
        if self.drop_in:
            told += ["in a drop-in of the unit (systemctl edit sftpd)", *(f"  {one}" for one in self.drop_in)]
            then = "restart"  # a reload brings a unit no new credential
        return "\n".join([*told, f"and {then}."])


def place(file: Path, config: Path, instance: "InstanceFile | None") -> Place:
    """Where a secret `file` of an instance goes: a service has a name alone beside its other secrets."""
    if instance is None or instance.audit.key.scheme != "credential":
        return Place(file.absolute(), f"file:{file.absolute()}")
    path = (config.parent / KEYS_FOLDER / file if file.name == str(file) else file).absolute()
    drop_in = ("[Service]", f"LoadCredential={path.name}:{path}")
    return Place(path, f"credential:{path.name}", drop_in)


def make_key(path: Path, key_type: KeyType = KeyType.ED25519) -> str:
    """Write a new private key durably to `path` (mode 0600) and return its public key as an OpenSSH line.

    Raises SftpdError when it cannot be written, or there is a file.
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
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def make_vault_key(path: Path) -> None:
    """Write 32 random bytes in base64 durably to `path` (mode 0600).

    Raises SftpdError when it cannot be written, or there is a file.
    """
    from sftpd.files.sealed import KEY_SIZE

    _write(path, base64.b64encode(secrets.token_bytes(KEY_SIZE)) + b"\n")


def make_totp_secret(path: Path) -> str:
    """Write 20 random bytes in base32 durably to `path` (mode 0600) and return them so (RFC 4226, section 4).

    Raises SftpdError when it cannot be written, or there is a file.
    """
    secret = base64.b32encode(secrets.token_bytes(_TOTP_SIZE)).decode()
    _write(path, f"{secret}\n".encode())
    return secret


def make_password(path: Path) -> str:
    """Make a password, write its Argon2id hash durably to `path` (mode 0600) and return the password.

    Raises SftpdError when it cannot be written, or there is a file.
    """
    from argon2 import PasswordHasher

    password = secrets.token_urlsafe(_PASSWORD_SIZE)
    _write(path, f"{PasswordHasher().hash(password)}\n".encode())
    return password


def _write(path: Path, content: bytes) -> None:
    try:
        path.touch(mode=0o600, exist_ok=False)
        durable.write_file(path, content, 0o600)
    except OSError as error:
        raise SftpdError(
            f"cannot make the secret: {error.strerror}",
            where=str(path),
            expected="a new file in a folder that exists",
        ) from error
