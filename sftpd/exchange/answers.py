"""What a remote's owner answers to an order of ours: looked for by its name, and shown to be theirs."""

import os
from typing import NamedTuple

from sftpd.audit import sshsig
from sftpd.audit.checkpoint import VerifierKey
from sftpd.errors import AuditError
from sftpd.exchange.remote import Download, Remote, Remotes, in_directory, only
from sftpd.exchange.return_receipt import SIGNATURE_LIMIT
from sftpd.link import model

NAMESPACE = "answer@sftpd"
"""The namespace of the signatures, which keeps them from being taken for any other."""

LIMIT = 8 << 20
"""Bytes of an answer: a certificate that lists some fifty thousand files."""

_FOLDER = b"orders/"
_LAST = ("certificate", "partial", "denied")
"""How the names of those answers end that an order has in the end, the best first."""


class Answered(NamedTuple):
    """An answer, what it is by its name, and the key that signed it."""

    status: str
    content: bytes
    signer: VerifierKey


def fetch(remotes: Remotes, to: model.Remote, order: str, known: str | None = None) -> Answered | None:
    """The answer to an order at a remote whose receipts are collected; None while there is none.

    Where the status of an answer is `known` only one that goes further is looked for.

    Raises RemoteError, and AuditError where it is not signed as it must be.
    """
    assert to.receipts is not None
    directory = in_directory(to.receipts.folder) + _FOLDER
    further = _LAST[: _LAST.index(known)] if known in _LAST else _LAST
    with remotes.borrow(to.name) as remote:
        for status in further:
            path = directory + f"{order}.{status}.json".encode()
            size = remote.size(path)
            if size is not None:
                content = _read(remote, path, size, LIMIT)
                return Answered(status, content, _signer(remote, path, content, to.receipts.signers))
    return None


def _signer(remote: Remote, path: bytes, content: bytes, signers: tuple[VerifierKey, ...]) -> VerifierKey:
    beside = path + sshsig.SUFFIX.encode()
    size = remote.size(beside)
    if size is None:
        raise AuditError("there is no signature beside it", where="answer")
    signature = _read(remote, beside, size, SIGNATURE_LIMIT)
    signer = sshsig.signer(signature, signers, where="answer")
    sshsig.verify(signature, content, signer, NAMESPACE, where="answer")
    return signer


def _read(remote: Remote, path: bytes, size: int, limit: int) -> bytes:
    if size > limit:
        raise AuditError(f"a file of {size} bytes", where="answer", expected=f"at most {limit}")
    fd = os.memfd_create("answer", os.MFD_CLOEXEC)
    try:
        got = only(remote.download([Download(path, fd, size)]))
        return os.pread(fd, got.size, 0)
    finally:
        os.close(fd)
