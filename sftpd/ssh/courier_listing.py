"""What a courier lists: the files of a directory, and of those in it, within bounds that no server widens."""

import heapq
import stat
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from sftpd.exchange.remote import DEPTH_LIMIT
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.status import Status
from sftpd.ssh import courier_messages as m
from sftpd.ssh.courier_replies import StatusReply
from sftpd.ssh.courier_sftp import Client

_DIRECTORIES = 10_000
"""Directories that one listing goes into."""
_ITSELF = (b".", b"..")
_PATH_LIMIT = 1024
"""Bytes of a path in a listing."""


class Found(NamedTuple):
    """The files of a listing, in its order, and how many it does not name."""

    files: list[m.Entry]
    left_out: int


def find(client: Client, order: m.ListDirectory) -> Found:
    """List as `exchange.remote.Look` says.

    Raises as Client does for the directory itself, not for those in it.
    """
    walk = _Walk(client, order)
    last = None if order.after is None else walk.key(order.after)
    behind = (entry for entry in walk.entries() if last is None or walk.key(entry) > last)
    files = heapq.nsmallest(order.limit, walk.counted(behind), key=walk.key)
    return Found(files, walk.left_out + walk.found - len(files))


class _Walk:
    """Goes through directories, those nearest to the first one before others."""

    def __init__(self, client: Client, order: m.ListDirectory) -> None:
        self._client = client
        self._order = order
        self._top = order.path.rstrip(b"/") + b"/"
        self.found = 0
        self.left_out = 0

    def key(self, entry: m.Entry) -> tuple[int, bytes]:
        """What comes first in the order that was asked for."""
        return (entry.mtime if self._order.oldest_first else 0, entry.name)

    def counted(self, entries: Iterator[m.Entry]) -> Iterator[m.Entry]:
        """The same, counted in `found`."""
        for entry in entries:
            self.found += 1
            yield entry

    def entries(self) -> Iterator[m.Entry]:
        """Every file that can be named; what cannot be is counted in `left_out`."""
        ahead = deque([b""])
        gone_into = 0
        while ahead and gone_into < _DIRECTORIES:
            directory = ahead.popleft()
            gone_into += 1
            try:
                for name, told in self._client.names(self._top + directory):
                    path = directory + name
                    if _is_directory(told) and self._order.folders:
                        if name not in _ITSELF and self._fits(name, path):
                            yield m.Entry(path, 0, 0)
                    elif _is_directory(told):
                        if self._goes_into(name, path):
                            ahead.append(path + b"/")
                    elif not self._order.folders and (entry := self._entry(name, path, told)) is not None:
                        yield entry
            except StatusReply as reply:
                if self._order.folders and reply.status is Status.NO_SUCH_FILE:
                    return
                if not directory:
                    raise
                self.left_out += 1
        self.left_out += len(ahead)

    def _goes_into(self, name: bytes, path: bytes) -> bool:
        return self._order.recursive and name not in _ITSELF and self._fits(name, path + b"/")

    def _entry(self, name: bytes, path: bytes, told: Attributes) -> m.Entry | None:
        """A file of a listing; None for what is no file, or one of which too little is told."""
        kind = told.permissions
        if name in _ITSELF or not (kind is None or stat.S_ISREG(kind)) or not self._fits(name, path):
            return None
        if kind is None or told.size is None or told.size > m.SIZE_LIMIT:
            self.left_out += 1
            return None
        return m.Entry(path, told.size, told.times[1] if told.times else 0)

    def _fits(self, name: bytes, path: bytes) -> bool:
        """Whether a file can have this name here, and lies no deeper than is looked."""
        plain = 1 <= len(name) <= m.NAME_LIMIT and b"/" not in name and b"\0" not in name
        fits = plain and len(path) <= _PATH_LIMIT and path.count(b"/") < DEPTH_LIMIT
        self.left_out += not fits
        return fits


def _is_directory(told: Attributes) -> bool:
    return told.permissions is not None and stat.S_ISDIR(told.permissions)
