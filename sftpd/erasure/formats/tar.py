"""TAR (ustar, GNU and pax): members are searched each by its own format; what stays is copied byte for byte.

A hard link to a member that goes, goes with it. Sparse members are not read.
"""

import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from sftpd.erasure.formats.model import (
    Budget,
    Data,
    Findings,
    Inquiry,
    UnsearchableError,
    is_zero,
    span,
    whole_file,
)
from sftpd.erasure.formats.parts import Change, DataFile, Parts

_ALL = "all members"
_BLOCK = tarfile.BLOCKSIZE
_NUMBERS = {"mtime", "atime", "ctime", "uid", "gid", "size"}
_WITHOUT_CONTENT = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
)
_SIZE, _CHECKSUM = slice(124, 136), slice(148, 156)


class Tar:
    """An archive of files, not compressed."""

    name = "tar"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return what goes of the members, or whole members; an archive that loses all goes whole."""
        members, end = _members(data)
        parts = Parts(inquiry)
        edits: list[_Edit] = []
        gone: set[str] = set()
        starts = [*(member.offset for member in members), end]
        for member, following in zip(members, starts[1:], strict=True):
            if member.islnk() and member.linkname in gone:
                parts.locators.append("hard link to what goes")
                change: Change | None = Change()
            else:
                load = None if member.type in _WITHOUT_CONTENT else partial(_read, data, member)
                change = parts.look(member.name, load, *_remarks(member))
            if change is not None:
                edits.append(_Edit(member, following, change))
                gone |= {member.name} if change.rest is None else set()
        if (parts.nothing_is_left and not inquiry.apart) or _ALL in inquiry.places:
            return whole_file(self.name, _ALL)
        return Findings(
            self.name, parts.locators, lambda: _rewritten(data, edits), unsearched=parts.unsearched
        )


class _Edit(NamedTuple):
    member: tarfile.TarInfo
    end: int
    change: Change


def _members(data: Data) -> tuple[list[tarfile.TarInfo], int]:
    """The members, and where the zero blocks behind them start."""
    try:
        with tarfile.open(fileobj=DataFile(data), mode="r:", errorlevel=2) as opened:
            members = opened.getmembers()
            end = opened.offset
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError) as fault:
        raise UnsearchableError("it is a TAR archive that is damaged") from fault
    if end > len(data):
        raise UnsearchableError("it is a TAR archive that ends before its end")
    if not is_zero(data, end):
        raise UnsearchableError("it has bytes after its last member")
    return members, end


def _remarks(member: tarfile.TarInfo) -> Sequence[str]:
    """What a member says beside its content."""
    told = (str(value) for key, value in member.pax_headers.items() if key not in _NUMBERS)
    return (member.linkname, member.uname, member.gname, *told)


def _read(data: Data, member: tarfile.TarInfo, budget: Budget) -> bytes:
    if member.issparse() or "size" in member.pax_headers or not member.isreg():
        raise UnsearchableError("it is sparse, or of a kind that is not read")
    budget.unpack(member.size, member.size)
    return data[member.offset_data : member.offset_data + member.size]


def _rewritten(data: Data, edits: Sequence[_Edit]) -> Iterator[bytes]:
    position = 0
    for member, end, change in edits:
        yield from span(data, position, member.offset)
        if change.rest is not None:
            content = b"".join(change.rest())
            header = bytearray(data[member.offset_data - _BLOCK : member.offset_data])
            header[_SIZE] = b"%011o\0" % len(content)
            header[_CHECKSUM] = b" " * 8
            header[_CHECKSUM] = b"%06o\0 " % sum(header)
            yield data[member.offset : member.offset_data - _BLOCK]
            yield bytes(header)
            yield content + bytes(-len(content) % _BLOCK)
        position = end
    yield from span(data, position, len(data))
