"""Landlock by its three system calls: what a process may still open, and where it may still connect."""

import ctypes
import os
import stat
from collections.abc import Iterable
from enum import IntFlag

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_RULE_PATH, _RULE_PORT = 1, 2


class Access(IntFlag):
    """LANDLOCK_ACCESS_FS_* of linux/landlock.h."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ = Access.READ_FILE | Access.READ_DIR
EXECUTE = READ | Access.EXECUTE
WRITE = (
    READ
    | Access.WRITE_FILE
    | Access.TRUNCATE
    | Access.REMOVE_DIR
    | Access.REMOVE_FILE
    | Access.MAKE_DIR
    | Access.MAKE_REG
    | Access.MAKE_SYM
    | Access.REFER
)

_FIRST = Access.REFER - 1
_SINCE = ((2, Access.REFER), (3, Access.TRUNCATE), (5, Access.IOCTL_DEV))
_ON_FILES = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_NET_SINCE = 4
_SCOPED_ABSTRACT_SOCKETS, _SCOPED_SIGNALS = 1 << 0, 1 << 1
_SCOPES_SINCE = 6
_ANY_PORT = 0

_libc = ctypes.CDLL(None, use_errno=True)


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _PortAttr(ctypes.Structure):
    _fields_ = (("access", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi() -> int | None:
    """The version of Landlock that the kernel offers; None where it is missing or switched off."""
    try:
        return _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    except OSError:
        return None


def restrict(
    version: int,
    paths: Iterable[tuple[str, Access]],
    ports: tuple[int, ...] | None,
    *,
    binds: bool = False,
) -> None:
    """Leave this thread and its later children these paths and, unless None, TCP to these ports only.

    With `binds` TCP also binds, to ports that the kernel chooses. Needs no_new_privs. What `version` of
    Landlock cannot restrict stays open. Raises OSError, also for a path that does not exist.
    """
    handled = _handled(version)
    ruleset = _create_ruleset(version, handled, ports is not None)
    try:
        for path, access in paths:
            _allow_path(ruleset, path, access & handled)
        if version >= _NET_SINCE:
            rules = [_PortAttr(_CONNECT_TCP, port) for port in ports or ()]
            if ports is not None and binds:
                rules.append(_PortAttr(_BIND_TCP, _ANY_PORT))
            for rule in rules:
                _syscall(_ADD_RULE, ruleset, _RULE_PORT, ctypes.byref(rule), ctypes.c_uint32(0))
        _syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _handled(version: int) -> Access:
    handled = Access(_FIRST)
    for since, access in _SINCE:
        if version >= since:
            handled |= access
    return handled


def _create_ruleset(version: int, handled: Access, network: bool) -> int:
    attr = _RulesetAttr(fs=handled)
    size = _RulesetAttr.net.offset
    if version >= _NET_SINCE:
        attr.net = _BIND_TCP | _CONNECT_TCP if network else 0
        size = _RulesetAttr.scoped.offset
    if version >= _SCOPES_SINCE:
        attr.scoped = _SCOPED_ABSTRACT_SOCKETS | _SCOPED_SIGNALS
        size = ctypes.sizeof(_RulesetAttr)
    return _syscall(_CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(size), ctypes.c_uint32(0))


def _allow_path(ruleset: int, path: str, access: Access) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _ON_FILES
        rule = _PathAttr(access, fd)
        _syscall(_ADD_RULE, ruleset, _RULE_PATH, ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(fd)


def _syscall(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        fault = ctypes.get_errno()
        raise OSError(fault, os.strerror(fault), "landlock")
    return result
