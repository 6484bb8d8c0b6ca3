"""Data on its way: the answer to a READ, and a WRITE of which more is to come."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from sftpd.sftp import replies
from sftpd.sftp.replies import reply_status
from sftpd.sftp.status import Status, status_for
from sftpd.ssh.open_file import Fetch, Upload

_HEAD = struct.Struct(">IBII")
HEAD_SIZE = _HEAD.size
"""Bytes that stand before a file's in a DATA reply."""


class FileData:
    """The answer to a READ whose bytes are still in the file: they are read to where they leave from."""

    __slots__ = ("_file", "_offset", "_request_id", "length")

    def __init__(self, request_id: int, file: Fetch | Upload, offset: int, length: int) -> None:
        self._request_id = request_id
        self.length = length
        """The most bytes that it has."""
        self._file = file
        self._offset = offset

    def into(self, buffers: Sequence[memoryview]) -> int:
        """Read into buffers of `length` bytes; returns how many there are, 0 at the end. Raises OSError."""
        return self._file.read_into(buffers, self._offset)

    def head(self, count: int) -> bytes:
        """What stands before `count` bytes of the file in the reply."""
        return _HEAD.pack(count + HEAD_SIZE - 4, replies.DATA, self._request_id, count)

    def reply(self) -> bytes:
        """The reply with the bytes in it, or one that says why there are none."""
        buffer = memoryview(bytearray(self.length))
        try:
            count = self.into([buffer])
        except (OSError, OverflowError) as error:
            return self.refusal(error)
        return (
            replies.reply_data(self._request_id, buffer[:count]) if count or not self.length else self.end()
        )

    def refusal(self, error: Exception) -> bytes:
        """The reply where they cannot be read."""
        return reply_status(self._request_id, *status_for(error))

    def end(self) -> bytes:
        """The reply where there are none because the file ends."""
        return reply_status(self._request_id, Status.EOF, "end of file")


@dataclass(slots=True)
class Writing:
    """A WRITE of which more is to come: where to, and the reply that it has earned so far."""

    id: int
    upload: Upload | None
    """None once a part could not be written."""
    offset: int
    reply: bytes
