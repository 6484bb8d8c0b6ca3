"""Public keys of clients as on the wire, and what they have signed."""

import hashlib

import paramiko
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paramiko.message import Message as Packet

from sftpd.sftp.wire import ProtocolError, Reader, uint32
from sftpd.ssh import signing

_UnknownKeyTypeError = paramiko.UnknownKeyType  # type: ignore[attr-defined]  # not in the stubs
SECURITY_KEY = "sk-ssh-ed25519@openssh.com"
_USER_PRESENT = 0x01
_RSA = "ssh-rsa"
_RSA_BITS = 2048
_ECDSA = "ecdsa-"
_LARGEST = 4096
"""Bytes of the largest key or signature that is looked into; twice what RSA of 16,384 bits takes."""


def is_signed(blob: bytes, algorithm: str, data: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of the key `blob` on `data`, by this algorithm and no other.

    A security key's says that somebody touched it (OpenSSH's PROTOCOL.u2f).
    """
    try:
        if algorithm not in signing.algorithms(signing.key_type(blob)):
            return False
        reader = Reader(memoryview(signature))
        if reader.string() != algorithm.encode():
            return False
        raw = reader.string()
        if algorithm == SECURITY_KEY:
            return _is_signed_by_touch(blob, data, raw, reader)
        if not reader.at_end:
            return False
        _require_whole(blob)
        _require_whole(raw if algorithm.startswith(_ECDSA) else signature)
        key = paramiko.PKey.from_type_string(signing.key_type(blob), blob)
        if key.get_name() == _RSA and key.get_bits() < _RSA_BITS:
            return False
        return bool(key.verify_ssh_sig(data, Packet(signature)))
    except (ProtocolError, paramiko.SSHException, _UnknownKeyTypeError, ValueError, IndexError):
        return False


def _require_whole(packed: bytes) -> None:
    """Pass if it is whole strings one after another and not too large. Raises ProtocolError.

    Paramiko fills up what is missing of a string, to as much as 1 MiB, and takes minutes for such a number.
    """
    if len(packed) > _LARGEST:
        raise ProtocolError(f"{len(packed)} bytes", expected=f"at most {_LARGEST}")
    reader = Reader(memoryview(packed))
    while not reader.at_end:
        reader.view()


def _is_signed_by_touch(blob: bytes, data: bytes, raw: bytes, rest: Reader) -> bool:
    key = Reader(memoryview(blob))
    key.string()
    public, application = key.string(), key.string()
    flags, counter = rest.uint8(), rest.uint32()
    if not flags & _USER_PRESENT or not rest.at_end:
        return False
    signed = b"".join(
        (
            hashlib.sha256(application).digest(),
            bytes((flags,)),
            uint32(counter),
            hashlib.sha256(data).digest(),
        )
    )
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(raw, signed)
    except InvalidSignature:
        return False
    return True
