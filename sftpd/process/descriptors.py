"""Descriptors that go along with a message over a Unix socket (SCM_RIGHTS, unix(7))."""

import array
import os
import socket
from collections.abc import Iterable, Sequence

from sftpd.process.messages import DESCRIPTOR_LIMIT

_SIZE = array.array("i").itemsize
ROOM = socket.CMSG_SPACE(DESCRIPTOR_LIMIT * _SIZE)
"""Bytes of ancillary data that as many take as may go along."""

Ancillary = Sequence[tuple[int, int, bytes]]
"""As recvmsg has it."""


def packed(fds: Sequence[int]) -> list[tuple[int, int, "array.array[int]"]]:
    """What sendmsg takes to send copies of descriptors."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []


def unpacked(ancillary: Ancillary) -> tuple[int, ...]:
    """The descriptors that came, which are the receiver's now."""
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % _SIZE])
    return tuple(fds)


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors that nobody wants."""
    for fd in fds:
        os.close(fd)
