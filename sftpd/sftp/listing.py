"""Directory listings: entries with the line that `ls -l` would print, in NAME replies of a bounded size."""

import stat
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sftpd.sftp.attributes import PERMISSIONS, SIZE, TIMES, clamped
from sftpd.sftp.replies import reply_encoded_names
from sftpd.sftp.status import StatusError

_NAMES_LIMIT = 34_000
"""Bytes of a packet that every client must take (§3); longer ones gain nothing measurable in listings."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RECENT = timedelta(days=365) / 2
_KNOWN_LIMIT = 4096

_LENGTH = struct.Struct(">I")
_ATTRIBUTES = struct.Struct(">IQIII")


class Found(Protocol):
    """What stat tells of a file."""

    @property
    def st_size(self) -> int:
        """Bytes."""
        ...

    @property
    def st_mode(self) -> int:
        """Type and permissions."""
        ...

    @property
    def st_atime(self) -> float:
        """Seconds since 1970."""
        ...

    @property
    def st_mtime(self) -> float:
        """Seconds since 1970."""
        ...


class EntryEncoder:
    """Encodes the entries of directories as NAME has them, with what many of them share made once.

    Times are told in UTC, and links always counted as 1. `user` and `group` are words the partner knows (its
    account and its link), never the host's.
    """

    def __init__(self, user: str, group: str, now: datetime) -> None:
        self._owner = f"   1 {user:<8} {group:<8} ".encode()
        self._now = now
        self._modes: dict[int, bytes] = {}
        self._minutes: dict[int, bytes] = {}

    def encode(self, name: bytes, found: Found) -> bytes:
        """An entry: name, line and attributes."""
        size, mode, mtime = found.st_size, found.st_mode, clamped(found.st_mtime)
        line = b"%s%8d %s %s" % (
            self._modes.get(mode) or self._mode(mode),
            size,
            self._minutes.get(mtime // 60) or self._minute(mtime // 60),
            name,
        )
        known = _ATTRIBUTES.pack(SIZE | PERMISSIONS | TIMES, size, mode, clamped(found.st_atime), mtime)
        return b"".join((_LENGTH.pack(len(name)), name, _LENGTH.pack(len(line)), line, known))

    def _mode(self, mode: int) -> bytes:
        self._modes[mode] = told = stat.filemode(mode).encode() + self._owner
        return told

    def _minute(self, minute: int) -> bytes:
        moment = datetime.fromtimestamp(minute * 60, UTC)
        day = f"{_MONTHS[moment.month - 1]} {moment.day:>2}"
        recent = timedelta() <= self._now - moment < _RECENT
        if len(self._minutes) >= _KNOWN_LIMIT:
            self._minutes.clear()
        told = f"{day} {moment:%H:%M}" if recent else f"{day}  {moment.year}"
        self._minutes[minute] = told.encode()
        return self._minutes[minute]


class NameBatches:
    """Hands out the entries of one listing, encoded, in NAME replies; they are drawn as needed."""

    def __init__(self, entries: Iterator[bytes], limit: int = _NAMES_LIMIT) -> None:
        self._entries = entries
        self._room = limit - len(reply_encoded_names(0, []))
        self._held = b""
        self._ahead: list[bytes] | None = None
        self._fault: OSError | StatusError | None = None

    def look_ahead(self) -> None:
        """Gather the entries of the next reply, before it is asked for."""
        try:
            self._ahead = self._gather() if self._ahead is None else self._ahead
        except (OSError, StatusError) as fault:
            self._fault = fault

    def next_reply(self, request_id: int) -> bytes | None:
        """The next NAME reply, or None when all entries have been told. Raises what drawing them raised."""
        if self._fault is not None:
            raise self._fault
        batch = self._gather() if self._ahead is None else self._ahead
        self._ahead = None
        return reply_encoded_names(request_id, batch) if batch else None

    def _gather(self) -> list[bytes]:
        batch, room = ([self._held], self._room - len(self._held)) if self._held else ([], self._room)
        self._held = b""
        for entry in self._entries:
            room -= len(entry)
            if room < 0 and batch:
                self._held = entry
                break
            batch.append(entry)
        return batch
