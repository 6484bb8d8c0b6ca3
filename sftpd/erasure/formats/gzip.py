"""GZIP (RFC 1952): what it holds is searched by its own format, and packed again without the person.

Where several members follow each other they hold one file; a redacted one has a single member.
"""

import struct
import zlib

from sftpd.erasure.file_names import name_carries
from sftpd.erasure.formats.model import (
    Budget,
    Data,
    Findings,
    Inquiry,
    Pieces,
    UnsearchableError,
    is_zero,
    whole_file,
)
from sftpd.erasure.formats.parts import Change, Parts

_HEADER = struct.Struct("<2sBBLBB")
_CHECKSUM, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16
_PIECE = 1 << 20
_HEADER_PLACE = "name in the header"


class Gzip:
    """One compressed file."""

    name = "gzip"

    def find(self, data: Data, inquiry: Inquiry) -> Findings:
        """Return what goes of the compressed file; a name or comment of it is left out where it tells."""
        names, content = _unpacked(data, inquiry.budget)
        parts = Parts(inquiry)
        tells = _HEADER_PLACE in inquiry.places or any(
            name_carries(inquiry.identifiers, name.decode(encoding, "replace"))
            for name in names
            for encoding in ("latin-1", "utf-8")
        )
        if _HEADER_PLACE in inquiry.places:
            inquiry.note(*(name.decode("latin-1") for name in names))
        change = parts.look(_inner_name(inquiry.name, names), lambda _budget: content)
        if parts.nothing_is_left:
            return whole_file(self.name, parts.locators[0])
        locators = [*parts.locators, *([_HEADER_PLACE] if tells else [])]
        kept = b"" if tells or not names else names[0]
        return Findings(
            self.name,
            locators,
            lambda: _packed(data, kept, content, change),
            unsearched=parts.unsearched,
        )


def _inner_name(outer: bytes, names: list[bytes]) -> str:
    """A name for the content with the suffix that tells its format."""
    stem, _, suffix = outer.lower().rpartition(b".")
    if suffix == b"tgz":
        return "content.tar"
    told = stem if suffix == b"gz" and b"." in stem else b"".join(names[:1]).lower()
    _, dot, suffix = told.rpartition(b".")
    return f"content.{suffix.decode('latin-1')}" if dot and suffix.isalpha() else "content"


def _unpacked(data: Data, budget: Budget) -> tuple[list[bytes], bytes]:
    """The names and comments in the headers, and the content of all members."""
    names: list[bytes] = []
    pieces: list[bytes] = []
    size = position = 0
    while position == 0 or not is_zero(data, position):
        budget.enter()
        names += _texts(data, position)
        inflate = zlib.decompressobj(31)
        while not inflate.eof:
            packed = inflate.unconsumed_tail
            if not packed:
                packed = data[position : position + _PIECE]
                position += len(packed)
            try:
                pieces.append(inflate.decompress(packed, _PIECE))
            except zlib.error as fault:
                raise UnsearchableError("it is GZIP that is damaged") from fault
            if not (packed or pieces[-1] or inflate.eof):
                raise UnsearchableError("it is GZIP that ends before its end")
            size += len(pieces[-1])
            budget.check(size, len(data))
            budget.charge(len(pieces[-1]))
        position -= len(inflate.unused_data)
    return names, b"".join(pieces)


def _texts(data: Data, position: int) -> list[bytes]:
    """The file name and the comment in the header at `position`, as far as there are any."""
    header = data[position : position + (1 << 17)]
    if len(header) < _HEADER.size:
        raise UnsearchableError("it is GZIP that ends before its end")
    magic, method, flags, *_ = _HEADER.unpack_from(header)
    if (magic, method) != (b"\x1f\x8b", 8):
        raise UnsearchableError("it has bytes after its end")
    rest = header[_HEADER.size :]
    if flags & _EXTRA:
        rest = rest[2 + int.from_bytes(rest[:2], "little") :]
    texts = []
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            text, _, rest = rest.partition(b"\0")
            texts.append(text)
    return texts


def _packed(data: Data, name: bytes, content: bytes, change: Change | None) -> Pieces:
    """The content without the person, under a header with the time of the old one."""
    _, _, _, time, extra_flags, system = _HEADER.unpack(data[: _HEADER.size])
    flags = _NAME if name else 0
    yield _HEADER.pack(b"\x1f\x8b", 8, flags, time, extra_flags, system) + (name + b"\0" if name else b"")
    deflate = zlib.compressobj(wbits=-15)
    checksum = size = 0
    for piece in [content] if change is None or change.rest is None else change.rest():
        checksum, size = zlib.crc32(piece, checksum), size + len(piece)
        yield deflate.compress(piece)
    yield deflate.flush() + struct.pack("<2L", checksum, size & 0xFFFFFFFF)
