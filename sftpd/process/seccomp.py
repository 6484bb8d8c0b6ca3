"""What Landlock knows nothing of, by a seccomp filter: sockets, and the limits and modes of what is not ours.

A named Unix socket leads out of every sandbox: to the monitor's control socket, to a database that takes our
user at its word.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

_SET_FILTER, _ACTION_AVAILABLE = 1, 2
_SPECULATION_AS_BEFORE = 1 << 2
"""SECCOMP_FILTER_FLAG_SPEC_ALLOW: older kernels else make the whole process slower."""

_ALLOW = 0x7FFF_0000
_REFUSE = 0x0005_0000 | errno.EPERM
_LOAD, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_CALL, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Where they lie in `struct seccomp_data`; of the argument the lower half."""

_INSTRUCTION = struct.Struct("=HBBI")
_X32 = 0x4000_0000
"""From here on x86-64 has a second set of the same calls."""


class _Machine(NamedTuple):
    """A machine's name in filters, and the numbers of its system calls."""

    architecture: int
    seccomp: int
    prlimit: int
    socket: tuple[int, int]
    """`socket` and `socketpair`."""
    refused: tuple[int, ...]
    """`io_uring_setup`, which makes sockets too, and what changes modes and owners by path."""


_GENERIC = _Machine(0xC000_00B7, 277, 261, (198, 199), (425, 53, 54, 452))
_MACHINES = {
    "x86_64": _Machine(0xC000_003E, 317, 302, (41, 53), (425, 90, 92, 94, 260, 268, 452)),
    "aarch64": _GENERIC,
    "riscv64": _GENERIC._replace(architecture=0xC000_00F3),
}

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def available() -> bool:
    """Whether `restrict` works here: it is written for the common machines."""
    try:
        _seccomp(_ACTION_AVAILABLE, 0, ctypes.byref(ctypes.c_uint32(_REFUSE & 0xFFFF_0000)))
    except OSError:
        return False
    return True


def restrict(families: Iterable[socket.AddressFamily]) -> None:
    """Leave this thread and its later children sockets of these families, and those that they hold.

    Limits of other processes, and modes and owners of files that are not open, are theirs to change no more.
    Needs no_new_privs. Raises OSError.
    """
    code = _filter(_MACHINES[platform.machine()], tuple(families))
    program = _Program(len(code) // _INSTRUCTION.size, code)
    _seccomp(_SET_FILTER, _SPECULATION_AS_BEFORE, ctypes.byref(program))


def _filter(machine: _Machine, families: tuple[int, ...]) -> bytes:
    refuse = _step(_RETURN, _REFUSE)
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUALS, machine.architecture, then=1),
        refuse,
        _step(_LOAD, _CALL),
        *_unless(_AT_LEAST, _X32, [refuse]),
    ]
    for call in machine.refused:
        code += _unless(_EQUALS, call, [refuse])
    for calls, arguments in ((machine.socket, families), ((machine.prlimit,), (0,))):
        allowed = [
            one for argument in arguments for one in _unless(_EQUALS, argument, [_step(_RETURN, _ALLOW)])
        ]
        for call in calls:
            code += _unless(_EQUALS, call, [_step(_LOAD, _FIRST_ARGUMENT), *allowed, refuse])
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _unless(test: int, value: int, steps: list[bytes]) -> list[bytes]:
    """Steps that are taken where the test holds."""
    return [_step(test, value, otherwise=len(steps)), *steps]


def _step(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, then, otherwise, value)


def _seccomp(operation: int, flags: int, argument: object) -> None:
    machine = _MACHINES.get(platform.machine())
    number = errno.ENOSYS
    if machine is not None:
        result = _libc.syscall(
            ctypes.c_long(machine.seccomp), ctypes.c_uint(operation), ctypes.c_uint(flags), argument
        )
        number = 0 if result == 0 else ctypes.get_errno()
    if number:
        raise OSError(number, os.strerror(number), "seccomp")
