"""File attributes (ATTRS, draft-ietf-secsh-filexfer-02 §5) and the `ls -l` line of a directory entry."""

import stat
from datetime import UTC, datetime, timedelta

import msgspec

from sftpd.sftp.wire import UINT32_MAX, Reader, uint32, uint64

_SIZE = 0x01
_OWNER = 0x02
_PERMISSIONS = 0x04
_TIMES = 0x08
_EXTENDED = 0x8000_0000

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RECENT = timedelta(days=365) / 2


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """What is known, or to be set, of a file; None is "not said". Pairs travel together on the wire."""

    size: int | None = None
    """Bytes."""
    owner: tuple[int, int] | None = None
    """User and group id."""
    permissions: int | None = None
    """The mode with its file type bits, as `st_mode`."""
    times: tuple[int, int] | None = None
    """Access and modification time, seconds since 1970, 32 bits unsigned."""

    @classmethod
    def of(cls, *, size: int, mode: int, atime: float, mtime: float) -> "Attributes":
        """The attributes of a file that is; times are clamped to what the wire can say.

        The owner is left out: the host's user and group ids are no partner's business.
        """
        return cls(size=size, permissions=mode, times=(_clamped(atime), _clamped(mtime)))


def _clamped(seconds: float) -> int:
    return min(max(int(seconds), 0), UINT32_MAX)


def decode(reader: Reader) -> Attributes:
    """Take ATTRS from `reader`; extended attributes and unknown flags are skipped.

    Raises ProtocolError where they are cut short.
    """
    flags = reader.uint32()
    attributes = Attributes(
        size=reader.uint64() if flags & _SIZE else None,
        owner=(reader.uint32(), reader.uint32()) if flags & _OWNER else None,
        permissions=reader.uint32() if flags & _PERMISSIONS else None,
        times=(reader.uint32(), reader.uint32()) if flags & _TIMES else None,
    )
    if flags & _EXTENDED:
        for _ in range(2 * reader.uint32()):
            reader.view()
    return attributes


def encode(attributes: Attributes) -> bytes:
    """`attributes` as ATTRS."""
    flags = 0
    fields = b""
    if attributes.size is not None:
        flags |= _SIZE
        fields += uint64(attributes.size)
    if attributes.owner is not None:
        flags |= _OWNER
        fields += uint32(attributes.owner[0]) + uint32(attributes.owner[1])
    if attributes.permissions is not None:
        flags |= _PERMISSIONS
        fields += uint32(attributes.permissions)
    if attributes.times is not None:
        flags |= _TIMES
        fields += uint32(attributes.times[0]) + uint32(attributes.times[1])
    return uint32(flags) + fields


def longname(name: bytes, attributes: Attributes, *, user: str, group: str, now: datetime) -> bytes:
    """The line that `ls -l` would print, in UTC, with the links always counted as 1.

    `user` and `group` are words the partner knows (its account and its link), never the host's.
    """
    mode = stat.filemode(attributes.permissions or 0)
    mtime = attributes.times[1] if attributes.times is not None else 0
    when = _when(datetime.fromtimestamp(mtime, UTC), now)
    return f"{mode}   1 {user:<8} {group:<8} {attributes.size or 0:>8} {when} ".encode() + name


def _when(moment: datetime, now: datetime) -> str:
    day = f"{_MONTHS[moment.month - 1]} {moment.day:>2}"
    recent = timedelta() <= now - moment < _RECENT
    return f"{day} {moment:%H:%M}" if recent else f"{day}  {moment.year}"
