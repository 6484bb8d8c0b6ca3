"""Reading a backup, from whoever it may be: names are held to what may stand in one, sizes to what comes.

Members are folders and regular files, and nothing else: no links, no devices. No name is absolute or has `..`
in it.
"""

import hashlib
import re
import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from sftpd.audit.checkpoint import VerifierKey
from sftpd.backup.manifest import (
    INODE,
    MANIFEST,
    SIGNATURE,
    SUMMARY,
    BackupError,
    Entry,
    Summary,
    Tally,
    unseal,
)
from sftpd.files.beneath import Parts

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_SMALL = 64 * 1024
"""Bytes of a pax header at most, and of the summary and its signature."""
_NAME_LIMIT, _PATH_LIMIT = 255, 4096
_TOP = frozenset((b"sftpd.toml", b"links.d", b"state", b"links", b"keys", b"hooks"))
_CLOSING = (MANIFEST, SUMMARY, SIGNATURE)
_RECORD = re.compile(rb"([1-9][0-9]{0,4}) ([^=\n]+)=")
_TIME = re.compile(r"([0-9]{1,12})\.([0-9]{9})")

Chunks = Iterator[bytes]
Take = Callable[[Entry, Parts, Chunks], None]
"""Sees a folder, or a file with its content, in which `sha256` is not known yet."""


def read(source: BinaryIO, key: VerifierKey | None, take: Take | None = None) -> Summary:
    """Read a backup to its end; `take` sees each entry before it is known to be what was backed up.

    Returns the summary once all is shown to be so; with `key`, that it is by that key too. Raises
    BackupError: what was taken by then is not to be trusted.
    """
    tally, closing = Tally(), dict[bytes, str | bytes]()
    for entry, is_folder in _members(source):
        content = _content(source, entry.size)
        if entry.name in _CLOSING:
            closing[entry.name] = _closing(entry, content)
        elif closing:
            raise BackupError("a file after the manifest", where=_shown(entry.name))
        else:
            _take(entry, is_folder, content, tally, take)
    if tuple(closing) != _CLOSING:
        raise BackupError("it is cut off before its end, or is no backup", remedy="use another backup")
    summary = unseal(bytes(closing[SUMMARY]), bytes(closing[SIGNATURE]), key)  # type: ignore[arg-type]
    tally.require(summary)
    if closing[MANIFEST] != summary.manifest:
        raise BackupError("its manifest is not the one of its summary", where=_shown(MANIFEST))
    return summary


def _take(entry: Entry, is_folder: bool, content: Chunks, tally: Tally, take: Take | None) -> None:
    parts = _parts(entry.name)
    digest = hashlib.sha256()

    def hashed() -> Chunks:
        for chunk in content:
            digest.update(chunk)
            yield chunk

    chunks = hashed()
    if take is not None:
        take(entry if is_folder else msgspec.structs.replace(entry, sha256=""), parts, chunks)
    for _ in chunks:
        pass
    tally.add(entry if is_folder else msgspec.structs.replace(entry, sha256=digest.hexdigest()))


def _closing(entry: Entry, content: Chunks) -> str | bytes:
    """One of the last three members; of the manifest, which may be long, the hash."""
    if entry.name == MANIFEST:
        digest = hashlib.sha256()
        for chunk in content:
            digest.update(chunk)
        return digest.hexdigest()
    if entry.size > _SMALL:
        raise BackupError("too long", where=_shown(entry.name))
    return b"".join(content)


def _members(source: BinaryIO) -> Iterator[tuple[Entry, bool]]:
    """The members, and whether each is a folder; the content of each must be read before the next."""
    told: dict[str, str] = {}
    while True:
        block = _exactly(source, _BLOCK)
        if not any(block):
            _require_end(source)
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.TarError as fault:
            raise BackupError(f"damaged, or no backup: {fault}") from fault
        if info.type == tarfile.XHDTYPE:
            if not 0 < info.size <= _SMALL:
                raise BackupError("a header is too long")
            told = _records(b"".join(_content(source, info.size)))
            continue
        if info.type not in (tarfile.REGTYPE, tarfile.DIRTYPE):
            raise BackupError(
                "holds what is neither folder nor file", where=_shown(info.name.encode("utf-8", "replace"))
            )
        yield _entry(info, told), info.isdir()
        told = {}


def _require_end(source: BinaryIO) -> None:
    while rest := source.read(_CHUNK):
        if rest.strip(b"\0"):
            raise BackupError("bytes after its end")


def _entry(info: tarfile.TarInfo, told: dict[str, str]) -> Entry:
    name = told.get("path", info.name).encode("utf-8", "surrogateescape").rstrip(b"/")
    size = told.get("size", str(info.size))
    inode = told.get(INODE, "0")
    time = _TIME.fullmatch(told.get("mtime", "0.000000000"))
    if not (size.isascii() and size.isdecimal() and inode.isascii() and inode.isdecimal() and time):
        raise BackupError("a header is not one of a backup", where=_shown(name))
    if info.isdir() and int(size):
        raise BackupError("a folder with content", where=_shown(name))
    mtime_ns = int(time[1]) * 10**9 + int(time[2])
    return Entry(name, info.mode & 0o777, int(inode), mtime_ns, int(size))


def _records(raw: bytes) -> dict[str, str]:
    """The records of a pax header (POSIX.1-2001). Raises BackupError."""
    found: dict[str, str] = {}
    position = 0
    while position < len(raw):
        match = _RECORD.match(raw, position)
        end = position + int(match[1]) if match else 0
        if match is None or end > len(raw) or raw[end - 1 : end] != b"\n" or end <= match.end():
            raise BackupError("a header is damaged")
        value = raw[match.end() : end - 1]
        found[match[2].decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        position = end
    return found


def _content(source: BinaryIO, size: int) -> Chunks:
    left = size
    while left:
        chunk = _exactly(source, min(_CHUNK, left))
        left -= len(chunk)
        yield chunk
    if size % _BLOCK:
        _exactly(source, -size % _BLOCK)


def _exactly(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise BackupError("it is cut off before its end, or is no backup", remedy="use another backup")
    return data


def _parts(name: bytes) -> Parts:
    """The path of an entry. Raises BackupError for a name that may stand in no backup."""
    parts = tuple(name.split(b"/"))
    sound = all(part not in (b"", b".", b"..") and len(part) <= _NAME_LIMIT for part in parts)
    if not sound or b"\0" in name or len(name) > _PATH_LIMIT or parts[0] not in _TOP:
        raise BackupError("a name that may stand in no backup", where=_shown(name))
    return parts


def _shown(name: bytes) -> str:
    return repr(name[:200])
