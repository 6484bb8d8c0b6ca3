"""File attributes (ATTRS, draft-ietf-secsh-filexfer-02 §5)."""

import struct

import msgspec

from sftpd.sftp.wire import UINT32_MAX, Reader

SIZE = 0x01
_OWNER = 0x02
PERMISSIONS = 0x04
TIMES = 0x08
_EXTENDED = 0x8000_0000
_SHAPES = ((SIZE, "Q"), (_OWNER, "II"), (PERMISSIONS, "I"), (TIMES, "II"))
_FORMS = tuple(
    struct.Struct(">I" + "".join(shape for flag, shape in _SHAPES if flag & flags)) for flags in range(16)
)
"""The form of ATTRS, by their flags."""


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
        return cls(size=size, permissions=mode, times=(clamped(atime), clamped(mtime)))


def clamped(seconds: float) -> int:
    """A time as the wire can tell it."""
    whole = int(seconds)
    return whole if 0 <= whole <= UINT32_MAX else 0 if whole < 0 else UINT32_MAX


def decode(reader: Reader) -> Attributes:
    """Take ATTRS from `reader`; extended attributes and unknown flags are skipped.

    Raises ProtocolError where they are cut short.
    """
    flags = reader.uint32()
    attributes = Attributes(
        size=reader.uint64() if flags & SIZE else None,
        owner=(reader.uint32(), reader.uint32()) if flags & _OWNER else None,
        permissions=reader.uint32() if flags & PERMISSIONS else None,
        times=(reader.uint32(), reader.uint32()) if flags & TIMES else None,
    )
    if flags & _EXTENDED:
        for _ in range(2 * reader.uint32()):
            reader.view()
    return attributes


def encode(attributes: Attributes) -> bytes:
    """`attributes` as ATTRS."""
    flags = 0
    fields: tuple[int, ...] = ()
    if attributes.size is not None:
        flags |= SIZE
        fields += (attributes.size,)
    if attributes.owner is not None:
        flags |= _OWNER
        fields += attributes.owner
    if attributes.permissions is not None:
        flags |= PERMISSIONS
        fields += (attributes.permissions,)
    if attributes.times is not None:
        flags |= TIMES
        fields += attributes.times
    return _FORMS[flags].pack(flags, *fields)
