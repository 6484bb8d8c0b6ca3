"""Hashes of an open file, or of blocks of it, for check-file (draft-ietf-secsh-filexfer-extensions-00 §3)."""

import errno
import hashlib
import os

from sftpd.sftp.requests import CheckFileHandle, CheckFileName
from sftpd.sftp.status import Status, StatusError
from sftpd.sftp.wire import MAX_DATA
from sftpd.ssh.folder import fault
from sftpd.ssh.long_answer import STEP, Steps

WORK_LIMIT = 16 << 30
"""Bytes that one request may have hashed."""

_ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
"""The draft's names are hashlib's; the first two tell accidents, not attackers."""

_MIN_BLOCK = 256
_CHUNK = 1 << 20


def checking(fd: int, request: CheckFileHandle | CheckFileName) -> Steps[tuple[str, list[bytes]]]:
    """Find the algorithm that was used, the first of the request's that is known, and the hash of each block.

    The range ends where the file does. Raises StatusError, and OSError(EINVAL), for what cannot be done or
    is too much at once.
    """
    algorithm = _first_known(request.algorithms)
    if request.block_size and request.block_size < _MIN_BLOCK:
        raise StatusError(Status.BAD_MESSAGE, f"block size is less than {_MIN_BLOCK}")
    rest = os.fstat(fd).st_size - request.start
    if rest < 0:
        raise fault(errno.EINVAL)
    length = min(request.length or rest, rest)
    if length > WORK_LIMIT:
        raise StatusError(Status.FAILURE, f"more than {WORK_LIMIT >> 30} GiB at once")
    block = request.block_size or max(length, 1)
    starts = range(0, length, block) if request.block_size else (0,)
    if len(starts) * hashlib.new(algorithm, usedforsecurity=False).digest_size > MAX_DATA:
        raise StatusError(Status.FAILURE, "more blocks than a reply can tell")
    hashes, since = [], 0
    for at in starts:
        hashes.append((yield from hashing(fd, algorithm, request.start + at, min(block, length - at))))
        if at - since >= STEP:
            since = at
            yield
    return algorithm, hashes


def hashing(fd: int, algorithm: str, start: int, length: int) -> Steps[bytes]:
    """The hash of `length` bytes of an open file, fewer where it ends before."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    buffer = memoryview(bytearray(min(_CHUNK, length)))
    at, end = start, start + length
    while at < end and (count := os.preadv(fd, [buffer[: end - at]], at)):
        digest.update(buffer[:count])
        at += count
        if at < end and (at - start) % STEP < count:
            yield
    return digest.digest()


def _first_known(names: bytes) -> str:
    for name in names.decode("ascii", "replace").split(","):
        if name in _ALGORITHMS:
            return name
    raise StatusError(Status.OP_UNSUPPORTED, f"hash algorithms are {', '.join(_ALGORITHMS)}")
