"""An SFTP server over a real folder that tells whatever sizes it is told to tell."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
from sshd import Sshd, free_port, make_key


class Login(paramiko.ServerInterface):
    """Lets everybody in who has a key."""

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED


class Liar:
    """The server: its folder, and the lie that it tells of sizes, if any."""

    def __init__(self) -> None:
        self.lie: Callable[[int], int] = int
        """The size it tells, given the true one."""

    def files(self) -> type[paramiko.SFTPServerInterface]:
        """The interface that paramiko wants, for one conversation."""
        liar = self

        class Files(paramiko.SFTPServerInterface):
            def list_folder(self, path):
                return [self._told(entry.path, entry.name) for entry in os.scandir(path)]

            def stat(self, path):
                return _tried(lambda: self._told(path))

            lstat = stat

            def open(self, path, flags, attr):
                def opened():
                    fd = os.open(path, flags, 0o640)
                    mode = "rb" if not flags & (os.O_WRONLY | os.O_RDWR) else "wb"
                    handle = paramiko.SFTPHandle(flags)
                    handle.readfile = handle.writefile = os.fdopen(fd, mode)
                    handle.stat = lambda: self._told(path)
                    return handle

                return _tried(opened)

            def remove(self, path):
                return _tried(lambda: os.remove(path))

            def mkdir(self, path, attr):
                return _tried(lambda: os.mkdir(path))

            def posix_rename(self, old, new):
                return _tried(lambda: os.replace(old, new))

            rename = posix_rename

            def _told(self, path, name=None):
                told = paramiko.SFTPAttributes.from_stat(os.stat(path), name)
                if os.path.isfile(path):
                    told.st_size = liar.lie(told.st_size)
                return told

        return Files


def _tried(work):
    try:
        found = work()
    except OSError as fault:
        return paramiko.SFTPServer.convert_errno(fault.errno)
    return paramiko.SFTP_OK if found is None else found


@contextlib.contextmanager
def lying_server(folder: Path) -> Iterator[tuple[Sshd, Liar]]:
    """Run it; what it says of itself is what a login needs to know."""
    folder.mkdir(parents=True)
    make_key(folder / "host_key", "ed25519")
    make_key(folder / "user_key", "ed25519")
    (folder / "root").mkdir()
    host_key = paramiko.PKey.from_path(folder / "host_key")
    liar, transports = Liar(), []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                transports.append(transport := paramiko.Transport(connection))
                transport.add_server_key(host_key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, liar.files())
                with contextlib.suppress(paramiko.SSHException, EOFError, OSError):  # the client was killed
                    transport.start_server(server=Login())

    listener = socket.create_server(("127.0.0.1", free_port()))
    thread = threading.Thread(target=serve)
    thread.start()
    public = (folder / "host_key.pub").read_text()
    try:
        port = listener.getsockname()[1]
        yield Sshd(port, public, "me", folder / "user_key", folder / "root", folder / "none"), liar
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for transport in transports:
            transport.close()
            transport.join()
