"""The requests of SFTP version 3 and the table that says of each its name, its fields and what it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from sftpd.sftp import attributes
from sftpd.sftp.attributes import Attributes
from sftpd.sftp.wire import Reader

INIT = 1
EXTENDED = 200


class Permission(StrEnum):
    """What an account may be allowed to do in a folder."""

    LIST = "list"
    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    RENAME = "rename"
    MKDIR = "mkdir"
    SETSTAT = "setstat"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"


class OpenFlag(IntEnum):
    """The pflags of OPEN (§6.3): bits, which combine to plain integers."""

    READ = 0x01
    WRITE = 0x02
    APPEND = 0x04
    CREATE = 0x08
    TRUNCATE = 0x10
    EXCLUSIVE = 0x20


CHANGING = OpenFlag.WRITE | OpenFlag.APPEND | OpenFlag.CREATE | OpenFlag.TRUNCATE
"""The flags of which any makes an OPEN one for writing."""


class Request(msgspec.Struct, frozen=True):
    """Base of the requests. Paths and handles are the partner's bytes, unchecked."""


class Open(Request, frozen=True):
    """Open a file and answer with a handle; `flags` is a set of OpenFlag, with unknown bits kept."""

    path: bytes
    flags: int
    attributes: Attributes


class Close(Request, frozen=True):
    """Give up a handle of a file or directory."""

    handle: bytes


class Read(Request, frozen=True):
    """Read at most `length` bytes at `offset`."""

    handle: bytes
    offset: int
    length: int


class Write(Request, frozen=True):
    """Write `data`, a window on the packet, at `offset`; the packet may have `more` of it."""

    handle: bytes
    offset: int
    data: memoryview
    more: bool = False


class Lstat(Request, frozen=True):
    """Tell a path's attributes; symbolic links are not followed."""

    path: bytes


class Fstat(Request, frozen=True):
    """Tell an open file's attributes."""

    handle: bytes


class Setstat(Request, frozen=True):
    """Change a path's attributes."""

    path: bytes
    attributes: Attributes


class Fsetstat(Request, frozen=True):
    """Change an open file's attributes."""

    handle: bytes
    attributes: Attributes


class Opendir(Request, frozen=True):
    """Open a directory for listing."""

    path: bytes


class Readdir(Request, frozen=True):
    """Tell the next entries of an open directory."""

    handle: bytes


class Remove(Request, frozen=True):
    """Remove a file."""

    path: bytes


class Mkdir(Request, frozen=True):
    """Make a directory."""

    path: bytes
    attributes: Attributes


class Rmdir(Request, frozen=True):
    """Remove an empty directory."""

    path: bytes


class Realpath(Request, frozen=True):
    """Tell a path's absolute form."""

    path: bytes


class Stat(Request, frozen=True):
    """Tell a path's attributes; symbolic links are followed."""

    path: bytes


class Rename(Request, frozen=True):
    """Rename a path; fails where `new` exists."""

    old: bytes
    new: bytes


class Readlink(Request, frozen=True):
    """Tell where a symbolic link points."""

    path: bytes


class Symlink(Request, frozen=True):
    """Make a symbolic link `path` that points to `target`: OpenSSH's order, which is not the draft's."""

    target: bytes
    path: bytes


class PosixRename(Request, frozen=True):
    """Rename a path; replaces `new` where it exists."""

    old: bytes
    new: bytes


class Statvfs(Request, frozen=True):
    """Tell of the file system that holds a path."""

    path: bytes


class Fstatvfs(Request, frozen=True):
    """Tell of the file system that holds an open file."""

    handle: bytes


class Fsync(Request, frozen=True):
    """Make durable what was written to an open file."""

    handle: bytes


class Hardlink(Request, frozen=True):
    """Make `new` a second name of the file `old`."""

    old: bytes
    new: bytes


class Limits(Request, frozen=True):
    """Tell the longest packet, read and write, and how many handles may be open."""


class HomeDirectory(Request, frozen=True):
    """Tell a user's home directory."""

    user: bytes


class Lsetstat(Request, frozen=True):
    """Change a path's attributes; symbolic links are not followed."""

    path: bytes
    attributes: Attributes


class ExpandPath(Request, frozen=True):
    """Tell the absolute form of a path that may begin with `~` or `~user`."""

    pattern: bytes


class CopyData(Request, frozen=True):
    """Copy `length` bytes, 0 for all up to the end, from one open file to another."""

    read_handle: bytes
    read_offset: int
    length: int
    write_handle: bytes
    write_offset: int


class SpaceAvailable(Request, frozen=True):
    """Tell how much room there is on the device that holds a path, and for this user."""

    path: bytes


class CheckFileHandle(Request, frozen=True):
    """Hash an open file; `algorithms` is a list with commas, the best one first.

    `length` 0 is all up to the end; `block_size` 0 is one hash of all, else there is one of each block.
    """

    handle: bytes
    algorithms: bytes
    start: int
    length: int
    block_size: int


class CheckFileName(Request, frozen=True):
    """Hash the file at a path; the other fields are those of CheckFileHandle."""

    path: bytes
    algorithms: bytes
    start: int
    length: int
    block_size: int


R = TypeVar("R", bound=Request)
Permissions = frozenset[Permission]


@dataclass(frozen=True, slots=True)
class RequestSpec(Generic[R]):
    """One row of the table: `fields` take the fields of `kind` from the wire, in order.

    They find a reader behind the request's id and extension name, and raise ProtocolError where it ends too
    soon. `name` is OpenSSH's word for the request (`sftp-server -Q requests`).
    """

    name: str
    kind: type[R]
    fields: tuple[Callable[[Reader], Any], ...]
    permissions: Callable[[R], Permissions]
    """What a request needs in the folder of each path or handle it names."""
    besides: Mapping[str, Permissions] = field(default_factory=dict)
    """What it needs besides in the folder of one of them, by the field that names it."""


