"""Listening sockets that systemd hands over (sd_listen_fds(3)), so that a restart refuses no connection."""

import os
import socket
from collections.abc import MutableMapping

from sftpd.errors import SftpdError

_FIRST = 3


def handed_over(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that were handed to this process, none where none were.

    Takes what tells of them out of `environment`, so that no child believes they are its own.
    Raises SftpdError for what is no listening stream socket.
    """
    process, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdigit():
        return []
    return [_listening(fd) for fd in range(_FIRST, _FIRST + int(count))]


def _listening(fd: int) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        found = socket.socket(fileno=fd)
        if found.type == socket.SOCK_STREAM and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return found
    except OSError as error:
        raise SftpdError(f"handed over and unusable: {error.strerror}", where=f"descriptor {fd}") from error
    raise SftpdError(
        "handed over and no listening stream socket",
        where=f"descriptor {fd}",
        remedy="see ListenStream= in sftpd.socket",
    )
