"""Certificates: any bytes, and any fields that an authority we trust has signed."""

from collections.abc import Iterable
from datetime import UTC, datetime

import paramiko
from fuzz_oracle import INPUT_LIMIT, Source, Target, always

from sftpd.link.model import Revocations
from sftpd.sftp.wire import ProtocolError, string, uint32, uint64
from sftpd.ssh.certificates import Terms, objection, parse

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_AUTHORITY = paramiko.ECDSAKey.generate()
_KINDS = (b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256", b"", b"\xff")
_REVOKED = Revocations(frozenset({"SHA256:none"}), ((7, 9),), frozenset({"lost"}))


def _read(data: bytes) -> None:
    """It is read or refused by ProtocolError, and judged; what we have not signed lets nobody in."""
    try:
        found = parse(data)
    except ProtocolError:
        return
    terms = Terms(frozenset({found.authority}), frozenset(found.principals), _REVOKED)
    why = objection(found, terms, "127.0.0.1", _NOW)
    assert why is not None or found.authority == _AUTHORITY.asbytes()


def _signed(data: bytes) -> None:
    """The same for fields of any content behind a good signature."""
    _read(_certificate(Source(data)))


def _certificate(source: Source) -> bytes:
    kind = _KINDS[source.number(1) % len(_KINDS)]
    fields = 1 if kind == b"ssh-ed25519" else 2
    body = string(kind + b"-cert-v01@openssh.com") + string(b"nonce")
    body += b"".join(string(source.short()) for _ in range(fields))
    body += uint64(source.number(8)) + uint32(source.number(1)) + string(source.short())
    body += string(source.short())
    body += uint64(source.number(4)) + uint64(source.number(4))
    body += string(source.short()) + string(source.short()) + string(b"") + string(_AUTHORITY.asbytes())
    return body + string(_AUTHORITY.sign_ssh_data(body).asbytes())


def _signed_seeds() -> Iterable[bytes]:
    source = _short(string(b"source-address") + string(string(b"127.0.0.0/8,::1")))
    strange = _short(string(b"source-address") + string(string(b"\xff/,")))
    forced = _short(string(b"force-command") + string(string(b"id")))
    for critical in (_short(b""), source, strange, forced, _short(b"\0\0\0\xff")):
        for serial in (1, 8):
            head = b"\0" + _short(bytes(32)) + uint64(serial) + b"\x01" + _short(b"id")
            valid = _short(string(b"alice")) + uint32(0) + b"\xff" * 4
            yield head + valid + critical + _short(b"")


def _seeds() -> Iterable[bytes]:
    for fields in _signed_seeds():
        whole = _certificate(Source(fields))
        yield whole
        yield whole[:-1]
        # An authority whose key is of no type at all.
        yield whole.replace(b"ecdsa-sha2", b"ecdsa-sha4")
        # And one whose key says that it is longer: paramiko would fill it up with zeros.
        yield whole.replace(b"nistp256\0\0\0A", b"nistp256\0\x0f\xff\xff")


def _short(value: bytes) -> bytes:
    return bytes((len(value),)) + value


TARGETS = (
    Target("certificates", always(_read), _seeds, 2 * INPUT_LIMIT),
    Target("certificates-signed", always(_signed), _signed_seeds, 2 * INPUT_LIMIT),
)
