"""Asking the daemon at its control socket. It loads next to nothing, for every command loads it."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftpd.errors import SftpdError

OUTPUT = "output"
"""The argument of a request that is a descriptor of a file."""


def call(path: Path, verb: str, arguments: Mapping[str, Any]) -> Any:
    """Have the running daemon carry out an operation; an argument `output` is a descriptor that it is lent.

    Raises ConnectionError when none is running, DaemonError with what the daemon refused.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(path))
        except OSError as error:
            raise ConnectionError(f"{path}: {error.strerror}") from error
        told = {name: value for name, value in arguments.items() if name != OUTPUT}
        request = json.dumps({"verb": verb, "arguments": told}).encode() + b"\n"
        socket.send_fds(sock, [request[:1]], [arguments[OUTPUT]] if OUTPUT in arguments else [])
        sock.sendall(request[1:])
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    if not answer.endswith(b"\n"):
        raise ConnectionError(f"{path}: the daemon closed the connection")
    reply = json.loads(answer)
    if "error" in reply:
        raise DaemonError(reply["error"], reply["exit_code"])
    return reply["result"]


class DaemonError(SftpdError):
    """What the daemon answered instead of a result."""

    code = "DAEMON"

    def __init__(self, what: str, exit_code: int) -> None:
        super().__init__(what)
        self.exit_code = exit_code
