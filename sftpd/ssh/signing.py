"""Signatures made elsewhere: children sign with keys that only the monitor holds."""

import base64
import hashlib
from collections.abc import Callable

import paramiko

from sftpd.errors import RefusedError
from sftpd.sftp.wire import ProtocolError, Reader, string

SIGNATURE_REFUSED = "SIGNATURE_REFUSED"
"""The reason of a RefusedError for data that the monitor does not sign."""

_USERAUTH_REQUEST = 50
_TRUE = b"\x01"
_SESSION_ID_LENGTHS = range(20, 65)
_RSA = "ssh-rsa"
_RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")

Ask = Callable[[bytes, str], bytes]
"""Has data signed by an algorithm; returns the signature as on the wire (RFC 4253 §6.6)."""


class RemoteSigner(paramiko.PKey):
    """The public half of a key whose private operation is asked of the monitor.

    paramiko's server mode knows RSA keys by their class: `Transport.add_server_key` alone does not offer
    one of these for the names in `algorithms`.
    """

    public_blob = None

    def __init__(self, blob: bytes, ask: Ask) -> None:
        """Take the public key in wire form. Raises ProtocolError for one that has none."""
        super().__init__()
        self._blob = blob
        self._name = key_type(blob)
        self._ask = ask

    @property
    def _fields(self) -> tuple[str, bytes]:
        return self._name, self._blob

    def asbytes(self) -> bytes:
        """The public key in wire form."""
        return self._blob

    def get_name(self) -> str:
        """The type of the key, such as `ssh-rsa`."""
        return self._name

    def can_sign(self) -> bool:
        """Always: the monitor has the private half."""
        return True

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
        """Have `data` signed. Raises what asking raises."""
        return paramiko.Message(self._ask(data, algorithm or algorithms(self._name)[0]))


def key_type(blob: bytes) -> str:
    """The type that a public key in wire form names. Raises ProtocolError where it names none."""
    try:
        return Reader(memoryview(blob)).string().decode("ascii")
    except UnicodeDecodeError as fault:
        raise ProtocolError("public key has no type") from fault


def algorithms(name: str) -> tuple[str, ...]:
    """The signature algorithms for keys of a type, the best first (RFC 8332: SHA-1 is none of them)."""
    return _RSA_ALGORITHMS if name == _RSA else (name,)


def fingerprint(blob: bytes) -> str:
    """The fingerprint of a public key in wire form, as OpenSSH writes it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def sign(key: paramiko.PKey, data: bytes, algorithm: str) -> bytes:
    """Sign for a child; returns the signature as on the wire.

    Raises RefusedError for an algorithm that is not the key's. What `data` may be is the caller's to check.
    """
    if algorithm not in algorithms(key.get_name()):
        raise RefusedError(
            f"{algorithm!r} is no algorithm of this {key.get_name()} key", reason=SIGNATURE_REFUSED
        )
    return key.sign_ssh_data(data, algorithm).asbytes()


def sign_login(key: paramiko.PKey, user: str, data: bytes, algorithm: str) -> bytes:
    """Sign `data` if it is a login of `user` with `key` (RFC 4252 §7), and nothing else.

    The session id at its beginning is free; every other byte is known and compared. Raises RefusedError.
    """
    if not _is_login(data, login_request(key.asbytes(), user, algorithm)):
        raise RefusedError(f"what is to be signed is not a login of {user!r}", reason=SIGNATURE_REFUSED)
    return sign(key, data, algorithm)


def login_request(blob: bytes, user: str, algorithm: str) -> bytes:
    """What a login by public key signs, after the session id (RFC 4252 §7)."""
    return b"".join(
        (
            bytes((_USERAUTH_REQUEST,)),
            string(user.encode()),
            string(b"ssh-connection"),
            string(b"publickey"),
            _TRUE,
            string(algorithm.encode()),
            string(blob),
        )
    )


def _is_login(data: bytes, request: bytes) -> bool:
    session_id, rest = data[: -len(request)], data[-len(request) :]
    length = len(session_id) - 4
    return rest == request and length in _SESSION_ID_LENGTHS and session_id[:4] == length.to_bytes(4, "big")
