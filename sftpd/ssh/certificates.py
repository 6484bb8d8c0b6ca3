"""OpenSSH user certificates (PROTOCOL.certkeys): read, and judged."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import NamedTuple, Protocol

from sftpd.sftp.wire import ProtocolError, Reader, string
from sftpd.ssh import signing
from sftpd.ssh.public_keys import is_signed

SUFFIX = "-cert-v01@openssh.com"

_USER = 1
_FIELDS = {
    "ssh-ed25519": 1,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "ssh-rsa": 2,
}
"""How many fields the public key of each type has."""

_PRINCIPALS = 256
"""As many as OpenSSH takes."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says; nothing of it is true before `objection` has none."""

    key: bytes
    """The certified public key, as without a certificate."""
    serial: int
    kind: int
    id: str
    principals: tuple[str, ...]
    after: int
    before: int
    """Valid from `after` until before `before`, in seconds since 1970."""
    critical: tuple[tuple[str, bytes], ...]
    authority: bytes
    body: bytes
    """What the authority has signed."""
    signature: bytes


class Revocations(Protocol):
    """What an authority has taken back."""

    def covers(self, fingerprint: str, serial: int | None, identity: str | None) -> bool:
        """Whether a key, or a certificate by serial number or id, is among it."""
        ...


class Terms(NamedTuple):
    """What a certificate must meet."""

    authorities: frozenset[bytes]
    principals: frozenset[str]
    revoked: Revocations


def parse(blob: bytes) -> Certificate:
    """Read a certificate. Raises ProtocolError for what is none, and for types that are not taken."""
    reader = Reader(memoryview(blob))
    kind = _text(reader.string()).removesuffix(SUFFIX)
    if kind not in _FIELDS:
        raise ProtocolError(f"certificate of type {kind!r}", expected=" or ".join(_FIELDS))
    reader.string()  # the nonce
    key = string(kind.encode()) + b"".join(string(reader.string()) for _ in range(_FIELDS[kind]))
    serial, role, identity = reader.uint64(), reader.uint32(), _text(reader.string())
    principals = tuple(_text(name) for name in _strings(reader.view()))
    after, before = reader.uint64(), reader.uint64()
    critical = tuple(_options(reader.view()))
    reader.view()  # extensions: they permit what is refused here anyway
    reader.view()
    authority = reader.string()
    body = blob[: len(blob) - len(reader.rest())]
    signature = Reader(memoryview(blob)[len(body) :]).string()
    if len(body) + 4 + len(signature) != len(blob) or len(principals) > _PRINCIPALS:
        raise ProtocolError("certificate has more than it should")
    return Certificate(
        key, serial, role, identity, principals, after, before, critical, authority, body, signature
    )


def objection(found: Certificate, terms: Terms, address: str, now: datetime) -> str | None:
    """Why a certificate does not let its holder log in from there now; None if it does."""
    if found.authority not in terms.authorities:
        return "unknown authority"
    if not _is_signed(found):
        return "not signed by its authority"
    if found.kind != _USER:
        return "not a user's certificate"
    if not found.after <= now.timestamp() < found.before:
        return "not valid at this time"
    if not terms.principals & set(found.principals):
        return "none of its principals is the account's"
    fingerprints = (signing.fingerprint(found.key), signing.fingerprint(found.authority))
    if any(terms.revoked.covers(one, found.serial, found.id) for one in fingerprints):
        return "revoked"
    return next((why for option in found.critical if (why := _hinders(*option, address)) is not None), None)


def _is_signed(found: Certificate) -> bool:
    try:
        algorithm = _text(Reader(memoryview(found.signature)).string())
    except ProtocolError:
        return False
    return is_signed(found.authority, algorithm, found.body, found.signature)


def _hinders(option: str, data: bytes, address: str) -> str | None:
    """Why a critical option keeps this client out; those that are not known keep everybody out."""
    if option != "source-address":
        return f"critical option {option!r}"
    try:
        networks = [
            ip_network(text, strict=False) for text in _text(Reader(memoryview(data)).string()).split(",")
        ]
        welcome = any(ip_address(address) in network for network in networks)
    except (ProtocolError, ValueError):
        return "source addresses that are none"
    return None if welcome else "not from this address"


def _strings(packed: memoryview) -> Iterator[bytes]:
    reader = Reader(packed)
    while not reader.at_end:
        yield reader.string()


def _options(packed: memoryview) -> Iterator[tuple[str, bytes]]:
    reader = Reader(packed)
    while not reader.at_end:
        yield _text(reader.string()), reader.string()


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        raise ProtocolError("text is not UTF-8") from fault
