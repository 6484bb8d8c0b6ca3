"""How a courier knows that a remote has what it sent: by the remote's own hash, or by reading it again."""

import hashlib
from collections.abc import Iterator

from sftpd.errors import RemoteError
from sftpd.sftp.status import Status
from sftpd.ssh.courier_messages import Proof
from sftpd.ssh.courier_replies import StatusReply
from sftpd.ssh.courier_sftp import Client

RANGE = 16 << 30
"""Bytes that a remote is asked to hash at a time where it refuses to hash a larger file whole."""

_SPEED = 16 << 20
"""Bytes a second that any remote hashes."""

_READ_LIMIT = 1 << 20
"""Bytes of a file up to which it is read again where the remote tells no hash."""

_ALGORITHM = b"sha256"


class Ranges:
    """The SHA-256 of what `update` saw: of all of it, and of each range of `length` bytes."""

    def __init__(self, length: int = RANGE) -> None:
        self.size = 0
        """Bytes seen."""
        self._length = length
        self._whole = hashlib.sha256()
        self._current = self._whole
        self._done: list[bytes] = []

    def update(self, chunk: bytes | memoryview) -> None:
        """See the bytes that come next."""
        rest = memoryview(chunk)
        while rest:
            room = self._length - self.size % self._length
            part, rest = rest[:room], rest[room:]
            self._whole.update(part)
            if self._current is not self._whole:  # it is while the first range is all there is
                self._current.update(part)
            self.size += len(part)
            if len(part) == room:
                self._done.append(self._current.digest())
                self._current = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The hash of all, in hexadecimal."""
        return self._whole.hexdigest()

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        """Offset, length and hash of each range; nothing at all is one range."""
        for number, digest in enumerate(self._done):
            yield number * self._length, self._length, digest
        start = len(self._done) * self._length
        if start < self.size or not self.size:
            yield start, self.size - start, self._current.digest()


def prove(client: Client, path: bytes, sent: Ranges) -> Proof:
    """What is known of the remote's copy, whose size is as it should be.

    Raises RemoteError where it has other bytes, and what Client raises.
    """
    hashed = _hashed_there(client, path, sent)
    return "sha256" if hashed or (sent.size <= _READ_LIMIT and _read_again(client, path, sent)) else "size"


def _hashed_there(client: Client, path: bytes, sent: Ranges) -> bool:
    """Whether the remote has told the hash of all; it is first asked for that, as WinSCP does.

    ProFTPD 1.3.8 hashes too much where the end of a range is not the end of the file.
    """
    told = client.hash_of(path, _ALGORITHM, patience=sent.size / _SPEED)
    if told is not None:
        _require_same(told.hex(), sent.sha256)
        return True
    ranges = [*sent]
    return len(ranges) > 1 and all(_range_hashed_there(client, path, *each) for each in ranges)


def _range_hashed_there(client: Client, path: bytes, start: int, length: int, digest: bytes) -> bool:
    told = client.hash_of(path, _ALGORITHM, start=start, length=length, patience=length / _SPEED)
    if told is not None:
        _require_same(told.hex(), digest.hex())
    return told is not None


def _read_again(client: Client, path: bytes, sent: Ranges) -> bool:
    digest = hashlib.sha256()
    try:
        client.read_file(path, digest.update)
    except StatusReply as reply:
        if reply.status is Status.PERMISSION_DENIED:  # a letter box: write only
            return False
        raise
    _require_same(digest.hexdigest(), sent.sha256)
    return True


def _require_same(there: str, here: str) -> None:
    if there != here:
        raise RemoteError("the server has other bytes than were sent")
