"""The control socket: a JSON request and its JSON answer a connection, for the daemon's own user alone."""

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import structlog

from sftpd.errors import SftpdError
from sftpd.service import answers
from sftpd.service.control_client import OUTPUT

Operation = Callable[[Mapping[str, Any]], Any]
"""Takes the arguments of a request; what it returns must be JSON, or as `answers.written` takes it.

Among them `output`, where the request came with one: the descriptor of a file that the client has opened for
what it asks. Nothing else gives a request such an argument.
"""

_LIMIT = 1 << 20
_PATIENCE = 10.0
_TAKING = 60.0
"""Seconds that a client may take for a part of its answer."""
_CREDENTIALS = struct.Struct("3i")
_log = structlog.get_logger()


class ControlServer:
    """A thread `sftpd-control` that accepts, and a few that answer."""

    def __init__(self, path: Path, operations: Mapping[str, Operation]) -> None:
        self._path = path
        self._operations = operations
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="sftpd-operation")
        self._thread = threading.Thread(target=self._run, name="sftpd-control", daemon=True)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def start(self) -> None:
        """Begin to answer. Raises SftpdError when the socket cannot be made."""
        try:
            self._path.unlink(missing_ok=True)
            self._sock.bind(str(self._path))
            self._path.chmod(0o600)
            self._sock.listen()
        except OSError as error:
            self._sock.close()
            raise SftpdError(
                f"cannot listen: {error.strerror or error}",
                where=str(self._path),
                expected="a writable folder and a path of at most 107 bytes",
                remedy="see control.socket in the configuration",
            ) from error
        self._thread.start()

    def stop(self) -> None:
        """Finish the operations under way and remove the socket."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        if self._thread.ident is not None:
            self._thread.join()
        self._workers.shutdown()
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._sock.accept()
            except OSError:
                return
            self._workers.submit(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, TimeoutError):
            connection.settimeout(_PATIENCE)
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, uid, _ = _CREDENTIALS.unpack(raw)
            if uid not in (0, os.getuid()):
                _log.warning("control_refused", uid=uid)
                return
            with ExitStack() as opened:
                request, output = _receive(connection, opened)
                answer = self._answer(request, output)
                connection.settimeout(_TAKING)
                try:
                    for part in answers.written(answer):
                        connection.sendall(part.encode())
                except OSError:
                    raise
                except Exception:
                    _log.exception("operation_failed")  # the client sees that its answer is cut off
                    return
                connection.sendall(b"\n")

    def _answer(self, request: bytes, output: Mapping[str, int]) -> dict[str, Any]:
        try:
            asked = json.loads(request)
            operation = self._operations.get(str(asked["verb"]))
            if operation is None:
                raise SftpdError(f"no verb {asked['verb']!r}", remedy="use the sftpd of the daemon's version")
            given = {name: value for name, value in asked["arguments"].items() if name != OUTPUT}
            return {"result": operation({**given, **output})}
        except SftpdError as error:
            return {"error": str(error), "code": error.code, "exit_code": error.exit_code}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("control_request_malformed", error=repr(error))
            return {"error": f"malformed request: {error!r}", "code": "USAGE", "exit_code": 2}
        except Exception as error:
            _log.exception("operation_failed")
            return {
                "error": f"internal error: {error!r}; see the daemon's log",
                "code": "ERROR",
                "exit_code": 1,
            }


def _receive(connection: socket.socket, opened: ExitStack) -> tuple[bytes, dict[str, int]]:
    """A request, and the descriptor that came with it, which is closed with `opened`."""
    request, output = b"", {}
    while not request.endswith(b"\n"):
        chunk, fds, _, _ = socket.recv_fds(connection, 65536, 1, socket.MSG_CMSG_CLOEXEC)
        for fd in fds:
            opened.callback(os.close, fd)
            output[OUTPUT] = fd
        if not chunk or len(request) > _LIMIT:
            raise OSError("request is cut off or over-long")
        request += chunk
    return request, output
