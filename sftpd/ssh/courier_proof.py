"""How a courier knows that a remote has what it sent: by the remote's own hash, or by reading it again."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from sftpd.errors import ChangedThereError, RemoteFailedError, RemoteRefusedError
from sftpd.exchange.remote import Proof
from sftpd.link.model import Ask, Handling
from sftpd.sftp.status import Status
from sftpd.ssh.courier_replies import StatusReply
from sftpd.ssh.courier_sftp import Client

RANGE = 16 << 30
"""Bytes that a remote is asked to hash at a time where it refuses to hash a larger file whole."""

_SPEED = 16 << 20
"""Bytes a second that any remote hashes."""

_ALGORITHM = b"sha256"
_NOTHING = -1
"""Less than any file has: none is read again."""


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


class Known(NamedTuple):
    """The size and hash (hexadecimal) of bytes that were not seen."""

    size: int
    sha256: str


def can_tell(client: Client, size: int, *, ask: Ask, read_limit: int) -> bool:
    """Whether `is_same` may tell something of `size` bytes."""
    return size <= read_limit or ask == "always" or (ask == "offered" and client.hashes)


def is_same(client: Client, path: bytes, seen: Ranges | Known, *, ask: Ask, read_limit: int) -> bool | None:
    """Whether the remote's copy, whose size is as it should be, has the bytes that were seen.

    None where that cannot be told: the remote tells no hash, or is not to be asked for one, and the copy is
    longer than `read_limit` or may not be read. Raises what Client raises.
    """
    hashed = None if ask == "never" else _hashed_there(client, path, seen, unoffered=ask == "always")
    if hashed is None and seen.size <= read_limit:
        return _read_again(client, path, seen)
    return hashed


def prove(client: Client, path: bytes, sent: Ranges, handling: Handling, *, seen: bool = True) -> Proof:
    """What is known of the remote's copy, whose size is as it should be, or was not `seen`.

    Raises RemoteFailedError where it has other bytes, RemoteRefusedError where it must be hashed and cannot
    be, and what Client raises.
    """
    least: Proof = "size" if seen else "answer"
    if handling.confirm == "size":
        return least
    same = None
    if seen:
        same = is_same(client, path, sent, ask=handling.check_file, read_limit=handling.confirm_limit)
    if same is False:
        raise RemoteFailedError("the server has other bytes than were sent")
    if same is None and handling.confirm == "hash-required":
        raise RemoteRefusedError(
            "the server tells no hash, and the file is longer than confirm_limit or may not be read",
            remedy='raise confirm_limit, or set confirm to "hash" or "size"',
        )
    return "sha256" if same else least


def require_read(client: Client, path: bytes, read: Known, ask: Ask) -> None:
    """See that what was read is what the remote has, where it tells hashes.

    Raises ChangedThereError, and what Client raises.
    """
    if is_same(client, path, read, ask=ask, read_limit=_NOTHING) is False:
        raise ChangedThereError("the file changed while it was read")


def _hashed_there(client: Client, path: bytes, seen: Ranges | Known, *, unoffered: bool) -> bool | None:
    """Whether the remote tells the same hash of all; it is first asked for that, as WinSCP does.

    ProFTPD 1.3.8 hashes too much where the end of a range is not the end of the file.
    """
    if not (unoffered or client.hashes):
        return None
    told = client.hash_of(path, _ALGORITHM, patience=seen.size / _SPEED)
    if told is not None:
        return told.hex() == seen.sha256
    ranges = [] if isinstance(seen, Known) else [*seen]
    if len(ranges) <= 1:
        return None
    for start, length, digest in ranges:
        told = client.hash_of(path, _ALGORITHM, start=start, length=length, patience=length / _SPEED)
        if told != digest:
            return None if told is None else False
    return True


def _read_again(client: Client, path: bytes, seen: Ranges | Known) -> bool | None:
    digest = hashlib.sha256()
    try:
        client.read_file(path, digest.update, seen.size, to_the_end=False)
    except StatusReply as reply:
        if reply.status is Status.PERMISSION_DENIED:  # a letter box: write only
            return None
        raise
    return digest.hexdigest() == seen.sha256
