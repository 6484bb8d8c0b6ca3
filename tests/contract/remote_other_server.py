"""An SFTP server that is not OpenSSH: passwords, no extensions, short reads, and names that no file has."""

import contextlib
import stat

import paramiko
from paramiko_server import serving
from sshd import Sshd

USER, PASSWORD = "me", "canary-password"
CONTENT = bytes(range(256)) * 1000
SHORT = 1000
LISTED = (b"fine.csv", b"../evil", b"..", b"a\0b", b"", b"x" * 256)
MTIME = 1_600_000_000
RENAMES = {"/denied": paramiko.SFTP_PERMISSION_DENIED, "/failing": paramiko.SFTP_FAILURE}
"""What a rename of these, which are not there, is answered with."""


class Login(paramiko.ServerInterface):
    def __init__(self, interactive, transport):
        self.interactive = interactive
        self.transport = transport

    def get_allowed_auths(self, username):
        return "keyboard-interactive" if self.interactive else "password"

    def check_auth_password(self, username, password):
        good = not self.interactive and (username, password) == (USER, PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_auth_interactive(self, username, submethods):
        return (
            paramiko.InteractiveQuery("", "", ("Password: ", False))
            if self.interactive
            else paramiko.AUTH_FAILED
        )

    def check_auth_interactive_response(self, responses):
        return paramiko.AUTH_SUCCESSFUL if responses == [PASSWORD] else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED


class Files(paramiko.SFTPServerInterface):
    """One file, /content, that is read in short pieces; a listing of whatever names; no rename succeeds."""

    def __init__(self, login):
        self.login = login

    def open(self, path, flags, attr):
        return ShortReads() if path == "/content" else paramiko.SFTP_NO_SUCH_FILE

    def stat(self, path):
        return ShortReads().stat() if path in ("/", "/content") else paramiko.SFTP_NO_SUCH_FILE

    def rename(self, oldpath, newpath):
        if oldpath == "/cut":
            self.login.transport.close()
        return RENAMES.get(oldpath, paramiko.SFTP_NO_SUCH_FILE)

    def list_folder(self, path):
        return [RawName(name) for name in LISTED]


class ShortReads(paramiko.SFTPHandle):
    def stat(self):
        told = paramiko.SFTPAttributes()  # the server takes no subclass here
        told.st_size = len(CONTENT)
        return told

    def read(self, offset, length):
        return CONTENT[offset : offset + min(length, SHORT)] or paramiko.SFTP_EOF


class RawName(paramiko.SFTPAttributes):
    def __init__(self, name):
        super().__init__()
        self.filename = name
        self.st_mode, self.st_size = stat.S_IFREG | 0o644, len(CONTENT)
        self.st_atime = self.st_mtime = MTIME

    def __str__(self):
        return "-"


@contextlib.contextmanager
def other_server(tmp_path, host_key, *, interactive=False):
    """Run it for one connection; yields what a login needs to know."""
    public = f"{host_key.get_name()} {host_key.get_base64()}"

    def login(transport, _):
        return Login(interactive, transport)

    with serving(host_key, Files, login, connections=1) as port:
        yield Sshd(port, public, USER, tmp_path, tmp_path, tmp_path)
