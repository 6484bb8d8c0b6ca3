"""A server's transport and an account's folders in a thread, and paramiko's client at the other end."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
from account_sessions import BY_DEFAULT, Session
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from sftpd.clock import SystemClock
from sftpd.sftp.wire import ProtocolError
from sftpd.ssh import signing
from sftpd.ssh.handler import Handler
from sftpd.ssh.sftp_channel import SftpChannel
from sftpd.ssh.signing import RemoteSigner
from sftpd.ssh.transport import SessionTransport


def _refuse(*_: object) -> bool:
    return False


def _look() -> None:
    return None


HOST_KEY = paramiko.RSAKey.generate(2048)


class PausingSocket:
    """A socket that can stop reading."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.reads = threading.Event()
        self.reads.set()

    def recv(self, count: int) -> bytes:
        self.reads.wait()
        return self._connection.recv(count)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


class Server(paramiko.ServerInterface):
    """Lets everybody in, and serves the account of `session` on every channel."""

    def __init__(self, end: socket.socket, base: Path) -> None:
        self.account = Session(base, granted=(*BY_DEFAULT, "hardlink"), max_handles=64)
        self.errors: list[ProtocolError] = []
        self.channels: dict[int, SftpChannel] = {}
        self.monitored = True
        """Whether the monitor is there."""
        signer = RemoteSigner(HOST_KEY.asbytes(), lambda data, name: signing.sign(HOST_KEY, data, name))
        self.transport = SessionTransport(
            end, "SSH-2.0-scene", [signer], lambda *_: False, watch=lambda: None
        )
        self.transport.start_server(threading.Event(), self)
        self.thread = threading.Thread(target=self.transport.run)
        self.thread.start()

    def check_auth_none(self, username: str) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        handler = Handler(self.account.view, self.account.admitted, SystemClock())
        number = channel.get_id()

        def end(error: ProtocolError | None) -> None:
            self.errors += [error] if error else []
            self.transport.wire.detach(number)
            handler.end()
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                if not channel.closed:
                    channel.send_exit_status(0)
                channel.close()

        self.channels[number] = SftpChannel(
            self.transport.wire, self.transport.peer_of(channel), handler, end
        )
        self.transport.wire.attach(number, self.channels[number])
        return True

    def close(self) -> None:
        self.transport.close()
        self.thread.join()
        for channel in self.channels.values():
            channel.end(lambda: self.monitored)
        self.account.end()


@contextmanager
def connected(base: Path, **options: object) -> Iterator[tuple[Server, paramiko.Transport]]:
    """A server, and a client that has logged in; `options` are those of paramiko's Transport."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    server = Server(ours, base)
    client = paramiko.Transport(PausingSocket(theirs), **options)
    try:
        client.start_client(timeout=30)
        client.auth_none("alice")
        yield server, client
    finally:
        client.close()
        server.close()
