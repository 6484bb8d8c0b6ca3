"""SFTP servers of paramiko's, for tests that want one which behaves as no real one does."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import paramiko
from sshd import free_port

Login = Callable[[paramiko.Transport, list[paramiko.Transport]], paramiko.ServerInterface]
"""Makes what decides on the logins of a connection, which is the last of those that there were."""


@contextlib.contextmanager
def serving(
    host_key: paramiko.PKey,
    files: type[paramiko.SFTPServerInterface],
    login: Login,
    *,
    connections: float = float("inf"),
) -> Iterator[int]:
    """Serve so many connections and no more; gives the port on 127.0.0.1."""
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while len(transports) < connections:
                connection, _ = listener.accept()
                transports.append(transport := paramiko.Transport(connection))
                transport.add_server_key(host_key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, files)
                with contextlib.suppress(paramiko.SSHException, EOFError, OSError):  # the client was killed
                    transport.start_server(server=login(transport, transports))

    listener = socket.create_server(("127.0.0.1", free_port()))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for transport in transports:
            transport.close()
            transport.join()
