"""A ZIP archive (APPNOTE 6.3) whose members are read strictly, and written anew without some or with others.

What is not changed keeps its local record and its central record byte for byte, offsets apart.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from sftpd.erasure.formats.model import Budget, Data, UnsearchableError, span
from sftpd.erasure.formats.parts import Change, DataFile

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DESCRIBED = 0x8
"""Sizes and checksum follow the data, in at most _DESCRIPTOR bytes."""
_DESCRIPTOR = 24
_MEMBERS_LIMIT = 0xFFFF
_ZIP64 = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One member: what the central directory says, where its data lies, and its central record."""

    info: zipfile.ZipInfo
    start: int
    """Of its local record."""
    data_start: int
    end: int
    """Of its local record, with the descriptor that may follow the data."""
    central: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """Its path in the archive."""
        return self.info.filename


class Archive:
    """The members of an archive, in the order of its central directory."""

    def __init__(self, data: Data) -> None:
        """Raises UnsearchableError where it is damaged, or holds bytes that are in no member."""
        self._data = data
        try:
            with zipfile.ZipFile(DataFile(data)) as opened:
                infos, self.comment = opened.infolist(), opened.comment
                records = list(_central_records(data, opened.start_dir, len(infos)))
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as fault:
            raise UnsearchableError("it is a ZIP archive that is damaged") from fault
        if opened.start_dir + sum(map(len, records)) + _END.size + len(self.comment) != len(data):
            raise UnsearchableError("it has bytes beside its directory that belong to none")
        self.members = _members(data, infos, records, opened.start_dir)

    def read(self, member: Member, budget: Budget) -> bytes:
        """Return a member's content.

        Raises UnsearchableError where it cannot be read, BombError where it unpacks to too much.
        """
        info = member.info
        if info.flag_bits & _ENCRYPTED:
            raise UnsearchableError("it is encrypted")
        budget.unpack(info.file_size, info.compress_size)
        packed = self._data[member.data_start : member.data_start + info.compress_size]
        if info.compress_type == _STORED:
            content = packed
        elif info.compress_type == _DEFLATED:
            content = _inflated(packed, info.file_size)
        else:
            raise UnsearchableError(f"compression method {info.compress_type} is not read")
        if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise UnsearchableError("its size or checksum is wrong")
        return content

    def rewritten(self, changes: Mapping[int, Change], comment: bytes) -> Iterator[bytes]:
        """The archive with members changed or removed, by their number in `members`."""
        order = sorted(range(len(self.members)), key=lambda number: self.members[number].start)
        central: dict[int, bytes] = {}
        position = 0
        for number in order:
            member, change = self.members[number], changes.get(number)
            if change is None:
                central[number] = _at(position, member.central)
                yield from span(self._data, member.start, member.end)
                position += member.end - member.start
            elif change.rest is not None:
                content = b"".join(change.rest())
                header, packed, record = self._packed(member, content)
                central[number] = _at(position, record)
                yield header
                yield packed
                position += len(header) + len(packed)
        directory = b"".join(central[number] for number in sorted(central))
        yield directory
        count = len(central)
        yield _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), position, len(comment)) + comment

    def _packed(self, member: Member, content: bytes) -> tuple[bytes, bytes, bytes]:
        """The local header, the data and the central record of a member with other content."""
        method, packed = _STORED, content
        if member.info.compress_type != _STORED:
            deflate = zlib.compressobj(wbits=-15)
            method, packed = _DEFLATED, deflate.compress(content) + deflate.flush()
        flags = member.info.flag_bits & ~_DESCRIBED
        said = (zlib.crc32(content), len(packed), len(content))
        raw = self._data[member.start : member.data_start]
        _, version, _, _, time, date, _, _, _, name, extra = _LOCAL.unpack_from(raw)
        extras = _without_zip64(raw[_LOCAL.size + name : _LOCAL.size + name + extra])
        header = _LOCAL.pack(b"PK\x03\x04", version, flags, method, time, date, *said, name, len(extras))
        record = bytearray(member.central)
        struct.pack_into("<2H", record, 8, flags, method)
        struct.pack_into("<3L", record, 16, *said)
        return header + raw[_LOCAL.size : _LOCAL.size + name] + extras, packed, bytes(record)


def _central_records(data: Data, start: int, count: int) -> Iterator[bytes]:
    position = start
    for _ in range(count):
        fields = _CENTRAL.unpack(data[position : position + _CENTRAL.size])
        name, extra, comment = fields[10:13]
        end = position + _CENTRAL.size + name + extra + comment
        record = data[position:end]
        if fields[0] != b"PK\x01\x02" or len(record) != end - position:
            raise UnsearchableError("it is a ZIP archive that is damaged")
        extras = record[_CENTRAL.size + name : _CENTRAL.size + name + extra]
        if _without_zip64(extras) != extras or 0xFFFFFFFF in fields[8:10] or fields[16] == 0xFFFFFFFF:
            raise UnsearchableError("it is a ZIP64 archive")
        yield record
        position = end


def _members(data: Data, infos: list[zipfile.ZipInfo], records: list[bytes], directory: int) -> list[Member]:
    """Join what is said of each member with where it lies; each byte must be in one member."""
    if len(infos) > _MEMBERS_LIMIT:
        raise UnsearchableError(f"it has more than {_MEMBERS_LIMIT} members")
    starts = sorted(info.header_offset for info in infos)
    if (starts[0] if starts else directory) != 0:
        raise UnsearchableError("it has bytes before its first member")
    if len(set(starts)) != len(starts):
        raise UnsearchableError("its members overlap")
    followed_by = dict(pairwise([*starts, directory]))
    members = []
    for info, record in zip(infos, records, strict=True):
        start = info.header_offset
        header = data[start : start + _LOCAL.size]
        if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
            raise UnsearchableError("a member is not where its directory says")
        name_size, extra_size = _LOCAL.unpack(header)[9:11]
        data_start = start + _LOCAL.size + name_size + extra_size
        if data[start + _LOCAL.size : data_start - extra_size] != record[_CENTRAL.size :][:name_size]:
            raise UnsearchableError("a member's name is not the one in its directory")
        end = followed_by[start]
        gap = end - data_start - info.compress_size
        if gap < 0:
            raise UnsearchableError("its members overlap")
        if gap > (_DESCRIPTOR if info.flag_bits & _DESCRIBED else 0):
            raise UnsearchableError("it has bytes between its members that belong to none")
        members.append(Member(info, start, data_start, end, record))
    return members


def _inflated(packed: bytes, size: int) -> bytes:
    """Inflate exactly the `size` bytes that are promised."""
    inflate = zlib.decompressobj(-15)
    try:
        content = inflate.decompress(packed, size + 1)
    except zlib.error as fault:
        raise UnsearchableError("its compressed data is damaged") from fault
    if len(content) > size or not inflate.eof or inflate.unused_data:
        raise UnsearchableError("its compressed data is not what its size says")
    return content


def _without_zip64(extras: bytes) -> bytes:
    kept = b""
    while len(extras) >= 4:
        kind, size = struct.unpack_from("<2H", extras)
        kept += b"" if kind == _ZIP64 else extras[: 4 + size]
        extras = extras[4 + size :]
    return kept + extras


def _at(offset: int, record: bytes) -> bytes:
    """A central record whose member lies at another offset."""
    return record[:42] + struct.pack("<L", offset) + record[46:]
