"""Stock paramiko with the least that serves files: a thread a connection, as its demos do."""

import os
import socket
import sys
import threading
from pathlib import Path

import paramiko

_CREATE_MODE = 0o666


class _Server(paramiko.ServerInterface):
    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = key.get_base64() in self.keys
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


class _Handle(paramiko.SFTPHandle):
    def stat(self) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))

    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        return paramiko.SFTP_OK


class _Files(paramiko.SFTPServerInterface):
    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes]:
        with os.scandir(path) as entries:
            return [paramiko.SFTPAttributes.from_stat(e.stat(follow_symlinks=False), e.name) for e in entries]

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(Path(path).stat())
        except OSError as fault:
            return paramiko.SFTPServer.convert_errno(fault.errno or 0)

    lstat = stat

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        try:
            descriptor = os.open(path, flags, _CREATE_MODE)
        except OSError as fault:
            return paramiko.SFTPServer.convert_errno(fault.errno or 0)
        file = os.fdopen(descriptor, "r+b" if flags & os.O_RDWR else "wb" if flags & os.O_WRONLY else "rb")
        handle = _Handle(flags)
        handle.readfile = handle.writefile = file
        return handle

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        paramiko.SFTPServer.set_file_attr(path, attr)
        return paramiko.SFTP_OK

    def canonicalize(self, path: str) -> str:
        return os.path.realpath(path)


def _connection(accepted: socket.socket, host_key: paramiko.PKey, keys: list[str]) -> None:
    transport = paramiko.Transport(accepted)
    transport.add_server_key(host_key)
    transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files)
    try:
        transport.start_server(server=_Server(keys))
        transport.join()
    except (paramiko.SSHException, EOFError, OSError) as fault:
        print(f"connection ended: {fault}", file=sys.stderr)
    finally:
        transport.close()


def _serve(port: int, host_key: str, authorized_keys: str) -> None:
    key = paramiko.Ed25519Key.from_private_key_file(host_key)
    keys = [line.split()[1] for line in Path(authorized_keys).read_text().splitlines()]
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        while True:
            accepted, _ = listener.accept()
            threading.Thread(target=_connection, args=(accepted, key, keys), daemon=True).start()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2], sys.argv[3])