def _needs(*permissions: Permission) -> Callable[[Request], Permissions]:
    constant = frozenset(permissions)
    return lambda _request: constant


def _flags_need(flags: int) -> Permissions:
    needed = {Permission.WRITE} if flags & CHANGING else {Permission.READ}
    if flags & OpenFlag.READ:
        needed.add(Permission.READ)
    return frozenset(needed)


_FLAGS_NEED = tuple(map(_flags_need, range(max(OpenFlag) << 1)))


def _open_needs(request: Open) -> Permissions:
    return _FLAGS_NEED[request.flags % len(_FLAGS_NEED)]


def _setting_needs(request: Setstat | Fsetstat | Lsetstat) -> Permissions:
    """Another size is another content."""
    return _SETTING if request.attributes.size is None else _CUTTING


_P = Permission
_SETTING = frozenset({_P.SETSTAT})
_CUTTING = frozenset({_P.SETSTAT, _P.WRITE})
_string, _uint32, _uint64, _view = Reader.string, Reader.uint32, Reader.uint64, Reader.view
_attributes = attributes.decode
_range = (_string, _uint64, _uint64, _uint32)
_copying = {"read_handle": frozenset({_P.READ}), "write_handle": frozenset({_P.WRITE})}

REQUESTS: dict[int, RequestSpec[Any]] = {
    3: RequestSpec("open", Open, (_string, _uint32, _attributes), _open_needs),
    4: RequestSpec("close", Close, (_string,), _needs()),
    5: RequestSpec("read", Read, (_string, _uint64, _uint32), _needs(_P.READ)),
    6: RequestSpec("write", Write, (_string, _uint64, _view), _needs(_P.WRITE)),
    7: RequestSpec("lstat", Lstat, (_string,), _needs(_P.LIST)),
    8: RequestSpec("fstat", Fstat, (_string,), _needs(_P.LIST)),
    9: RequestSpec("setstat", Setstat, (_string, _attributes), _setting_needs),
    10: RequestSpec("fsetstat", Fsetstat, (_string, _attributes), _setting_needs),
    11: RequestSpec("opendir", Opendir, (_string,), _needs(_P.LIST)),
    12: RequestSpec("readdir", Readdir, (_string,), _needs(_P.LIST)),
    13: RequestSpec("remove", Remove, (_string,), _needs(_P.DELETE)),
    14: RequestSpec("mkdir", Mkdir, (_string, _attributes), _needs(_P.MKDIR)),
    15: RequestSpec("rmdir", Rmdir, (_string,), _needs(_P.DELETE)),
    16: RequestSpec("realpath", Realpath, (_string,), _needs()),
    17: RequestSpec("stat", Stat, (_string,), _needs(_P.LIST)),
    18: RequestSpec("rename", Rename, (_string, _string), _needs(_P.RENAME)),
    19: RequestSpec("readlink", Readlink, (_string,), _needs(_P.LIST)),
    20: RequestSpec("symlink", Symlink, (_string, _string), _needs(_P.SYMLINK)),
}
"""Every request of the draft but INIT and EXTENDED, by its type."""

EXTENSIONS: dict[bytes, RequestSpec[Any]] = {
    b"posix-rename@openssh.com": RequestSpec(
        "posix-rename", PosixRename, (_string, _string), _needs(_P.RENAME)
    ),
    b"statvfs@openssh.com": RequestSpec("statvfs", Statvfs, (_string,), _needs(_P.LIST)),
    b"fstatvfs@openssh.com": RequestSpec("fstatvfs", Fstatvfs, (_string,), _needs(_P.LIST)),
    b"fsync@openssh.com": RequestSpec("fsync", Fsync, (_string,), _needs(_P.WRITE)),
    b"hardlink@openssh.com": RequestSpec("hardlink", Hardlink, (_string, _string), _needs(_P.HARDLINK)),
    b"lsetstat@openssh.com": RequestSpec("lsetstat", Lsetstat, (_string, _attributes), _setting_needs),
    b"limits@openssh.com": RequestSpec("limits", Limits, (), _needs()),
    b"expand-path@openssh.com": RequestSpec("expand-path", ExpandPath, (_string,), _needs()),
    b"copy-data": RequestSpec(
        "copy-data", CopyData, (_string, _uint64, _uint64, _string, _uint64), _needs(), _copying
    ),
    b"home-directory": RequestSpec("home-directory", HomeDirectory, (_string,), _needs()),
    b"check-file-handle": RequestSpec(
        "check-file-handle", CheckFileHandle, (_string, *_range), _needs(_P.READ)
    ),
    b"check-file-name": RequestSpec("check-file-name", CheckFileName, (_string, *_range), _needs(_P.READ)),
    b"space-available": RequestSpec("space-available", SpaceAvailable, (_string,), _needs(_P.LIST)),
}
"""Every extended request that is served, by its name on the wire."""

SPECS: dict[type[Request], RequestSpec[Any]] = {
    spec.kind: spec for spec in (*REQUESTS.values(), *EXTENSIONS.values())
}
"""The same rows, by the class of the request."""

_PATHS = ("path", "old", "new")
_HANDLES = ("handle", "read_handle", "write_handle")
_NONE: Permissions = frozenset()

NAMING = {
    kind: tuple(
        (field, field in _PATHS, spec.besides.get(field, _NONE))
        for field in kind.__struct_fields__
        if field in (*_PATHS, *_HANDLES)
    )
    for kind, spec in SPECS.items()
}
"""The fields of each request that name a path, or else a handle, and what is needed there besides."""
