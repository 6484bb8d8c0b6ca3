"""The private keys of an instance, as the monitor alone holds them."""

import hashlib
import io
from collections.abc import Mapping

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from sftpd.audit.checkpoint import SigningKey
from sftpd.config.load import Config
from sftpd.errors import SftpdError
from sftpd.link.model import Link
from sftpd.names import RemoteName
from sftpd.ssh import signing
from sftpd.ssh.courier_connection import RemoteLogin


def signing_key(config: Config) -> SigningKey:
    """The key that signs checkpoints and certificates, under the instance's name."""
    private = load_ssh_private_key(config.instance.audit.key.reveal(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise SftpdError("not an Ed25519 key", where="audit.key")
    return SigningKey(config.instance.about.name, private)


def token_key(key: SigningKey, purpose: str) -> bytes:
    """A key for tokens of what must not be stored in plain text, which is itself stored nowhere.

    It is made of a signature (Ed25519, RFC 8032: the same each time) over a text that nothing else signs, so
    that who has the ledger alone cannot try values out. With another audit key it is another.
    """
    return hashlib.sha256(key.sign(f"sftpd token key\n{purpose}".encode())).digest()


def host_keys(config: Config) -> Mapping[str, paramiko.PKey]:
    """The host keys by the signature algorithms they serve; of two of one type the first counts."""
    found: dict[str, paramiko.PKey] = {}
    for secret in config.instance.server.host_keys:
        key = load_private_key(secret.reveal())
        for algorithm in signing.algorithms(key.get_name()):
            found.setdefault(algorithm, key)
    return found


def host_keys_to_come(config: Config) -> list[paramiko.PKey]:
    """The host keys that are announced and not used yet."""
    return [load_private_key(secret.reveal()) for secret in config.instance.server.host_keys_to_come]


def remote_logins(link: Link, config: Config) -> dict[RemoteName, RemoteLogin]:
    """How to log in at each remote of a link."""
    file = next(file for file in config.links if file.name == link.name)
    sections = {section.name: section for section in file.remotes}
    logins = {}
    for remote in link.remotes:
        section = sections[remote.name]
        key = None if section.key is None else load_private_key(section.key.reveal())
        password = None if section.password is None else section.password.text
        logins[remote.name] = RemoteLogin(remote, key, password)
    return logins


def load_private_key(content: bytes) -> paramiko.PKey:
    """A private key in OpenSSH or PEM form.

    Raises SftpdError when it is of no type that can sign.
    """
    fault = ""
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(content.decode()))
        except (paramiko.SSHException, ValueError) as error:
            fault = str(error)
    raise SftpdError(
        f"no usable private key: {fault}", expected="an Ed25519, ECDSA or RSA key without passphrase"
    )
